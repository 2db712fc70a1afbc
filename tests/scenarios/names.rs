//! The NLB by its name: the addresses that a name server gives, and what it gives later.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use lab::{
    agent::{self, Agent, START, words},
    app::{App, Listen},
    client::ask,
    dns::Dns,
    metadata::{Manner, Metadata, task_page},
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    topology::Topology,
};
use serde_json::Value;

use crate::{expected::arrived, row::PATIENCE, turns};

const NLB: &str = "orders-0123456789abcdef.elb.us-west-2.amazonaws.com";

/// The NLB's name in the zone that the task's metadata tell of.
const IN_ZONE: &str = "us-west-2d.orders-0123456789abcdef.elb.us-west-2.amazonaws.com";

/// `agent trace` in the task, where names are asked for at the lab's own server.
fn trace(lab: &Topology, ecs: Option<&Metadata>, arguments: &str) -> Agent {
    let mut command = Dns::asked_by(agent::binary());
    let every = 300 * lab::wait::pace();
    let text = format!("trace --output json --interval 300ms --resolve-every {every}ms {arguments}");
    command.args(words(&text)).env("AWS_EC2_METADATA_DISABLED", "true");
    if let Some(ecs) = ecs {
        command.env("ECS_CONTAINER_METADATA_URI_V4", ecs.ecs_uri());
    }
    Agent::spawn(&lab.task, command)
}

fn started(agent: &mut Agent) -> Value {
    agent.wait_for("the agent to watch", START, |line| line["kind"] == "start")
}

/// The nodes that the start names.
fn nodes(start: &Value) -> BTreeSet<String> {
    let nodes = start["nlb"].as_array().expect("a list").iter();
    nodes.map(|node| node.as_str().expect("an address").to_owned()).collect()
}

fn texts<const N: usize>(addresses: [IpAddr; N]) -> BTreeSet<String> {
    addresses.iter().map(ToString::to_string).collect()
}

/// Waits for reports that have a row of this node: named ones are always shown.
fn wait_row(agent: &mut Agent, node: IpAddr) {
    let node = node.to_string();
    agent.wait_for("a row of the node", PATIENCE, |line| {
        line["kind"] == "report" && line["source"] == node.as_str() && line["class"] != "other"
    });
}

fn well(agent: Agent) {
    let ended = agent.stop();
    assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""), "{}", ended.text);
}

fn a_name_that_changes_is_followed(family: Family) {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let (plan, names) = (&lab.plan, Dns::start(&lab.task));
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    // A node that comes later has an address of its own.
    let (first, second, third) = (plan.node(0), plan.node(1), plan.client.addresses[1]);
    names.set(NLB, &[first, second]);
    let mut agent = trace(&lab, None, &format!("--port {} --nlb {NLB}", plan.port));
    assert_eq!(nodes(&started(&mut agent)), texts([first, second]));

    names.set(NLB, &[second, third]);
    wait_row(&mut agent, third);
    // The one that was withdrawn is not forgotten: DNS withdraws those that fail.
    let told = agent.lines().len();
    for (namespace, from) in [(&lab.client, third), (&lab.nodes[0], first)] {
        namespace.run(|| ask(from, plan.target())).expect("an answer");
    }
    agent.wait_until("both to be counted as nodes", PATIENCE, |lines| {
        let counts = arrived(&lines[told..], plan.port);
        let is_counted = |node: IpAddr| counts.get(&node.to_string()).is_some_and(|count| *count > 0);
        (is_counted(third) && is_counted(first)).then_some(())
    });
    well(agent);
    drop((app, names));
}

#[test]
fn a_name_that_changes_is_followed_and_no_address_forgotten_ipv4() {
    a_name_that_changes_is_followed(Family::V4);
}

#[test]
fn a_name_that_changes_is_followed_and_no_address_forgotten_ipv6() {
    a_name_that_changes_is_followed(Family::V6);
}

