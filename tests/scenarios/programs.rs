//! Programs of somebody else that came after the agent: named where they drop, and where they do not nothing is said.

use std::{collections::BTreeSet, thread::sleep, time::Duration};

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    kernel::{self, GIVES_DROP_REASONS},
    nlb::{Belief, Check, Node, Speech},
    others::Others,
    plan::{Family, Plan},
    topology::Topology,
};
use serde_json::Value;

use crate::{
    expected::{last_verdict, wait_verdict},
    row::{PATIENCE, nodes, recording},
    turns,
};

/// Two nodes that probe, and an agent that calls the target healthy.
struct Scene {
    lab: Topology,
    agent: Agent,
    probers: [Node; 2],
    _app: App,
}

impl Scene {
    /// `None` where the kernel does not say why it drops: then nothing proves that a program did.
    fn new(family: Family) -> Option<Self> {
        if !*GIVES_DROP_REASONS {
            eprintln!("SKIPPED: this kernel gives no drop reasons");
            return None;
        }
        let lab = Topology::new(Plan::draw(family));
        let plan = &lab.plan;
        let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
        let [a, b] = nodes(plan);
        let interval = plan.interval.as_millis();
        let text =
            format!("--port {} --nlb {a} {b} --health-interval {interval}ms --interval 200ms", plan.port);
        let mut agent = Agent::trace(&lab.task, &[words(&text), kernel::arguments(), recording()].concat());
        let check = Check::every(plan.interval, Speech::Tcp);
        let probers =
            [0, 1].map(|number| Node::start(&lab.nodes[number], plan.node(number), plan.target(), check));
        probers.iter().for_each(|node| node.wait_for(Belief::Healthy, PATIENCE));
        wait_verdict(&mut agent, "healthy");
        assert!(agent.lines()[0].get("other_programs").is_none(), "nobody else was there at the start");
        Some(Self { lab, agent, probers, _app: app })
    }

    /// Waits until the drops of the first node are found and somebody is named, and holds that it is this one.
    #[track_caller]
    fn wait_named(&mut self, code: &str, program: &str) {
        let found = self.agent.wait_for("the program to be named", PATIENCE, |line| {
            line["code"] == code && line["programs"].is_string()
        });
        assert_eq!(found["programs"], program, "{found}");
        assert_eq!(
            (&found["severity"], &found["confidence"]),
            (&"fault".into(), &"proven".into()),
            "{found}"
        );
        assert!(found["advice"].to_string().contains(program), "{found}");
        self.probers[0].wait_for(Belief::Unhealthy, PATIENCE);
    }

    /// Long enough for whatever might be concluded by mistake.
    fn let_pass(&self) {
        sleep(6 * self.lab.plan.interval + Duration::from_millis(1200));
    }
}

/// Codes of all faults that were reported, but for early suspicions.
fn faults(lines: &[Value]) -> BTreeSet<&str> {
    let findings = lines.iter().filter(|line| line["kind"] == "finding" && line["severity"] == "fault");
    let sure = findings.filter(|line| line["confidence"] != "suspected");
    sure.filter_map(|line| line["code"].as_str()).collect()
}

fn an_xdp_program_that_comes_later_is_named_until_it_goes(family: Family) {
    let _turn = turns::share();
    let Some(mut scene) = Scene::new(family) else { return };
    let plan = scene.lab.plan.clone();
    let xdp = Others::xdp(&scene.lab.task, &plan.task.interface, plan.node(0)).expect("an XDP program");
    let id = xdp.id("drop_in_front").expect("it is loaded");
    // Its name takes SYS_ADMIN, which was given up.
    scene.wait_named("bpf_drop", &format!("xdp id {id}"));
    drop(xdp);
    scene.probers[0].wait_for(Belief::Healthy, PATIENCE);
    wait_verdict(&mut scene.agent, "healthy");
    scene.let_pass();
    let ended = scene.agent.stop();
    assert_eq!(last_verdict(&ended.lines), Some("healthy"));
    assert_eq!(faults(&ended.lines), BTreeSet::from(["bpf_drop"]));
}

fn an_xdp_program_that_comes_later_and_drops_nothing_is_no_finding(family: Family) {
    let _turn = turns::share();
    let Some(mut scene) = Scene::new(family) else { return };
    let interface = scene.lab.plan.task.interface.clone();
    // It drops what the task sends to itself, which never comes by this way.
    let nobody = scene.lab.plan.task.address();
    let xdp = Others::xdp(&scene.lab.task, &interface, nobody).expect("an XDP program");
    scene.let_pass();
    drop(xdp);
    scene.let_pass();
    wait_verdict(&mut scene.agent, "healthy");
    let ended = scene.agent.stop();
    assert_eq!(faults(&ended.lines), BTreeSet::new());
    let named: Vec<_> = ended.lines.iter().filter(|line| line.get("programs").is_some()).collect();
    assert!(named.is_empty(), "{named:?}");
}

/// Of a filter the kernel tells the name to everybody.
fn a_filter_that_comes_later_is_named_by_its_name(family: Family) {
    let _turn = turns::share();
    let Some(mut scene) = Scene::new(family) else { return };
    let plan = scene.lab.plan.clone();
    let filter = Others::clsact_dropping(&scene.lab.task, &plan.task.interface, 10, plan.node(0));
    let filter = filter.expect("the kernel takes a filter");
    let id = filter.id("other_tc").expect("it is loaded");
    scene.wait_named("bpf_drop", &format!("clsact ingress id {id}, other_tc"));
    let ended = scene.agent.stop();
    assert_eq!(faults(&ended.lines), BTreeSet::from(["bpf_drop"]));
}

fn a_program_that_drops_replies_is_named(family: Family) {
    let _turn = turns::share();
    let Some(mut scene) = Scene::new(family) else { return };
    let plan = scene.lab.plan.clone();
    let program = Others::tc_dropping_replies(&scene.lab.task, &plan.task.interface, plan.node(0));
    let program = program.expect("the kernel takes a tc program");
    let id = program.id("drop_replies").expect("it is loaded");
    let is_tcx = scene.agent.lines()[0]["hooks"].to_string().contains("tcx");
    let name =
        if is_tcx { format!("tcx egress id {id}") } else { format!("clsact egress id {id}, drop_replies") };
    scene.wait_named("reply_dropped", &name);
    let ended = scene.agent.stop();
    assert_eq!(faults(&ended.lines), BTreeSet::from(["reply_dropped"]));
}

macro_rules! both_families {
    ($($name:ident)*) => {
        $(mod $name {
            use super::*;

            #[test]
            fn ipv4() {
                super::$name(Family::V4);
            }

            #[test]
            fn ipv6() {
                super::$name(Family::V6);
            }
        })*
    };
}

both_families! {
    an_xdp_program_that_comes_later_is_named_until_it_goes
    an_xdp_program_that_comes_later_and_drops_nothing_is_no_finding
    a_filter_that_comes_later_is_named_by_its_name
    a_program_that_drops_replies_is_named
}
