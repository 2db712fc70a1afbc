//! `agent check`: what works, what does not, and nothing left behind.

use std::process::Command;

use lab::{
    agent::{self, Agent, Ended, words},
    app::{App, Listen},
    node::Node,
    plan::{Family, Plan},
    topology::Topology,
    witness::{attached, disciplines},
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::turns;

fn check(lab: &Topology, program: &[&str], arguments: &str, variables: &[(&str, &str)]) -> Ended {
    let mut all: Vec<String> = program.iter().map(|&word| word.to_owned()).collect();
    all.push(agent::binary().display().to_string());
    all.extend(words(arguments));
    let mut command = Command::new(&all[0]);
    command.args(&all[1..]).env("AWS_EC2_METADATA_DISABLED", "true").envs(variables.iter().copied());
    Agent::spawn(&lab.task, command).wait_end()
}

fn state<'a>(ended: &'a Ended, id: &str) -> &'a Value {
    let found = ended.lines.iter().find(|line| line["kind"] == "check" && line["id"] == id);
    found.map_or(&Value::Null, |line| &line["state"])
}

/// Each id is in the table of the documents: scripts rest on them.
#[track_caller]
fn are_documented(ended: &Ended) {
    let (_, table) = include_str!("../../docs/deployment.md").split_once("| Id | What |").expect("a table");
    let table = table.split("\n\n").next().unwrap_or(table);
    for line in ended.lines.iter().filter(|line| line["kind"] == "check") {
        let id = line["id"].as_str().expect("an id");
        assert!(table.contains(&format!("`{id}`")), "{id} is not in docs/deployment.md");
    }
}

/// On a node it enters the namespaces that `trace` would follow, and tries the hooks there.
#[test]
fn a_node_is_checked_where_its_tasks_are() {
    let _turn = turns::share();
    let mut node = Node::new();
    let arguments = format!("check --all-netns --port {} --output json", node.port);
    let run = |node: &Node, program: &[&str]| {
        let mut command = Command::new(program.first().copied().unwrap_or("env"));
        command.args(program.iter().skip(1)).arg(agent::binary()).args(words(&arguments));
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        Agent::spawn(&node.home, command).wait_end()
    };
    let empty = run(&node, &[]);
    assert_eq!((empty.status.code(), state(&empty, "targets")), (Some(0), &json!("warn")), "{}", empty.text);
    let tasks = [node.task(), node.task()];
    let ended = run(&node, &[]);
    assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""), "{}", ended.text);
    assert_eq!((state(&ended, "targets"), state(&ended, "cap_sys_ptrace")), (&json!("pass"), &json!("pass")));
    let tried = ended.lines.iter().filter(|line| line["id"] == "hook_ingress" && line["state"] == "pass");
    assert_eq!(tried.count(), 2, "{}", ended.text);
    are_documented(&ended);
    for task in &tasks {
        assert_eq!(attached(&task.namespace), [""; 0]);
    }
    let without = run(&node, &["setpriv", "--inh-caps=-sys_ptrace", "--bounding-set=-sys_ptrace"]);
    assert_eq!(
        (without.status.code(), state(&without, "cap_sys_ptrace")),
        (Some(0), &json!("warn")),
        "{}",
        without.text
    );
}

#[test]
fn with_all_rights_every_hook_is_tried_and_nothing_stays() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let app = App::start(&lab.task, Listen::on_all(lab.plan.task.address(), lab.plan.port));
    for attach in ["auto", "clsact"] {
        let arguments = format!("check --port {} --attach {attach} --output json", lab.plan.port);
        let ended = check(&lab, &[], &arguments, &[]);
        assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""), "{}", ended.text);
        for id in [
            "kernel",
            "cap_bpf",
            "cap_perfmon",
            "cap_net_admin",
            "btf",
            "memlock",
            "interface",
            "listener",
            "hook_ingress",
            "hook_egress",
            "hook_ingress_openings",
            "hook_egress_answers",
            "hooks",
            "hook_kfree_skb",
            "hook_inet_sock_set_state",
            "hook_tcp_retransmit_synack",
            "ecs_metadata",
        ] {
            assert_eq!(state(&ended, id), "pass", "{id} in {}", ended.text);
        }
        are_documented(&ended);
        assert_eq!((attached(&lab.task), disciplines(&lab.task)), (Vec::new(), Vec::new()), "{attach}");
    }
    drop(app);
    // Nobody listens any more: something to say, and no reason not to observe.
    let ended = check(&lab, &[], &format!("check --port {} --output json", lab.plan.port), &[]);
    assert_eq!((ended.status.code(), state(&ended, "listener")), (Some(0), &json!("warn")), "{}", ended.text);
}

