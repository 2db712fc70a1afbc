//! The JSON files of `deploy/`: AWS takes them, and they ask for what is written.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use lab::aws::moto::{Moto, python as interpreter};
use serde_json::{Value, json};

use crate::deploy;

/// The log group in them: what the module calls the one of `orders` in `prod`.
pub const GROUP: &str = "/health-check-tracer/prod/orders";

/// Runs `deploy.py` with this input, which has to work.
#[track_caller]
pub fn python(verb: &str, argument: &str, input: &Value) -> Value {
    let output = try_python(verb, argument, input);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{verb} {argument}: {}: {errors}", output.status);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Runs `deploy.py` with this input.
pub fn try_python(verb: &str, argument: &str, input: &Value) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cloudwatch/deploy.py");
    let mut command = Command::new(interpreter());
    command.arg(script).args([verb, argument]).env("AWS_EC2_METADATA_DISABLED", "true");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starting Python");
    let mut pipe = child.stdin.take().expect("a pipe");
    // It need not read what it has no use for.
    let _may_have_ended = pipe.write_all(input.to_string().as_bytes());
    drop(pipe);
    child.wait_with_output().expect("its output")
}

/// All twins as one value, as `deploy.py put` takes them.
pub fn twins(container: &Value) -> Value {
    let task_definitions = ["ecs/daemon.json", "ecs/sidecar.json"].map(|name| deploy::filled(name, GROUP));
    json!({
        "log_group": deploy::filled("cloudwatch/log-group.json", GROUP),
        "dashboard": deploy::filled("cloudwatch/dashboard.json", GROUP),
        "alarms": [
            deploy::filled("cloudwatch/alarm-fault.json", GROUP),
            deploy::filled("cloudwatch/alarm-heartbeat.json", GROUP),
        ],
        "policies": [
            deploy::filled("iam/shipping.json", GROUP),
            deploy::filled("iam/shipping-create.json", GROUP),
            deploy::filled("iam/discovery.json", GROUP),
        ],
        "task_definitions": task_definitions,
        "application": {
            "name": "application", "image": "application", "essential": true, "memory": 128,
            "portMappings": [{ "containerPort": 8080 }],
        },
        "container": container,
    })
}

#[test]
fn aws_takes_log_group_dashboard_alarms_and_policies() {
    let moto = Moto::start();
    let container = json!({ "name": "agent", "image": "agent", "memory": 64 });
    let given = twins(&container);
    let has = python("put", &format!("http://{}", moto.address()), &given);
    assert_eq!(has["log_groups"][0]["logGroupName"], GROUP);
    assert_eq!(has["log_groups"][0]["retentionInDays"], 30);
    assert_eq!(has["dashboard"], given["dashboard"]);
    assert_eq!(has["policies"], 3);
    for (stored, given) in has["task_definitions"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(given["task_definitions"].as_array().expect("task definitions"))
    {
        assert_eq!(
            (&stored["family"], &stored["executionRoleArn"]),
            (&given["family"], &given["executionRoleArn"])
        );
        for (stored, given) in stored["containerDefinitions"]
            .as_array()
            .expect("containers")
            .iter()
            .zip(given["containerDefinitions"].as_array().expect("containers"))
        {
            for member in
                ["name", "command", "linuxParameters", "healthCheck", "stopTimeout", "restartPolicy"]
            {
                assert_eq!(stored[member], given[member], "{member}");
            }
        }
    }
    assert_eq!(has["task_definitions"].as_array().map(Vec::len), Some(2));
    let alarms = has["alarms"].as_array().expect("alarms");
    assert_eq!(alarms.len(), 2);
    for (stored, given) in alarms.iter().zip(given["alarms"].as_array().expect("alarms")) {
        for (name, value) in given.as_object().expect("an alarm") {
            let same = stored[name] == *value
                || stored[name].as_f64().is_some_and(|number| value.as_f64() == Some(number));
            assert!(same, "{name}: {} is kept as {}", value, stored[name]);
        }
    }
}

#[test]
fn alarms_are_on_faults_and_on_missing_heartbeats_and_never_on_drops() {
    let fault = deploy::filled("cloudwatch/alarm-fault.json", GROUP);
    assert_eq!(fault["MetricName"], "Fault");
    assert_eq!(
        (&fault["DatapointsToAlarm"], &fault["EvaluationPeriods"], &fault["Period"]),
        (&json!(3), &json!(5), &json!(60))
    );
    assert_eq!(fault["TreatMissingData"], "notBreaching", "the other alarm tells of silence");
    let heartbeat = deploy::filled("cloudwatch/alarm-heartbeat.json", GROUP);
    assert_eq!(heartbeat["MetricName"], "Heartbeat");
    assert_eq!(heartbeat["TreatMissingData"], "breaching");
    let files = fs::read_dir(deploy::path("cloudwatch")).expect("the folder");
    let names = files.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
    let alarms: BTreeSet<String> = names.filter(|name| name.starts_with("alarm")).collect();
    assert_eq!(alarms.into_iter().collect::<Vec<_>>(), ["alarm-fault.json", "alarm-heartbeat.json"]);
}

/// Dashboard and alarms ask for the same series: one namespace, and the two dimensions that EMF lines have.
#[test]
fn dashboard_and_alarms_ask_for_the_series_that_are_written() {
    const METRICS: [&str; 6] =
        ["ClientSynArrived", "Fault", "Heartbeat", "ProbeSynArrived", "SynDropped", "SynRefused"];
    let dashboard = deploy::filled("cloudwatch/dashboard.json", GROUP);
    let mut shown = BTreeSet::new();
    for widget in dashboard["widgets"].as_array().expect("widgets") {
        for metric in widget["properties"]["metrics"].as_array().into_iter().flatten() {
            let words: Vec<_> =
                metric.as_array().expect("a metric").iter().filter_map(Value::as_str).collect();
            let [namespace, name, dimensions @ ..] = &words[..] else { panic!("{words:?}") };
            assert_eq!(*namespace, "HealthCheckTracer");
            assert_eq!(dimensions, ["ClusterName", "prod", "ServiceName", "orders"]);
            shown.insert((*name).to_owned());
        }
    }
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), METRICS);
    for file in ["cloudwatch/alarm-fault.json", "cloudwatch/alarm-heartbeat.json"] {
        let alarm = deploy::filled(file, GROUP);
        assert_eq!(alarm["Namespace"], "HealthCheckTracer");
        let dimensions =
            json!([{ "Name": "ClusterName", "Value": "prod" }, { "Name": "ServiceName", "Value": "orders" }]);
        assert_eq!(alarm["Dimensions"], dimensions);
    }
}
