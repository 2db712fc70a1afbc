//! The sidecar of an ECS task, end to end: its task definition's own words, its rights, its metadata, its stop.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use lab::{
    agent::Agent,
    app::{App, Listen},
    metadata::{Manner, Metadata, task_page},
    nlb::{Belief, Check, Node, Speech},
    plan::{Family, Plan},
    topology::Topology,
    witness::{attached, disciplines},
};
use rustix::{process::Signal, thread::CapabilitySet};
use serde_json::Value;

use crate::container::{Image, User};

/// Long enough for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `deploy/ecs/sidecar.json` says of the agent's container, for this port and these nodes.
fn definition(plan: &Plan) -> Value {
    let text = include_str!("../../deploy/ecs/sidecar.json")
        .replace("${port}", &plan.port.to_string())
        .replace("${nlb}", &format!("{},{}", plan.node(0), plan.node(1)));
    let whole: Value = serde_json::from_str(&text).expect("JSON");
    let mut containers = whole["containerDefinitions"].as_array().expect("containers").iter();
    containers.find(|container| container["command"][0] == "trace").expect("the agent's").clone()
}

/// Its command, with the interval of the lab's health checks.
fn command(definition: &Value, plan: &Plan) -> Vec<String> {
    let mut words = texts(&definition["command"]);
    words.extend(["--health-interval".to_owned(), format!("{}ms", plan.interval.as_millis())]);
    words
}

fn texts(list: &Value) -> Vec<String> {
    let words = list.as_array().expect("a list").iter();
    words.map(|word| word.as_str().expect("a word").to_owned()).collect()
}

/// Its variables.
fn environment(definition: &Value) -> Vec<(String, String)> {
    let variables = definition["environment"].as_array().expect("variables").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    variables.map(|variable| (text(&variable["name"]), text(&variable["value"]))).collect()
}

/// Runs its health check as the container runtime does, in the root of the process.
fn is_live(definition: &Value, process: u32) -> bool {
    let words = texts(&definition["healthCheck"]["command"]);
    let (kind, command) = words.split_first().expect("a command");
    assert_eq!(kind, "CMD", "there is no shell in the image");
    let mut check = Command::new("chroot");
    check.arg(format!("/proc/{process}/root")).args(command).env_clear().envs(environment(definition));
    // For chroot itself to be found.
    check.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    check.output().expect("chroot").status.success()
}

/// The capabilities that it adds to none.
fn capabilities(definition: &Value) -> CapabilitySet {
    let wanted = &definition["linuxParameters"]["capabilities"];
    assert_eq!(wanted["drop"], serde_json::json!(["ALL"]));
    let named = wanted["add"].as_array().expect("capabilities").iter();
    named
        .map(|name| match name.as_str().expect("a name") {
            "SYS_ADMIN" => CapabilitySet::SYS_ADMIN,
            "NET_ADMIN" => CapabilitySet::NET_ADMIN,
            "SYS_RESOURCE" => CapabilitySet::SYS_RESOURCE,
            other => panic!("{other} is a capability that this test does not know"),
        })
        .collect()
}

#[test]
#[ignore = "needs an image: cargo xtask dist --try"]
fn a_task_that_is_stopped_while_its_health_checks_fail_has_said_why() {
    let image = Image::unpack();
    let lab = Topology::new(Plan::draw(Family::V4));
    let plan = &lab.plan;
    let definition = definition(plan);
    let address = plan.task.address();
    let _app = App::start(&lab.task, Listen::on_all(address, plan.port));
    let pages = task_page(address, &plan.task.subnet.to_string(), Duration::from_secs(600));
    let ecs = Metadata::start(&lab.task, pages, Manner::Answers);
    let check = Check::every(plan.interval, Speech::Tcp);
    let nodes = [0, 1].map(|number| Node::start(&lab.nodes[number], plan.node(number), plan.target(), check));

    let mut sidecar = image.command(User::Root, capabilities(&definition), &command(&definition, plan));
    sidecar.env("ECS_CONTAINER_METADATA_URI_V4", ecs.ecs_uri()).env("AWS_EC2_METADATA_DISABLED", "true");
    sidecar.envs(environment(&definition));
    let mut agent = Agent::spawn(&lab.task, sidecar);
    let start = agent.wait_for("the agent to watch", PATIENCE, |line| line["kind"] == "start");
    assert_eq!(
        (&start["service"], &start["interface"]),
        (&"orders-api".into(), &plan.task.interface.as_str().into())
    );
    nodes[0].wait_for(Belief::Healthy, PATIENCE);
    assert!(is_live(&definition, agent.id()), "the container's health check");

    lab.firewall("input", &format!("tcp dport {} drop", plan.port));
    let found = agent
        .wait_for("the fault", PATIENCE, |line| line["kind"] == "finding" && line["severity"] == "fault");
    assert_eq!((&found["code"], &found["state"]), (&"host_firewall".into(), &"opened".into()), "{found}");
    nodes[0].wait_for(Belief::Unhealthy, PATIENCE);

    let began = Instant::now();
    agent.signal(Signal::TERM);
    let ended = agent.wait_end();
    let took = began.elapsed();
    let limit = Duration::from_secs(definition["stopTimeout"].as_u64().expect("a limit"));
    assert!(took < limit / 3, "the end took {took:?} of {limit:?}");
    assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""));
    let kinds: Vec<_> =
        ended.lines.iter().rev().map(|line| line["kind"].as_str().unwrap_or_default()).collect();
    assert_eq!(kinds[0], "stop", "{}", ended.text);
    let stop = ended.lines.last().expect("a last line");
    assert_eq!((&stop["verdict"], &stop["reason"]), (&"fault".into(), &"SIGTERM".into()));
    let last = ended.lines.iter().rev().find(|line| line["kind"] == "metrics").expect("a last document");
    assert_eq!(
        (&last["ClusterName"], &last["ServiceName"], &last["Fault"], &last["Heartbeat"]),
        (&"prod".into(), &"orders-api".into(), &1.into(), &1.into()),
        "{last}"
    );
    assert!(last["SynDropped"].as_u64() > Some(0), "{last}");
    assert!(last["findings"].as_array().is_some_and(|open| open.contains(&"host_firewall".into())), "{last}");
    assert_eq!((attached(&lab.task), disciplines(&lab.task)), (vec![], vec![]), "nothing stays behind");
}