#[test]
fn nobody_without_capabilities_is_told_which_to_add_in_the_words_of_the_platform() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ];
    for (variable, part) in [
        (("ECS_CONTAINER_METADATA_URI_V4", "http://127.0.0.1:9/v4/0"), "linuxParameters"),
        (
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            "securityContext: {runAsUser: 0, capabilities: {add: [BPF,",
        ),
        // systemd leaves this mark, too, but does not run here.
        (("INVOCATION_ID", "0123456789abcdef"), "sudo agent"),
    ] {
        let ended = check(&lab, &nobody, "check --port 80 --output json", &[variable]);
        assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(3), ""), "{}", ended.text);
        // Each hook has its line, although none could be tried.
        for id in [
            "cap_bpf",
            "cap_perfmon",
            "cap_net_admin",
            "hooks",
            "hook_ingress",
            "hook_ingress_openings",
            "hook_kfree_skb",
        ] {
            assert_eq!(state(&ended, id), "fail", "{id} in {}", ended.text);
        }
        let bpf = ended.lines.iter().find(|line| line["id"] == "cap_bpf").expect("it is checked");
        assert!(bpf["fix"].as_str().is_some_and(|fix| fix.contains(part)), "{bpf}");
        assert!(
            bpf["blind"].as_array().is_some_and(|blind| blind.contains(&json!("probes_missing"))),
            "{bpf}"
        );
        assert!(bpf["found"].as_str().is_some_and(|found| found.contains("CAP_BPF is missing")), "{bpf}");
    }
    // In a mount namespace where it does.
    let script = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec \"$@\"";
    let systemd = [&["unshare", "--mount", "sh", "-c", script, "sh"], &nobody[..]].concat();
    let ended =
        check(&lab, &systemd, "check --port 80 --output json", &[("INVOCATION_ID", "0123456789abcdef")]);
    let bpf = ended.lines.iter().find(|line| line["id"] == "cap_bpf").expect("it is checked");
    assert!(
        bpf["fix"].as_str().is_some_and(
            |fix| fix.contains("AmbientCapabilities=CAP_BPF") && fix.contains("CapabilityBoundingSet")
        ),
        "{bpf}"
    );
    are_documented(&ended);
    let text = check(&lab, &nobody, "check --port 80", &[]).text;
    assert!(text.contains("fail  cap_net_admin") && text.contains("cannot observe ("), "{text}");
    assert_eq!(attached(&lab.task), [""; 0]);
}

#[test]
fn one_capability_short_is_that_one() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let without = ["setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin"];
    let ended = check(&lab, &without, "check --port 80 --output json", &[]);
    assert_eq!((state(&ended, "cap_bpf"), state(&ended, "cap_net_admin")), (&json!("pass"), &json!("fail")));
    assert_eq!(ended.status.code(), Some(3), "{}", ended.text);
}

#[test]
fn a_running_agent_is_live_and_a_killed_one_is_not() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let file = std::env::temp_dir().join(format!("agent-ready-{}", lab.plan.seed));
    let variable = [("AGENT_READY_FILE", file.to_str().expect("a path"))];
    let live = || check(&lab, &[], "check --live", &variable);
    assert_eq!(live().status.code(), Some(3), "there is none");
    let mut agent = Agent::trace(&lab.task, &words(&format!("--port 80 --ready-file {}", file.display())));
    let ended = live();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.text);
    assert!(ended.text.contains(&format!("process {} watches", agent.id())), "{}", ended.text);
    agent.signal(Signal::KILL);
    agent.wait_end();
    let ended = live();
    std::fs::remove_file(&file).expect("a killed agent leaves its file");
    assert_eq!(ended.status.code(), Some(3), "{}", ended.text);
    assert!(ended.text.contains("is gone"), "{}", ended.text);
}
