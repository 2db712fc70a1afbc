//! What the agent makes of the platform's metadata, however the servers behave.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use lab::{
    agent::{self, Agent, START},
    app::{App, Listen},
    metadata::{Manner, Metadata, instance_pages, task_page},
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    shell,
    topology::Topology,
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{row::PATIENCE, turns};

/// `agent trace` in the task, told where metadata is.
pub fn trace(
    lab: &Topology,
    ecs: Option<&Metadata>,
    imds: Option<&Metadata>,
    arguments: &str,
) -> (Agent, Value) {
    let mut command = Command::new(agent::binary());
    command.args(["trace", "--output", "json"]).args(arguments.split_whitespace());
    if let Some(ecs) = ecs {
        command.env("ECS_CONTAINER_METADATA_URI_V4", ecs.ecs_uri());
    }
    match imds {
        Some(imds) => command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.imds_uri()),
        None => command.env("AWS_EC2_METADATA_DISABLED", "true"),
    };
    let mut agent = Agent::spawn(&lab.task, command);
    let start = agent.wait_for("the agent to watch", START, |line| line["kind"] == "start");
    (agent, start)
}

fn well(agent: Agent) -> Vec<Value> {
    let ended = agent.stop();
    assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""), "{}", ended.text);
    ended.lines
}

fn identity_is_told(family: Family, vpc: &str) {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let (address, subnet) = (lab.plan.task.address(), lab.plan.task.subnet.to_string());
    let ecs =
        Metadata::start(&lab.task, task_page(address, &subnet, Duration::from_secs(3600)), Manner::Answers);
    let imds = Metadata::start(&lab.task, instance_pages(address, vpc), Manner::Answers);
    // Another interface has the default route's source address: what the task says goes first.
    shell::ip(&lab.task, "link add other0 type veth peer name other1");
    shell::ip(&lab.task, "link set other0 up");
    shell::ip(&lab.task, "route replace default dev other0 metric 1");
    shell::ip(&lab.task, "address add 198.51.100.7/24 dev other0");
    let (agent, start) = trace(&lab, Some(&ecs), Some(&imds), "--port 80");
    for (name, value) in [
        ("cluster", json!("prod")),
        ("service", json!("orders-api")),
        ("family", json!("orders")),
        ("revision", json!("26")),
        ("task_id", json!("158d1c8083dd49d6b527399fd6414f5c")),
        ("region", json!("us-west-2")),
        ("account_id", json!("111122223333")),
        ("availability_zone", json!("us-west-2d")),
        ("vpc_id", json!("vpc-1234567890abcdef0")),
        ("instance_id", json!("i-0123456789abcdef0")),
        ("task_addresses", json!([address])),
        ("subnets", json!([subnet])),
        ("vpc_networks", json!([vpc])),
        ("interface", json!(lab.plan.task.interface)),
        // The NLB lives in the VPC, too: nothing in it is called a client for that.
        ("clients", json!([])),
        ("nlb", json!([])),
    ] {
        assert_eq!(start[name], value, "{name} in {start}");
    }
    assert!(start["task_started_at"].is_string() && start["discovery_notes"].is_null(), "{start}");
    assert!(start["choices"][0].to_string().contains("the task's address"), "{start}");
    assert_eq!(imds.requests()[0], "PUT /latest/api/token");
    well(agent);
}

#[test]
fn the_task_is_told_and_its_interface_found_by_its_address_ipv4() {
    identity_is_told(Family::V4, "10.128.0.0/9");
}

#[test]
fn the_task_is_told_and_its_interface_found_by_its_address_ipv6() {
    identity_is_told(Family::V6, "fd00::/8");
}

/// Each takes its limit at most, is one note, and everything else works.
#[test]
fn whatever_the_servers_do_the_agent_watches() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let address = lab.plan.task.address();
    let subnet = lab.plan.task.subnet.to_string();
    for (manner, of_ecs, of_imds) in [
        (
            Manner::NotFound,
            "answers /v4/0123/task with status 404",
            "answers /latest/api/token with status 404",
        ),
        (Manner::Garbage, "does not answer in HTTP/1", "does not answer in HTTP/1"),
        (Manner::Nonsense, "the answer is no task metadata", "the token is no word"),
        (Manner::Huge, "answers with more than 524288 bytes", "answers with more than 1024 bytes"),
        (Manner::Stalls, "did not answer within 2s", "did not answer within 1s"),
    ] {
        let ecs = Metadata::start(&lab.task, task_page(address, &subnet, Duration::ZERO), manner);
        let imds = Metadata::start(&lab.task, instance_pages(address, "10.0.0.0/8"), manner);
        let began = Instant::now();
        let (agent, start) = trace(&lab, Some(&ecs), Some(&imds), "--port 80");
        let limit = if manner == Manner::Stalls { 3 } else { 0 };
        let took = began.elapsed();
        assert!(took < Duration::from_secs(limit) + START / 3, "{manner:?} took {took:?}");
        assert!(took >= Duration::from_secs(limit), "{manner:?} took {took:?}");
        let notes: Vec<&str> =
            start["discovery_notes"].as_array().expect("notes").iter().filter_map(Value::as_str).collect();
        assert_eq!(notes.len(), 2, "{manner:?}: {notes:?}");
        for (note, part) in notes.iter().zip([of_ecs, of_imds]) {
            assert!(note.contains(part) && note.contains("going on without"), "{manner:?}: {note}");
        }
        assert!(start["task_id"].is_null() && start["vpc_networks"].is_null(), "{start}");
        assert_eq!(start["interface"], lab.plan.task.interface.as_str());
        well(agent);
    }
}

