//! `agent diagnose`: ends as soon as the verdict is sure, and exits by it.

use std::time::{Duration, Instant};

use lab::{
    agent::{Agent, Ended},
    app::{App, Listen},
    kernel::GIVES_DROP_REASONS,
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    topology::Topology,
    witness,
};

use crate::{blind::healthy_at_best, turns};

struct Scene {
    lab: Topology,
    _app: App,
    _nodes: Vec<Node>,
}

impl Scene {
    /// An application and two nodes that probe it.
    fn new(family: Family, before: impl FnOnce(&Topology)) -> Self {
        let lab = Topology::new(Plan::draw(family));
        let plan = &lab.plan;
        let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
        before(&lab);
        let check = Check::every(plan.interval, Speech::Http);
        let start = |number: usize| Node::start(&lab.nodes[number], plan.node(number), plan.target(), check);
        let nodes = vec![start(0), start(1)];
        Self { lab, _app: app, _nodes: nodes }
    }

    /// Runs it in the task, with the nodes named.
    fn diagnose(&self, more: &str) -> (Ended, Duration) {
        let plan = &self.lab.plan;
        let text = format!(
            "diagnose --port {} --nlb {} {} --health-interval {}ms {more}",
            plan.port,
            plan.node(0),
            plan.node(1),
            plan.interval.as_millis()
        );
        self.run(&text)
    }

    fn run(&self, arguments: &str) -> (Ended, Duration) {
        let began = Instant::now();
        let words: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        let ended = Agent::start(&self.lab.task, &words).wait_end();
        assert_eq!(ended.errors, "", "{}", ended.text);
        assert_eq!(witness::attached(&self.lab.task), [""; 0]);
        (ended, began.elapsed())
    }
}

#[test]
fn a_healthy_service_is_said_so_once_every_node_was_served_twice() {
    let _turn = turns::share();
    for family in [Family::V4, Family::V6] {
        let scene = Scene::new(family, |_| {});
        // A kernel that does not tell everything never makes it sure.
        let wait = if *GIVES_DROP_REASONS { "10m" } else { "8s" };
        let (ended, _) = scene.diagnose(&format!("--output json --wait {wait}"));
        let stop = ended.lines.last().expect("a last line");
        let verdict = healthy_at_best();
        let (code, reason) = if verdict == "healthy" { (0, "a sure verdict") } else { (4, "duration") };
        assert_eq!(ended.status.code(), Some(code), "{}", ended.text);
        assert_eq!((&stop["verdict"], &stop["reason"]), (&verdict.into(), &reason.into()));
        for node in 0..2 {
            let label = scene.lab.plan.node(node).to_string();
            let served = ended.lines.iter().filter(|line| line["source"] == label.as_str());
            assert!(served.filter_map(|line| line["served"].as_u64()).sum::<u64>() >= 2, "{}", ended.text);
        }
    }
}

#[test]
fn a_fault_is_said_with_its_evidence_as_soon_as_it_is_proven() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4, |lab| {
        lab.firewall("input", &format!("ip saddr {} tcp dport {} drop", lab.plan.node(0), lab.plan.port));
    });
    if !*GIVES_DROP_REASONS {
        // Nothing proves it, so it waits as long as it was told to and says what it is blind to.
        let (ended, _) = scene.diagnose("--wait 4s");
        assert_eq!(ended.status.code(), Some(4), "{}", ended.text);
        assert!(ended.text.contains("this kernel gives no drop reasons"), "{}", ended.text);
        return;
    }
    let (ended, _) = scene.diagnose("--wait 10m");
    assert_eq!(ended.status.code(), Some(1), "{}", ended.text);
    for part in ["[host_firewall, proven]", "evidence: syns_dropped ", "(hook)", "verdict: fault"] {
        assert!(ended.text.contains(part), "{part} is not in {}", ended.text);
    }
    assert_eq!(ended.text.matches("\nverdict: ").count(), 1, "one report and no more: {}", ended.text);
}

#[test]
fn absence_takes_three_intervals_to_be_said() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V6, |lab| lab.block_towards_task(&[lab.plan.node(1)]));
    let (ended, took) = scene.diagnose("--output json");
    assert_eq!(ended.status.code(), Some(1), "{}", ended.text);
    assert!(took >= 3 * scene.lab.plan.interval, "{took:?}");
    let findings: Vec<_> = ended.lines.iter().filter(|line| line["kind"] == "finding").collect();
    assert!(findings.iter().all(|line| line["code"] == "probes_missing"), "{}", ended.text);
    assert_eq!(findings.last().map(|line| &line["confidence"]), Some(&"inferred".into()));
}

#[test]
fn what_nobody_was_named_for_is_inconclusive_at_the_end_of_the_wait() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4, |_| {});
    let (ended, took) = scene.run(&format!("diagnose --port {} --wait 2s", scene.lab.plan.port));
    assert_eq!(ended.status.code(), Some(4), "{}", ended.text);
    // They call themselves health checks, so they are learned; whether there are more, nobody can know.
    assert!(ended.text.contains("verdict: inconclusive: "), "{}", ended.text);
    assert!(ended.text.contains("the nodes were learned"), "{}", ended.text);
    assert!(ended.text.contains("(learned)"), "{}", ended.text);
    assert!(took >= Duration::from_secs(2), "{took:?}");
}