/// DNS has withdrawn the zone's address from the NLB's name, because the zone fails: the zone's own name still has it.
#[test]
fn the_name_in_the_tasks_own_zone_is_asked_for_too() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let (plan, names) = (&lab.plan, Dns::start(&lab.task));
    names.set(NLB, &[plan.node(0)]);
    names.set(IN_ZONE, &[plan.node(1)]);
    let page = task_page(plan.task.address(), &plan.task.subnet.to_string(), Duration::from_secs(3600));
    let ecs = Metadata::start(&lab.task, page, Manner::Answers);
    let mut agent = trace(&lab, Some(&ecs), &format!("--port 80 --nlb {NLB}"));
    assert!(nodes(&started(&mut agent)).is_superset(&texts([plan.node(0)])));
    // With the start, or a moment later where the machine is slow.
    wait_row(&mut agent, plan.node(1));
    assert!(names.questions().iter().any(|name| name == IN_ZONE), "{:?}", names.questions());
    well(agent);
}

/// The node of the task's own zone probes, the other never comes: a note. The other way round it is a fault.
fn said_of_a_node_that_never_came(own_zone_probes: bool) -> Value {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let (plan, names) = (&lab.plan, Dns::start(&lab.task));
    let _app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    names.set(NLB, &[plan.node(0), plan.node(1)]);
    names.set(IN_ZONE, &[plan.node(1)]);
    let page = task_page(plan.task.address(), &plan.task.subnet.to_string(), Duration::from_secs(3600));
    let ecs = Metadata::start(&lab.task, page, Manner::Answers);
    let interval = plan.interval.as_millis();
    let arguments =
        format!("--port {} --nlb {NLB} --client-ip preserved --health-interval {interval}ms", plan.port);
    let mut agent = trace(&lab, Some(&ecs), &arguments);
    wait_row(&mut agent, plan.node(1));
    let (comes, absent) = if own_zone_probes { (1, 0) } else { (0, 1) };
    let check = Check::every(plan.interval, Speech::Tcp);
    let node = Node::start(&lab.nodes[comes], plan.node(comes), plan.target(), check);
    let absent = serde_json::json!([plan.node(absent).to_string()]);
    let said = agent.wait_for("what is said of the other", PATIENCE, |line| {
        line["kind"] == "finding"
            && line["state"] != "cleared"
            && line["sources"] == absent
            && line["confidence"] == "inferred"
    });
    drop(node);
    well(agent);
    said
}

#[test]
fn a_node_of_another_zone_that_never_came_is_a_note() {
    let said = said_of_a_node_that_never_came(true);
    assert_eq!((&said["code"], &said["severity"]), (&"probes_partial".into(), &"note".into()), "{said}");
}

#[test]
fn the_node_of_the_own_zone_that_never_came_is_a_fault() {
    let said = said_of_a_node_that_never_came(false);
    assert_eq!((&said["code"], &said["severity"]), (&"probes_missing".into(), &"fault".into()), "{said}");
}

#[test]
fn a_zones_name_that_was_given_is_enough() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let (plan, names) = (&lab.plan, Dns::start(&lab.task));
    names.set(NLB, &[plan.node(0), plan.node(1)]);
    names.set(IN_ZONE, &[plan.node(1)]);
    let page = task_page(plan.task.address(), &plan.task.subnet.to_string(), Duration::from_secs(3600));
    let ecs = Metadata::start(&lab.task, page, Manner::Answers);
    let mut agent = trace(&lab, Some(&ecs), &format!("--port 80 --nlb {IN_ZONE}"));
    assert_eq!(nodes(&started(&mut agent)), texts([plan.node(1)]));
    let asked: BTreeSet<String> = names.questions().into_iter().collect();
    assert_eq!(asked, [IN_ZONE.to_owned()].into(), "no zone has a zone");
    well(agent);
}

#[test]
fn a_name_that_does_not_exist_is_the_operators_to_mend() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let names = Dns::start(&lab.task);
    let ended = trace(&lab, None, "--port 80 --nlb mistyped.example").wait_end();
    assert_eq!((ended.status.code(), ended.text.as_str()), (Some(2), ""), "{}", ended.errors);
    let told = "resolving --nlb mistyped.example";
    assert!(ended.errors.contains(told) && ended.errors.contains("check the name"), "{}", ended.errors);
    // Told to stay, it asks again, and takes what it gets then.
    let mut agent = trace(&lab, None, "--port 80 --on-blind stay --nlb mistyped.example");
    started(&mut agent);
    names.set("mistyped.example", &[lab.plan.node(0)]);
    wait_row(&mut agent, lab.plan.node(0));
    assert_eq!(agent.stop().status.code(), Some(0));
}
