//! The files of `deploy/` name flags that exist, and what the contract asks of each home.

use std::{collections::BTreeSet, ffi::OsString, fs, process::Command};

use serde_json::Value;

use crate::{
    cli::{Request, parse},
    settings::{Format, OnBlind, Settings},
};

fn accepted(words: &[&str]) -> Box<Settings> {
    let all = ["agent"].iter().chain(words).map(OsString::from);
    match parse(all) {
        Ok(Request::Trace(settings)) => settings,
        Ok(_) => panic!("{words:?} is no trace"),
        Err(text) => panic!("{words:?}: {text}"),
    }
}

/// A file with those places filled in that are no names.
fn filled(text: &str) -> String {
    text.replace("${port}", "8080").replace("${nlb}", "nlb.example")
}

/// The container that runs the agent, and what it is told.
fn container(text: &str) -> (Value, Box<Settings>) {
    let definition: Value = serde_json::from_str(&filled(text)).expect("JSON");
    let containers = definition["containerDefinitions"].as_array().expect("a list");
    let agent = containers.iter().find(|container| container["command"][0] == "trace").expect("the agent's");
    let command: Vec<&str> =
        agent["command"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let settings = accepted(&command);
    assert_eq!(settings.on_blind, OnBlind::Stay, "a blind agent takes nothing down");
    // The log driver brings it to CloudWatch Logs, where dashboard and alarms wait for metrics.
    assert_eq!(settings.format, Format::Emf);
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
    // Its health check finds the file that it keeps, where it can write.
    assert_eq!(sidecar["healthCheck"]["command"], serde_json::json!(["CMD", "/agent", "check", "--live"]));
    let file = sidecar["environment"][0]["value"].as_str().expect("the ready file");
    let place = sidecar["linuxParameters"]["tmpfs"][0]["containerPath"].as_str().expect("a place to write");
    assert!(sidecar["environment"][0]["name"] == "AGENT_READY_FILE" && file.starts_with(place), "{file}");
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

/// What is commented out in the example for systemd is there to be taken in: each is a flag.
#[test]
fn every_variable_of_the_example_is_a_flags() {
    let text = include_str!("../../../deploy/systemd/environment.example");
    let variables = text.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix("AGENT_"));
    let flags: Vec<String> = variables
        .filter_map(|variable| variable.split_once('='))
        .map(|(name, value)| format!("--{}={value}", name.to_ascii_lowercase().replace('_', "-")))
        .filter(|flag| !flag.starts_with("--cloudwatch"))
        .collect();
    let words: Vec<&str> = ["trace"].into_iter().chain(flags.iter().map(String::as_str)).collect();
    let settings = accepted(&words);
    assert!(settings.naming.cluster.is_some() && settings.naming.service.is_some(), "{words:?}");
}

#[test]
fn the_daemon_set_follows_the_node() {
    let text = &filled(include_str!("../../../deploy/kubernetes/daemonset.yaml"));
    let (_, rest) = text.split_once("          args:\n").expect("arguments");
    let words: Vec<&str> = rest.lines().map_while(|line| line.strip_prefix("            - ")).collect();
    let settings = accepted(&words);
    assert!(settings.all_namespaces && settings.on_blind == OnBlind::Stay);
    // Nothing on the node tells them.
    assert!(settings.naming.cluster.is_some() && settings.naming.service.is_some());
    assert!(text.contains("hostPID: true") && text.contains("hostNetwork: true"));
}

/// Capabilities that a text names, as ECS and Kubernetes do.
fn capabilities(text: &str) -> BTreeSet<String> {
    let known = ["BPF", "PERFMON", "NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE", "SYS_RESOURCE", "NET_RAW"];
    let words = text.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_');
    let names = words.map(|word| word.strip_prefix("CAP_").unwrap_or(word));
    names.filter(|name| known.contains(name)).map(str::to_owned).collect()
}

#[test]
fn the_table_of_capabilities_has_what_the_files_add_and_nothing_that_none_adds() {
    let docs = include_str!("../../../docs/deployment.md");
    let (_, table) = docs.split_once("| Capability | For |").expect("a table");
    let (table, _) = table.split_once("\n\n").expect("its end");
    let rows: BTreeSet<String> = table
        .lines()
        .filter_map(|row| row.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    let mut added = BTreeSet::new();
    for file in [
        include_str!("../../../deploy/ecs/daemon.json"),
        include_str!("../../../deploy/ecs/sidecar.json"),
        include_str!("../../../deploy/systemd/health-check-tracer.service"),
        include_str!("../../../deploy/systemd/node.conf"),
        include_str!("../../../deploy/kubernetes/daemonset.yaml"),
    ] {
        added.append(&mut capabilities(file));
    }
    // SETPCAP is what the agent lays down with; no file has to add it.
    added.insert("SETPCAP".to_owned());
    assert_eq!(rows, added);
}

/// Whoever follows the page has given every place a value.
#[test]
fn every_place_in_the_files_is_named_on_the_page_that_fills_them_in() {
    let page = include_str!("../../../deploy/README.md");
    let mut places = BTreeSet::new();
    for text in [
        include_str!("../../../deploy/ecs/daemon.json"),
        include_str!("../../../deploy/ecs/sidecar.json"),
        include_str!("../../../deploy/kubernetes/daemonset.yaml"),
        include_str!("../../../deploy/cloudwatch/alarm-fault.json"),
        include_str!("../../../deploy/cloudwatch/alarm-heartbeat.json"),
        include_str!("../../../deploy/cloudwatch/dashboard.json"),
        include_str!("../../../deploy/cloudwatch/log-group.json"),
        include_str!("../../../deploy/iam/shipping.json"),
    ] {
        places.extend(text.split("${").skip(1).filter_map(|rest| rest.split('}').next()));
    }
    assert!(places.len() > 10, "{places:?}");
    for place in places {
        assert!(page.contains(&format!("{place}=")), "{place}");
    }
}

/// What the README has people run is on the page, too, or is a command of the agent that it takes.
#[test]
fn the_quick_starts_are_steps_of_the_page() {
    let (_, section) = include_str!("../../../README.md").split_once("## Quick starts\n").expect("a section");
    let (section, _) = section.split_once("\n## ").expect("its end");
    let blocks: Vec<&str> =
        section.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 5, "daemon, sidecar, EKS, systemd, CloudWatch Logs");
    let page = include_str!("../../../deploy/README.md");
    for line in blocks.iter().flat_map(|block| block.lines()).map(str::trim) {
        match line.strip_prefix("agent ") {
            // Shipping is a feature of what `cargo xtask dist` builds.
            Some(_) if !crate::ship::cloudwatch::IS_BUILT_IN => assert!(line.contains("--cloudwatch-create")),
            Some(words) => drop(accepted(&words.split_whitespace().collect::<Vec<_>>())),
            None => assert!(page.contains(line), "{line}"),
        }
    }
}

/// systemd's own opinion, where it is installed: of the unit alone, and with the drop-in for a node.
#[test]
fn the_unit_is_understood_by_systemd_and_as_closed_as_the_documents_say() {
    let analyze = |arguments: &[&str]| Command::new("systemd-analyze").args(arguments).output();
    let Ok(version) = analyze(&["--version"]) else {
        eprintln!("SKIPPED: systemd-analyze is not installed (package systemd)");
        return;
    };
    let own = std::env::current_exe().expect("this program");
    let unit = include_str!("../../../deploy/systemd/health-check-tracer.service")
        .replace("/usr/local/bin/agent", &own.display().to_string());
    let directory = std::env::temp_dir().join(format!("agent-unit-{}", std::process::id()));
    fs::create_dir_all(directory.join("health-check-tracer.service.d")).expect("a directory");
    let file = directory.join("health-check-tracer.service");
    fs::write(&file, unit).expect("a file");
    let path = file.to_str().expect("a path");
    let mut levels = Vec::new();
    for node in [false, true] {
        if node {
            let drop_in = include_str!("../../../deploy/systemd/node.conf");
            fs::write(directory.join("health-check-tracer.service.d/node.conf"), drop_in).expect("a file");
        }
        let verified = analyze(&["verify", path]).expect("it runs");
        // Offline: no systemd has to run.
        let rated = analyze(&["security", "--offline=true", path]).expect("it runs");
        let complaints = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(verified.status.success() && !complaints.contains("health-check-tracer"), "{complaints}");
        let text = String::from_utf8_lossy(&rated.stdout).into_owned();
        let (_, level) =
            text.split_once("Overall exposure level for health-check-tracer.service: ").expect("a level");
        levels.push(level.split_whitespace().next().expect("a figure").to_owned());
    }
    fs::remove_dir_all(&directory).expect("removing the directory");
    // Other releases weigh otherwise.
    if String::from_utf8_lossy(&version.stdout).starts_with("systemd 252") {
        let said = format!("gives the unit {}, with `node.conf` {}", levels[0], levels[1]);
        assert!(
            include_str!("../../../docs/deployment.md").contains(&said),
            "docs/deployment.md should say: {said}"
        );
    }
}

/// Whoever builds the image with another tool gets the one that `cargo xtask dist` writes.
#[test]
fn the_container_file_says_what_the_layout_says() {
    let text = include_str!("../../../deploy/Containerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let layout = include_str!("../../../xtask/src/dist/layout.rs");
    assert_eq!(
        lines,
        [
            "FROM scratch",
            "ARG MACHINE=x86_64",
            "COPY agent-${MACHINE} /agent",
            "ENTRYPOINT [\"/agent\"]",
            "CMD [\"trace\"]",
            "STOPSIGNAL SIGTERM"
        ]
    );
    for part in [r#""Entrypoint": ["/agent"]"#, r#""Cmd": ["trace"]"#, r#""StopSignal": "SIGTERM""#] {
        assert!(layout.contains(part), "{part}");
    }
}
