//! The queries that `docs/cloudwatch.md` offers, run against lines of real agents, and held against the schema.

use std::collections::BTreeSet;

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    client::Clients,
    insights::{self, Row, Word},
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    topology::Topology,
};
use serde_json::{Value, json};

use crate::{row::PATIENCE, turns};

/// Words of the language itself.
const WORDS: &[&str] = &[
    "fields", "filter", "stats", "sort", "limit", "by", "as", "and", "or", "not", "in", "like", "desc", "asc",
];

const FUNCTIONS: &[&str] = &["count", "sum", "max", "min", "bin", "earliest"];

/// Each query and the sentence above it.
fn queries() -> Vec<(&'static str, &'static str)> {
    let (_, rest) =
        include_str!("../../docs/cloudwatch.md").split_once("## Logs Insights queries").expect("a chapter");
    let (chapter, _) = rest.split_once("\n## ").expect("another chapter");
    let mut parts: Vec<&str> = chapter.split("```").collect();
    parts.pop();
    let pairs = parts.chunks_exact(2).map(|pair| {
        let title = pair[0].trim().rsplit("\n\n").next().expect("a sentence");
        (title, pair[1].strip_prefix("text\n").expect("a block of text"))
    });
    pairs.collect()
}

/// Runs the query whose sentence begins so.
#[track_caller]
fn ask(begins: &str, events: &[Row]) -> Value {
    let mut found = queries().into_iter().filter(|(title, _)| title.starts_with(begins));
    let (Some((_, query)), None) = (found.next(), found.next()) else {
        panic!("one query should begin {begins:?}")
    };
    json!(insights::run(&query.replace("TASK-ID", "one"), events))
}

/// What an agent wrote, as a log driver hands it on: one event a line, by the time in it.
fn events(text: &str, log_stream: &str) -> Vec<Row> {
    let time = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let of_document = line["_aws"]["Timestamp"].as_i64();
        of_document.unwrap_or_else(|| {
            let time = humantime::parse_rfc3339(line["time"].as_str().expect("a time")).expect("RFC 3339");
            let since = time.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
            i64::try_from(since.as_millis()).expect("a time of this century")
        })
    };
    text.lines().map(|line| insights::event(line, log_stream, time(line))).collect()
}

