//! The files of `deploy/` name flags that exist, and what the contract asks of each home.

use std::ffi::OsString;

use serde_json::Value;

use crate::{
    cli::{Request, parse},
    settings::{OnBlind, Settings},
};

fn accepted(words: &[&str]) -> Box<Settings> {
    let all = ["agent"].iter().chain(words).map(OsString::from);
    match parse(all) {
        Ok(Request::Trace(settings)) => settings,
        Ok(_) => panic!("{words:?} is no trace"),
        Err(text) => panic!("{words:?}: {text}"),
    }
}

/// The container that runs the agent, and what it is told.
fn container(text: &str) -> (Value, Box<Settings>) {
    let definition: Value = serde_json::from_str(text).expect("JSON");
    let containers = definition["containerDefinitions"].as_array().expect("a list");
    let agent = containers.iter().find(|container| container["command"][0] == "trace").expect("the agent's");
    let command: Vec<&str> =
        agent["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let settings = accepted(&command);
    assert_eq!(settings.on_blind, OnBlind::Stay, "a blind agent takes nothing down");
    let dropped = &agent["linuxParameters"]["capabilities"]["drop"];
    assert_eq!(dropped, &serde_json::json!(["ALL"]));
    (definition.clone(), settings)
}

#[test]
fn the_task_definition_of_the_daemon_follows_the_node() {
    let (definition, settings) = container(include_str!("../../../deploy/ecs/daemon.json"));
    assert!(settings.all_namespaces);
    assert_eq!((&definition["pidMode"], &definition["networkMode"]), (&"host".into(), &"host".into()));
    let added = &definition["containerDefinitions"][0]["linuxParameters"]["capabilities"]["add"];
    assert_eq!(added, &serde_json::json!(["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYS_RESOURCE"]));
}

#[test]
fn the_sidecar_takes_its_service_down_in_no_case() {
    let (definition, settings) = container(include_str!("../../../deploy/ecs/sidecar.json"));
    assert!(!settings.all_namespaces);
    let sidecar = &definition["containerDefinitions"][1];
    assert_eq!((&sidecar["essential"], &sidecar["restartPolicy"]["enabled"]), (&false.into(), &true.into()));
    let added = &sidecar["linuxParameters"]["capabilities"]["add"];
    assert_eq!(added, &serde_json::json!(["SYS_ADMIN", "NET_ADMIN", "SYS_RESOURCE"]));
}

#[test]
fn the_unit_starts_what_exists_with_the_three_capabilities() {
    let unit = include_str!("../../../deploy/systemd/health-check-tracer.service");
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let words: Vec<&str> = value("ExecStart").expect("a command").split_whitespace().skip(1).collect();
    assert_eq!(accepted(&words).on_blind, OnBlind::Stay);
    for key in ["CapabilityBoundingSet", "AmbientCapabilities"] {
        assert_eq!(value(key), Some("CAP_BPF CAP_PERFMON CAP_NET_ADMIN"));
    }
}

#[test]
fn the_daemon_set_follows_the_node() {
    let text = include_str!("../../../deploy/kubernetes/daemonset.yaml");
    let (_, rest) = text.split_once("          args:\n").expect("arguments");
    let words: Vec<&str> = rest.lines().map_while(|line| line.strip_prefix("            - ")).collect();
    let settings = accepted(&words);
    assert!(settings.all_namespaces && settings.on_blind == OnBlind::Stay);
    assert!(text.contains("hostPID: true") && text.contains("hostNetwork: true"));
}
