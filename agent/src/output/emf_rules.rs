//! CloudWatch's own rules for a document that carries metrics, for tests.

use serde_json::{Value, json};

use super::tests::{identity, made, observed};

/// What CloudWatch Logs demands of a document before it makes metrics of it (CloudWatch user guide, "Specification: CloudWatch
/// embedded metric format", and the limits of PutMetricData).
pub fn violations(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut demand = |holds: bool, what: &str| {
        if !holds {
            found.push(what.to_owned());
        }
    };
    let Ok(Value::Object(root)) = serde_json::from_str::<Value>(text) else {
        return vec!["not one JSON object".to_owned()];
    };
    demand(text.len() <= 1 << 20, "more than 1 MiB");
    demand(root["_aws"]["Timestamp"].is_u64(), "no timestamp");
    let directives = root["_aws"]["CloudWatchMetrics"].as_array().cloned().unwrap_or_default();
    demand(!directives.is_empty(), "no directive");
    for directive in &directives {
        let namespace = directive["Namespace"].as_str().unwrap_or_default();
        demand((1..=255).contains(&namespace.len()), "namespace length");
        demand(!namespace.starts_with(':') && !namespace.starts_with("AWS/"), "namespace taken");
        let sets = directive["Dimensions"].as_array().cloned().unwrap_or_default();
        demand(!sets.is_empty(), "no dimension set");
        for set in sets {
            let keys = set.as_array().cloned().unwrap_or_default();
            demand(keys.len() <= 30, "too many dimensions");
            for key in keys.iter().filter_map(Value::as_str) {
                demand((1..=250).contains(&key.len()), "dimension name length");
                let value = root.get(key).and_then(Value::as_str).unwrap_or_default();
                demand((1..=1024).contains(&value.chars().count()), "dimension value length");
                demand(!value.trim().is_empty(), "blank dimension");
                demand(value.is_ascii() && !value.contains(|c: char| c.is_ascii_control()), "not ASCII");
            }
        }
        let metrics = directive["Metrics"].as_array().cloned().unwrap_or_default();
        demand((1..=100).contains(&metrics.len()), "number of metrics");
        for metric in metrics {
            let name = metric["Name"].as_str().unwrap_or_default();
            demand((1..=255).contains(&name.len()), "metric name length");
            demand(metric["Unit"] == "Count", "unknown unit");
            let value = root.get(name).unwrap_or(&Value::Null);
            let is_list =
                value.as_array().is_some_and(|list| list.len() <= 100 && list.iter().all(Value::is_number));
            demand(value.is_number() || is_list, "metric without a number");
        }
    }
    found
}

#[test]
fn these_rules_refuse_what_cloudwatch_would() {
    let good: Value = serde_json::from_str(&made(&identity("a", "b"), Some(observed()))).expect("JSON");
    let broken = |change: fn(&mut Value)| {
        let mut document = good.clone();
        change(&mut document);
        !violations(&document.to_string()).is_empty()
    };
    assert!(!broken(|_| {}));
    assert!(broken(|line| line["Fault"] = json!("0")));
    assert!(broken(|line| line["ServiceName"] = json!(1)));
    assert!(broken(|line| line["ServiceName"] = json!("x".repeat(1025))));
    assert!(!broken(|line| line["ServiceName"] = json!("x".repeat(1024))));
    assert!(broken(|line| line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] = json!([])));
    assert!(broken(|line| line["_aws"]["CloudWatchMetrics"][0]["Namespace"] = json!("AWS/ECS")));
    assert!(broken(|line| line["_aws"]["Timestamp"] = json!("now")));
    let metrics = |count: usize| json!(vec![json!({"Name": "Fault", "Unit": "Count"}); count]);
    let with = |count| {
        let mut line = good.clone();
        line["_aws"]["CloudWatchMetrics"][0]["Metrics"] = metrics(count);
        violations(&line.to_string()).is_empty()
    };
    assert!(with(99) && with(100) && !with(101));
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut line = good.clone();
        change(&mut line);
        violations(&line.to_string()).is_empty()
    };
    let dimensions = |count: usize| {
        changed(&|line| {
            let names: Vec<String> = (0..count).map(|number| format!("d{number}")).collect();
            for name in &names {
                line[name] = json!("x");
            }
            line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] = json!([names]);
        })
    };
    assert!(dimensions(29) && dimensions(30) && !dimensions(31));
    let dimension_name = |length: usize| {
        changed(&|line| {
            let name = "d".repeat(length);
            line[&name] = json!("x");
            line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] = json!([[name]]);
        })
    };
    assert!(dimension_name(249) && dimension_name(250) && !dimension_name(251));
    let namespace = |length: usize| {
        changed(&|line| line["_aws"]["CloudWatchMetrics"][0]["Namespace"] = json!("n".repeat(length)))
    };
    assert!(namespace(254) && namespace(255) && !namespace(256) && !namespace(0));
    let bytes = |length: usize| {
        let rest = changed_length(&good);
        changed(&|line| line["filler"] = json!("f".repeat(length - rest)))
    };
    assert!(bytes((1 << 20) - 1) && bytes(1 << 20) && !bytes((1 << 20) + 1));
}

/// Length of a document with an empty member `filler`.
fn changed_length(document: &Value) -> usize {
    let mut document = document.clone();
    document["filler"] = json!("");
    document.to_string().len()
}
