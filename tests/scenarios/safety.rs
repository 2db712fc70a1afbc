//! A flood of SYNs from everywhere at the port, as fast as every CPU can send them: every health check is counted and told
//! from it, the verdict stays right, and the agent's memory flat.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use lab::{
    agent::{Agent, Ended, words},
    app::{App, Listen},
    flood,
    frame::{Frame, Link},
    nlb::{Belief, Check, Node, Speech},
    plan::{Family, Plan},
    topology::Topology,
    wait,
    witness::Witness,
};
use serde_json::Value;

use crate::{
    expected::{arrived, last_verdict, wait_verdict},
    row::{PATIENCE, nodes},
    turns,
};

/// Sources at a time, and SYNs before they are drawn anew.
const SOURCES: usize = 512;
const AT_ONCE: u64 = 20_000;

/// What the allocator may keep besides, however long it runs.
const ALLOCATOR_KIB: u64 = 512;

/// SYNs a second below which it is no flood, on a machine that is not emulated.
const LEAST: f64 = 20_000.0;

#[test]
fn a_flood_from_everywhere_hides_no_probe_ipv4() {
    stays_right(Family::V4, Duration::from_secs(5));
}

#[test]
fn a_flood_from_everywhere_hides_no_probe_ipv6() {
    stays_right(Family::V6, Duration::from_secs(5));
}

/// `LAB_FLOOD_SECONDS`: 60 when nobody says.
#[test]
#[ignore = "minutes long: LAB_FLOOD_SECONDS=60 cargo xtask test -- --ignored safety::"]
fn a_long_flood_from_everywhere_hides_no_probe() {
    let seconds = std::env::var("LAB_FLOOD_SECONDS").map_or(60, |text| text.parse().expect("a number"));
    for family in [Family::V4, Family::V6] {
        stays_right(family, Duration::from_secs(seconds));
    }
}

fn stays_right(family: Family, long: Duration) {
    let _turn = turns::alone();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let [a, b] = nodes(plan);
    let witness = Witness::new(&lab.task, family, &[a, b], plan.port);
    let mut agent = Agent::trace(
        &lab.task,
        &words(&format!("--port {} --nlb {a} {b} --interval 500ms --health-interval 1s", plan.port)),
    );
    let check = Check {
        speech: Speech::Http,
        interval: Duration::from_millis(250) * wait::pace(),
        // A SYN that finds no room in a queue of its CPU comes again after a second.
        timeout: Duration::from_secs(5) * wait::pace(),
        unhealthy_threshold: 2,
        healthy_threshold: 2,
    };
    let probers = [0, 1].map(|at| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check));
    wait_verdict(&mut agent, "healthy");

    let began = Instant::now();
    let (sent, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let memory = thread::scope(|scope| {
        for cpu in 0..thread::available_parallelism().map_or(1, usize::from) {
            let (lab, sent, is_over) = (&lab, &sent, &is_over);
            scope.spawn(move || flood_from_everywhere(lab, cpu, sent, is_over));
        }
        thread::sleep(long / 3);
        let before = agent.anonymous_kib();
        thread::sleep(long * 2 / 3);
        let after = agent.anonymous_kib();
        is_over.store(true, Ordering::Relaxed);
        (before, after)
    });
    let flood = sent.load(Ordering::Relaxed);
    let rate = flood as f64 / began.elapsed().as_secs_f64();
    for node in &probers {
        assert_eq!(node.belief(), Belief::Healthy, "the flood alone made a node lose its target");
    }
    let probes: u64 = probers.into_iter().map(|node| node.stop().sent).sum();
    agent.wait_until("every SYN and probe to be reported", PATIENCE, |lines| {
        let all = witness.counts()[""];
        let counted = arrived(lines, plan.port).values().sum::<u64>() >= all;
        (counted && sum(lines, "probes_ended") >= probes).then_some(())
    });
    let ended = agent.stop();
    drop(app);
    let (before, after) = memory;
    println!("{flood} SYNs, {rate:.0} a second, among {probes} probes; {before} KiB, then {after} KiB");
    assert!(rate >= LEAST / f64::from(wait::pace().pow(2)), "a flood of {rate:.0} a second is none");
    is_told_apart(&ended, &witness, plan, probes);
    assert!(after <= before + ALLOCATOR_KIB, "memory grows: {before} KiB, then {after} KiB");
}

/// Every probe counted for its node and as one, everybody else for nobody's, and nothing wrong found.
fn is_told_apart(ended: &Ended, witness: &Witness<'_>, plan: &Plan, probes: u64) {
    let (counted, seen) = (arrived(&ended.lines, plan.port), witness.counts());
    let mut strangers = seen[""];
    for node in nodes(plan).map(|node| node.to_string()) {
        assert_eq!(counted[&node], seen[&node], "{node}\n{}", ended.text);
        strangers -= seen[&node];
    }
    assert_eq!(counted["any"], strangers, "{}", ended.text);
    assert_eq!(sum(&ended.lines, "probes_ended"), probes, "{}", ended.text);
    assert_eq!(sum(&ended.lines, "clients_ended"), 0, "{}", ended.text);
    let faults: Vec<&Value> = ended.lines.iter().filter(|line| line["severity"] == "fault").collect();
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(last_verdict(&ended.lines), Some("healthy"), "{}", ended.text);
}

/// Until it is over, each time from other sources.
fn flood_from_everywhere(lab: &Topology, cpu: usize, sent: &AtomicU64, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        sent.fetch_add(flood_once(lab, cpu), Ordering::Relaxed);
    }
}

/// Sends SYNs of everybody to the task's port from this CPU; how many.
pub fn flood_once(lab: &Topology, cpu: usize) -> u64 {
    let plan = &lab.plan;
    let link = Link {
        source: flood::hardware_address(&lab.fabric, "task"),
        destination: flood::hardware_address(&lab.task, &plan.task.interface),
        tags: Vec::new(),
    };
    let syn = || Frame::syn(anybody(plan.family), fastrand::u16(1024..), plan.target()).on(&link);
    let frames: Vec<_> = (0..SOURCES).map(|_| syn()).collect();
    flood::send(&lab.fabric, "task", &frames, AT_ONCE, cpu);
    AT_ONCE
}

/// Anybody on the internet: nobody of the lab.
fn anybody(family: Family) -> IpAddr {
    match family {
        Family::V4 => {
            Ipv4Addr::new(fastrand::u8(20..120), fastrand::u8(..), fastrand::u8(..), fastrand::u8(1..)).into()
        }
        Family::V6 => Ipv6Addr::from_bits(0x2000 << 112 | fastrand::u128(..) >> 8).into(),
    }
}

fn sum(lines: &[Value], name: &str) -> u64 {
    lines.iter().filter(|line| line["kind"] == "report").filter_map(|line| line[name].as_u64()).sum()
}