/// A firewall on the host shuts out one node for a while. One agent writes reports, the other documents of metrics.
#[test]
fn each_query_finds_what_the_lines_of_a_fault_say() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let plan = lab.plan.clone();
    let _app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let start = |output: &str, interval: &str| {
        let text = format!(
            "trace --output {output} --interval {interval} --port {} --nlb {} {} --client {} --health-interval {}ms",
            plan.port,
            plan.node(0),
            plan.node(1),
            plan.client.subnet,
            plan.interval.as_millis()
        );
        let mut agent = Agent::start(&lab.task, &words(&text));
        agent.wait_for("the agent to watch", PATIENCE, |line| line["kind"] == "start");
        agent
    };
    let (mut one, mut two) = (start("json", "200ms"), start("emf", "1s"));
    let check = Check::every(plan.interval, Speech::Tcp);
    let _probes = [0, 1].map(|at| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check));
    let _clients = Clients::start(&lab.client, &plan.client.addresses, plan.target(), 20);
    for agent in [&mut one, &mut two] {
        agent.wait_until("health", PATIENCE, |lines| {
            lines.iter().any(|line| line["state"] == "healthy" || line["verdict"] == "healthy").then_some(())
        });
    }
    lab.firewall("input", &format!("ip saddr {} tcp dport {} drop", plan.node(0), plan.port));
    for agent in [&mut one, &mut two] {
        agent.wait_for("the fault", PATIENCE, |line| {
            line["code"] == "host_firewall" && line["confidence"] == "proven"
        });
    }
    two.wait_for("a document of it", PATIENCE, |line| line["Fault"] == 1);
    lab.firewall_off();
    for agent in [&mut one, &mut two] {
        agent.wait_for("the end of it", PATIENCE, |line| {
            line["code"] == "host_firewall" && line["state"] == "cleared"
        });
    }
    let (one, two) = (one.stop(), two.stop());
    let mut all = events(&one.text, "prod/agent/one");
    all.extend(events(&two.text, "prod/agent/two"));

    let wrong = ask("What is wrong now", &all);
    let wrong = wrong.as_array().expect("rows");
    assert!((2..=20).contains(&wrong.len()), "{wrong:?}");
    let fault = wrong.iter().find(|row| row["code"] == "host_firewall").expect("the fault");
    assert!(fault["advice"].as_str().is_some_and(|advice| advice.contains("tcp")), "{fault}");
    let streams: BTreeSet<&str> = wrong.iter().filter_map(|row| row["@logStream"].as_str()).collect();
    assert_eq!(streams, BTreeSet::from(["prod/agent/one", "prod/agent/two"]));

    let places = ask("Which place connections die at", &all);
    let row = |rows: &Value, code: &str| {
        rows.as_array().into_iter().flatten().find(|row| row["code"] == code).cloned().unwrap_or_default()
    };
    let expected = json!({ "opened": 2, "code": "host_firewall", "place": "host firewall", "class": row(&places, "host_firewall")["class"] });
    assert_eq!(row(&places, "host_firewall"), expected, "{places}");

    let dropped = ask("Which class is dropped where", &all);
    assert!(row(&dropped, "host_firewall")["findings"].as_u64() >= Some(4), "{dropped}");
    assert_eq!(row(&dropped, "host_firewall")["drop_reason"], "NETFILTER_DROP", "{dropped}");

    let first = ask("The first fault of each task", &all);
    let codes: Vec<_> = first.as_array().into_iter().flatten().map(|row| &row["code"]).collect();
    assert_eq!(codes, ["host_firewall", "host_firewall"], "{first}");

    // Sums over the documents are sums over the metrics.
    let by_minute = ask("SYNs of health checks and clients", &all);
    let total = |name: &str| {
        by_minute.as_array().into_iter().flatten().filter_map(|row| row[name].as_f64()).sum::<f64>()
    };
    let sum = |name: &str| two.lines.iter().filter_map(|line| line[name].as_f64()).sum::<f64>();
    for (column, metric) in
        [("probes", "ProbeSynArrived"), ("clients", "ClientSynArrived"), ("dropped", "SynDropped")]
    {
        assert!(total(column) > 0.0 && (total(column) - sum(metric)).abs() < 0.5, "{column}: {by_minute}");
    }

    let nodes = ask("How each NLB node fared", &all);
    let of = |node: usize| {
        let name = plan.node(node).to_string();
        nodes
            .as_array()
            .into_iter()
            .flatten()
            .find(|row| row["source"] == name.as_str())
            .expect("a row of the node")
    };
    assert!(of(0)["dropped"].as_f64() > Some(0.0) && of(1)["dropped"] == 0.0, "{nodes}");
    assert!(of(0)["served"].as_f64() > Some(0.0), "{nodes}");

    assert_eq!(ask("Tasks whose agent was blind", &all), json!([]));
    let mut blind = all.clone();
    for row in blind.iter_mut().filter(|row| row.contains_key("Heartbeat")) {
        row["Heartbeat"] = json!(0);
    }
    assert_eq!(ask("Tasks whose agent was blind", &blind)[0]["@logStream"], "prod/agent/two");

    let last = ask("What a task said", &all);
    let last = last.as_array().expect("rows");
    assert_eq!(last.last().map(|row| &row["kind"]), Some(&"stop".into()), "{last:?}");
    assert_eq!(
        last.len(),
        one.lines
            .iter()
            .filter(|line| ["finding", "verdict", "stop"].iter().any(|kind| line["kind"] == *kind))
            .count()
    );
}

/// The members of one definition of the schema, with their own schemas.
fn members(schema: &Value, definition: &str, found: &mut Vec<(String, Value)>) {
    let definition = &schema["$defs"][definition];
    for (name, value) in definition["properties"].as_object().into_iter().flatten() {
        found.push((name.clone(), value.clone()));
    }
    for part in definition["allOf"].as_array().into_iter().flatten() {
        if let Some(name) = part["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
            members(schema, name, found);
        }
    }
}

