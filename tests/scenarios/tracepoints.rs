//! The ways to hook up to a tracepoint, each forced on a kernel that takes the best: with the same counts and the same words. And
//! what is traced beside tracepoints, where a kernel lets it be.

use std::{io::ErrorKind, process::Command};

use lab::{
    agent::Agent,
    app::Listen,
    descriptors::numbers,
    kernel::{self, GIVES_DROP_REASONS},
    nlb::{connect, in_vain},
    perf::Events,
    plan::{Family, Plan},
    shell,
    tampered::Copied,
    topology::Topology,
    witness,
};
use serde_json::Value;

use crate::{
    fallbacks::{HOOKS, REFINEMENT, Scene, hooks, ids, sum, watching},
    row::PATIENCE,
    turns,
};

// Kinds of programs (include/uapi/linux/bpf.h, v5.10).
const TRACEPOINT: u64 = 5;
const RAW_TRACEPOINT: u64 = 17;
const TRACING: u64 = 26;

/// Runs a program where tracefs is mounted, or where none is, in a mount namespace of its own.
const WITH_TRACEFS: &str = r#"
[ -d /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing
exec "$@"
"#;
const WITHOUT_TRACEFS: &str = r#"
set -e
for place in /sys/kernel/tracing /sys/kernel/debug; do
    if [ -d $place ]; then mount -t tmpfs tmpfs $place; fi
done
exec "$@"
"#;

/// An agent all of whose raw tracepoints and those with types are refused.
fn without_raw_tracepoints(scene: &Scene, script: &str) -> (Agent, Copied) {
    let programs =
        ["kfree_skb_typed", "kfree_skb", "inet_sock_set_state", "tcp_retransmit_synack", REFINEMENT];
    let copy = Copied::refused(&scene.lab.task, &programs);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(&copy.0);
    command.args(scene.arguments(&kernel::arguments()));
    (watching(Agent::spawn(&scene.lab.task, command)), copy)
}

/// Number of a tracepoint, for perf.
fn number(scene: &Scene, tracepoint: &str) -> u64 {
    let id = format!("/sys/kernel/tracing/events/{tracepoint}/id");
    let text =
        shell::run(&scene.lab.task, "unshare", &["--mount", "sh", "-c", WITH_TRACEFS, "sh", "cat", &id], "");
    text.trim().parse().expect("a number")
}

#[test]
fn events_are_told_by_their_records_where_no_raw_tracepoint_is_taken() {
    let _turn = turns::share();
    for family in [Family::V4, Family::V6] {
        let scene = Scene::new(family);
        let (mut agent, _copy) = without_raw_tracepoints(&scene, WITH_TRACEFS);
        let start = agent.lines()[0].clone();
        let kinds = numbers(agent.id(), "prog_type:");
        let of = |kind: u64| kinds.iter().filter(|one| **one == kind).count();
        assert_eq!([TRACEPOINT, RAW_TRACEPOINT, TRACING].map(of), [3, 0, 0]);
        let spots: &[&str] = if *GIVES_DROP_REASONS { &[] } else { &["drop_reasons"] };
        assert_eq!((hooks(&start), ids(&start)), (HOOKS, spots.to_vec()), "{start}");
        // Others who listen to the same hear it still.
        let others = Events::open(number(&scene, "sock/inet_sock_set_state"));
        scene.ask();
        assert!(others.count() > 0, "no state changed for others");
        agent.wait_until("the connection to be served", PATIENCE, |lines| {
            let counts = ["established", "served"].map(|stage| sum(lines, "client", stage));
            (counts == [1, 1]).then_some(())
        });
        let (lab, plan) = (&scene.lab, &scene.lab.plan);
        // The answer gets lost behind the host, so that it is sent again.
        let lost = "add table inet lost
             add chain inet lost input { type filter hook input priority 0; }
             add rule inet lost input tcp flags & (syn|ack) == (syn|ack) drop";
        shell::nft(&lab.nodes[0], lost);
        let sent_again = || witness::netstat(&lab.task, "TcpExt", "TCPSynRetrans");
        let before = sent_again();
        let wait = std::time::Duration::from_millis(1500);
        in_vain(lab.nodes[0].run(|| connect(plan.node(0), plan.target(), wait)), ErrorKind::TimedOut);
        agent.wait_until("the answer that was sent again to be counted", PATIENCE, |lines| {
            let of = |line: &Value| line["synack_retransmits"].as_u64().unwrap_or(0);
            let counted: u64 = lines.iter().filter(|line| line["kind"] == "report").map(of).sum();
            (counted > 0 && counted == sent_again() - before).then_some(())
        });
        shell::nft(&lab.nodes[0], "delete table inet lost");
        scene.drop_one();
        let reason = if *GIVES_DROP_REASONS { "NETFILTER_DROP" } else { "not told by this kernel" };
        agent.wait_until("the drop to be counted", PATIENCE, |lines| {
            let dropped = |line: &Value| line["drop_reasons"][reason].as_u64().unwrap_or(0);
            (lines.iter().map(dropped).sum::<u64>() > 0).then_some(())
        });
        let ended = agent.stop();
        assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""));
    }
}