/// A server that nobody is: refused at once.
#[test]
fn nobody_there_is_a_note() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    // It listens in another namespace; in the task's, nobody does.
    let gone = Metadata::start(&lab.client, [].into(), Manner::Answers);
    let (agent, start) = trace(&lab, Some(&gone), None, "--port 80");
    assert!(start["discovery_notes"][0].to_string().contains("refused"), "{start}");
    well(agent);
}

/// The metadata of an instance in another VPC than the task's says nothing about the task's.
#[test]
fn another_vpc_is_not_taken_for_the_tasks() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let subnet = lab.plan.task.subnet.to_string();
    let pages = task_page(lab.plan.task.address(), &subnet, Duration::ZERO);
    let ecs = Metadata::start(&lab.task, pages, Manner::Answers);
    // No interface has the task's address, as with branch interfaces, and the first one is in another VPC.
    let imds =
        Metadata::start(&lab.task, instance_pages([192, 0, 2, 9].into(), "10.0.0.0/8"), Manner::Answers);
    let (agent, start) = trace(&lab, Some(&ecs), Some(&imds), "--port 80");
    assert_eq!(start["instance_id"], "i-0123456789abcdef0");
    assert_eq!((&start["vpc_id"], &start["vpc_networks"]), (&json!("vpc-1234567890abcdef0"), &Value::Null));
    well(agent);
}

/// One node probes, the other never did: what may be said about it depends on the task's age alone.
#[test]
fn a_young_tasks_missing_probes_are_suspected_and_an_old_ones_inferred() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let plan = &lab.plan;
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let check = Check::every(plan.interval, Speech::Tcp);
    let node = Node::start(&lab.nodes[0], plan.node(0), plan.target(), check);
    let arguments = format!(
        "--port {} --nlb {} {} --health-interval {}ms --client-ip preserved --interval 400ms",
        plan.port,
        plan.node(0),
        plan.node(1),
        plan.interval.as_millis()
    );
    // So old that it grows up while it is watched.
    let age = Duration::from_secs(180) - Duration::from_secs(6) * lab::wait::pace();
    let subnet = plan.task.subnet.to_string();
    let ecs = Metadata::start(&lab.task, task_page(plan.task.address(), &subnet, age), Manner::Answers);
    let (mut agent, _) = trace(&lab, Some(&ecs), None, &arguments);
    let missing = |line: &Value, confidence: &str| {
        line["kind"] == "finding" && line["code"] == "probes_missing" && line["confidence"] == confidence
    };
    agent.wait_for("the grown task's finding", PATIENCE, |line| missing(line, "inferred"));
    let first = agent.lines().iter().position(|line| missing(line, "inferred")).expect("it came");
    let before = &agent.lines()[..first];
    let suspected: Vec<_> = before.iter().filter(|line| missing(line, "suspected")).collect();
    let intervals = |line: &Value| {
        line["watched_seconds"].as_f64().unwrap_or(0.0) / line["interval_seconds"].as_f64().unwrap_or(1.0)
    };
    // Past the three intervals that would have been enough in an older task.
    assert!(suspected.iter().any(|line| intervals(line) > 3.5), "{suspected:?}");
    assert!(suspected.iter().all(|line| line["task_age_seconds"].as_f64().is_some_and(|age| age < 180.0)));
    let lines = well(agent);
    let stop = lines.last().expect("a last line");
    let summary = stop["summary"].as_str().expect("a text");
    assert!(summary.contains(&format!("never one from {}", plan.node(1))), "{summary}");
    drop((node, app));
}

/// Health checks are refused until the task is told to stop; whether that was too soon, the last words of the agent beside it say.
/// A signal of an operator's is none of ECS.
#[test]
fn a_task_that_is_stopped_before_it_served_a_health_check_started_too_slowly() {
    let _turn = turns::share();
    for (signal, is_slow) in [(Signal::TERM, true), (Signal::INT, false)] {
        let lab = Topology::new(Plan::draw(Family::V4));
        let plan = &lab.plan;
        let check = Check::every(plan.interval, Speech::Tcp);
        let node = Node::start(&lab.nodes[0], plan.node(0), plan.target(), check);
        let arguments = format!(
            "--port {} --nlb {} --health-interval {}ms --client-ip preserved --interval 400ms",
            plan.port,
            plan.node(0),
            plan.interval.as_millis()
        );
        let subnet = plan.task.subnet.to_string();
        let page = task_page(plan.task.address(), &subnet, Duration::from_secs(5));
        let ecs = Metadata::start(&lab.task, page, Manner::Answers);
        let (mut agent, _) = trace(&lab, Some(&ecs), None, &arguments);
        agent.wait_until("some refused health checks", PATIENCE, |lines| {
            let reports = lines.iter().filter(|line| line["kind"] == "report");
            let refused = reports.filter_map(|line| line["arrived"].as_u64()).sum::<u64>();
            (refused >= 3).then_some(())
        });
        agent.signal(signal);
        let ended = agent.wait_end();
        let slow: Vec<_> = ended.lines.iter().filter(|line| line["code"] == "slow_start").collect();
        let gives_reasons = *lab::kernel::GIVES_DROP_REASONS;
        assert_eq!(!slow.is_empty(), is_slow && gives_reasons, "{}", ended.text);
        assert!(
            slow.iter().all(|line| line["severity"] == "fault" && line["confidence"] == "proven"),
            "{slow:?}"
        );
        drop(node);
    }
}