/// The texts that a member is compared with, by `=` or `in [...]`.
fn compared(words: &[Word]) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let (Word::Name(name), Some(next)) = (word, words.get(at + 1)) else { continue };
        if *next == Word::Sign("=") || *next == Word::Name("in".to_owned()) {
            let texts = words[at + 2..].iter().filter(|word| **word != Word::Sign("["));
            let texts = texts.take_while(|word| matches!(word, Word::Text(_) | Word::Sign(",")));
            found.extend(texts.filter_map(|word| {
                if let Word::Text(text) = word { Some((name.as_str(), text.as_str())) } else { None }
            }));
        }
    }
    found
}

/// What in a query no line can answer.
fn complaints(schema: &Value, query: &str) -> Vec<String> {
    let words = insights::words(query);
    let compared = compared(&words);
    let kinds: Vec<&str> =
        compared.iter().filter(|(name, _)| *name == "kind").map(|(_, kind)| *kind).collect();
    let mut known = Vec::new();
    for kind in &kinds {
        members(schema, if *kind == "verdict" { "verdict_line" } else { kind }, &mut known);
    }
    let mut wrong = Vec::new();
    if kinds.is_empty() {
        wrong.push("it names no kind of line".to_owned());
    }
    let mut made = BTreeSet::new();
    for pair in words.windows(2) {
        if let [Word::Name(word), Word::Name(name)] = pair
            && word == "as"
        {
            made.insert(name.as_str());
        }
    }
    for (at, word) in words.iter().enumerate() {
        let Word::Name(name) = word else { continue };
        if words.get(at + 1) == Some(&Word::Sign("(")) && name != "and" && name != "or" {
            if !FUNCTIONS.contains(&name.as_str()) {
                wrong.push(format!("{name} is no function that is used here"));
            }
            continue;
        }
        let is_known = name.starts_with('@')
            || WORDS.contains(&name.as_str())
            || made.contains(name.as_str())
            || known.iter().any(|(member, _)| member == name);
        if !is_known {
            wrong.push(format!("lines of the kinds {kinds:?} have no member {name}"));
        }
    }
    for (name, text) in compared.iter().filter(|(name, _)| *name != "kind") {
        let Some((_, member)) = known.iter().find(|(member, _)| member == name) else { continue };
        let definition = member["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
        let allowed = &definition.map_or(member, |definition| &schema["$defs"][definition])["enum"];
        if allowed.as_array().is_some_and(|allowed| !allowed.contains(&json!(text))) {
            wrong.push(format!("{name} is never {text}"));
        }
    }
    wrong
}

fn schema() -> Value {
    serde_json::from_str(include_str!("../../docs/schema/agent-lines.schema.json")).expect("JSON")
}

#[test]
fn every_query_asks_for_what_lines_of_its_kinds_have() {
    let (schema, queries) = (schema(), queries());
    assert!(queries.len() >= 8, "{}", queries.len());
    for (_, query) in queries {
        let wrong = complaints(&schema, query);
        assert!(wrong.is_empty(), "{query}\n{wrong:#?}");
    }
}

#[test]
fn what_would_find_nothing_is_noticed() {
    let schema = schema();
    for (query, part) in [
        ("filter kind = \"finding\" | stats count(*) as all by ServiceName", "no member ServiceName"),
        ("filter kind = \"finding\" and severity = \"error\"", "severity is never error"),
        ("filter kind in [\"finding\", \"verdict\"] and state = \"open\"", "state is never open"),
        ("filter severity = \"fault\"", "names no kind"),
        ("filter kind = \"report\" | stats median(arrived) as arrived by source", "median is no function"),
    ] {
        let wrong = complaints(&schema, query);
        assert!(wrong.iter().any(|one| one.contains(part)), "{query}: {wrong:?}");
    }
}