#[test]
fn without_tracefs_tracepoints_that_are_refused_are_blind_spots() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4);
    let (mut agent, _copy) = without_raw_tracepoints(&scene, WITHOUT_TRACEFS);
    let start = agent.lines()[0].clone();
    let wanted = ["kfree_skb", "inet_sock_set_state", "tcp_retransmit_synack", "drop_reasons"];
    let count = if *GIVES_DROP_REASONS { 3 } else { 4 };
    assert_eq!(ids(&start), wanted[..count], "{start}");
    let ended = agent.stop();
    assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""));
}

/// A raw tracepoint serves where the kernel takes no program whose arguments have types: with the same counts and the same words.
#[test]
fn drops_are_told_over_a_raw_tracepoint_where_there_are_no_types() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4);
    // The other program of that type is out of the way in both.
    let both = Copied::refused(&scene.lab.task, &[REFINEMENT]);
    let raw = Copied::refused(&scene.lab.task, &["kfree_skb_typed", REFINEMENT]);
    for (copy, has_types) in [(both, true), (raw, false)] {
        let mut command = Command::new(&copy.0);
        command.args(scene.arguments(&kernel::arguments()));
        let mut agent = watching(Agent::spawn(&scene.lab.task, command));
        let start = agent.lines()[0].clone();
        assert_eq!(hooks(&start), HOOKS, "{start}");
        assert_eq!(numbers(agent.id(), "prog_type:").contains(&TRACING), has_types);
        scene.drop_one();
        scene.lab.firewall_off();
        agent.wait_until("the drop to be counted", PATIENCE, |lines| {
            let of = |line: &Value, reason| line["drop_reasons"][reason].as_u64().unwrap_or(0);
            let reasons = ["NETFILTER_DROP", "not told by this kernel"];
            lines.iter().any(|line| reasons.iter().any(|reason| of(line, reason) > 0)).then_some(())
        });
        let ended = agent.stop();
        if *GIVES_DROP_REASONS {
            let named = |line: &Value| line["drop_reasons"]["NETFILTER_DROP"].as_u64().is_some();
            assert!(ended.lines.iter().any(named), "{has_types}: {}", ended.text);
        }
    }
}

/// A kernel that lets the begin of a function be traced shows whose SYNs meet a full queue; else they are those of which nothing
/// else accounts for. Found is it either way.
#[test]
fn a_full_queue_is_found_whether_its_syns_can_be_seen_or_not() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let full =
        Listen { backlog: 2, accepts: false, ..Listen::on_all(lab.plan.task.address(), lab.plan.port) };
    let scene = Scene::of(lab, full);
    let (lab, plan) = (&scene.lab, &scene.lab.plan);
    let wait = std::time::Duration::from_millis(500);
    // One more than the backlog fits in, by the kernel's way to compare.
    let _held: Vec<_> = (0..3)
        .map(|_| lab.client.run(|| connect(plan.client.address(), plan.target(), PATIENCE)).expect("room"))
        .collect();
    let overflows = || witness::netstat(&lab.task, "TcpExt", "ListenOverflows");
    for refused in [&[][..], &[REFINEMENT]] {
        let copy = Copied::refused(&lab.task, refused);
        let mut command = Command::new(&copy.0);
        command.args(scene.arguments(&kernel::arguments()));
        let mut agent = watching(Agent::spawn(&lab.task, command));
        let start = agent.lines()[0].clone();
        let is_seen = start["hooks"].as_array().into_iter().flatten().any(|hook| hook == REFINEMENT);
        assert!(refused.is_empty() || !is_seen, "{start}");
        assert!(!ids(&start).contains(&REFINEMENT), "{start}");
        let before = overflows();
        in_vain(lab.nodes[0].run(|| connect(plan.node(0), plan.target(), wait)), ErrorKind::TimedOut);
        let found =
            agent.wait_for("the queue to be named", PATIENCE, |line| line["code"] == "accept_queue_full");
        let happened = overflows() - before;
        assert_eq!(found["sources"], serde_json::json!([plan.node(0).to_string()]), "{found}");
        match found["syns_at_full_queue"].as_u64() {
            Some(seen) => assert!(is_seen && (1..=happened).contains(&seen), "{happened}: {found}"),
            None => assert!(!is_seen, "{found}"),
        }
        agent.stop();
    }
}
