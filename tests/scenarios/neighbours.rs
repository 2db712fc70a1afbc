//! Others on the same interface: they keep working, and hide nothing from the agent.

use std::net::IpAddr;

use aya::programs::LinkOrder;
use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    client::ask,
    others::Others,
    plan::{Family, Plan},
    topology::Topology,
    witness::attached,
};

use crate::{expected::arrived, row::PATIENCE, turns};

struct Scene {
    lab: Topology,
    _app: App,
}

impl Scene {
    fn new(family: Family) -> Self {
        let lab = Topology::new(Plan::draw(family));
        let app = App::start(&lab.task, Listen::on_all(lab.plan.task.address(), lab.plan.port));
        Self { lab, _app: app }
    }

    fn client(&self) -> IpAddr {
        self.lab.plan.client.address()
    }

    fn ask(&self, times: usize) {
        for _ in 0..times {
            let answer = self.lab.client.run(|| ask(self.client(), self.lab.plan.target()));
            assert!(answer.expect("an answer").starts_with(b"HTTP/1.1 200"));
        }
    }

    fn agent(&self, more: &str) -> Agent {
        let plan = &self.lab.plan;
        let text = format!("--port {} --client {} --interval 200ms {more}", plan.port, plan.client.subnet);
        Agent::trace(&self.lab.task, &words(&text))
    }

    #[track_caller]
    fn wait_counted(&self, agent: &mut Agent, count: u64) {
        let (port, label) = (self.lab.plan.port, self.lab.plan.client.subnet.to_string());
        agent.wait_until("SYNs to be reported", PATIENCE, |lines| {
            (arrived(lines, port).get(&label).copied().unwrap_or(0) == count).then_some(())
        });
    }
}

/// Whether this kernel has tcx (Linux 6.6 and later).
fn has_tcx(agent: &mut Agent) -> bool {
    agent.lines()[0]["hooks"].to_string().contains("tcx")
}

#[test]
fn a_program_that_was_there_first_hides_nothing_and_goes_on_counting() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4);
    let interface = &scene.lab.plan.task.interface;
    let Ok(other) = Others::tc(&scene.lab.task, interface, LinkOrder::first()) else {
        assert!(!has_tcx(&mut scene.agent("")), "a kernel with tcx takes the other program");
        eprintln!("SKIPPED: this kernel has no tcx");
        return;
    };
    scene.ask(3);
    for attach in ["auto", "clsact"] {
        let before = other.seen().expect("its count");
        let mut agent = scene.agent(&format!("--attach {attach}"));
        scene.ask(5);
        // A tcx program that says OK ends the chain in front of clsact: only tcx can be in front of it.
        if attach == "auto" {
            scene.wait_counted(&mut agent, 5);
        }
        assert_eq!(other.seen().expect("its count"), before + 5);
        agent.stop();
        scene.ask(2);
        assert_eq!(other.seen().expect("its count"), before + 7);
    }
    assert_eq!(attached(&scene.lab.task).len(), 1, "the other one is still there");
}

#[test]
fn a_program_that_comes_later_is_called_by_the_agents() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V6);
    let mut agent = scene.agent("");
    scene.ask(2);
    let interface = &scene.lab.plan.task.interface;
    let Ok(other) = Others::tc(&scene.lab.task, interface, LinkOrder::last()) else {
        assert!(!has_tcx(&mut agent), "a kernel with tcx takes the other program");
        eprintln!("SKIPPED: this kernel has no tcx");
        return;
    };
    scene.ask(3);
    scene.wait_counted(&mut agent, 5);
    assert_eq!(other.seen().expect("its count"), 3);
}

#[test]
fn a_program_that_comes_later_and_takes_the_first_place_is_named_as_a_possible_cause() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4);
    let mut agent = scene.agent("--nlb 192.0.2.1 --health-interval 300ms");
    let interface = &scene.lab.plan.task.interface;
    let Ok(other) = Others::tc(&scene.lab.task, interface, LinkOrder::first()) else {
        assert!(!has_tcx(&mut agent), "a kernel with tcx takes the other program");
        eprintln!("SKIPPED: this kernel has no tcx");
        return;
    };
    scene.ask(3);
    assert_eq!(other.seen().expect("its count"), 3, "it ends the chain in front of the agent's");
    let found = agent.wait_for("the absence with its possible cause", PATIENCE, |line| {
        line["kind"] == "finding"
            && line["advice"].to_string().contains("the tc program in front of the agent's")
    });
    assert_eq!(found["confidence"], "suspected", "{found}");
    // Its name takes SYS_ADMIN, which was given up; `bpftool prog show id N` tells it.
    assert!(found["advice"].to_string().contains("agent's (id "), "{found}");
}

#[test]
fn a_clsact_filter_of_somebody_else_stays_and_hides_nothing() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4);
    let (task, interface) = (&scene.lab.task, &scene.lab.plan.task.interface);
    let other = Others::clsact(task, interface, 10).expect("the kernel takes it");
    for attach in ["auto", "clsact"] {
        let before = other.seen().expect("its count");
        let mut agent = scene.agent(&format!("--attach {attach}"));
        scene.ask(4);
        scene.wait_counted(&mut agent, 4);
        assert_eq!(agent.stop().status.code(), Some(0));
        scene.ask(2);
        assert_eq!(other.seen().expect("its count"), before + 6);
    }
    assert_eq!(attached(task), ["other_tc"]);
    assert_eq!(lab::witness::disciplines(task).len(), 1, "the discipline is not the agent's");
}

#[test]
fn two_agents_on_one_interface_count_the_same() {
    let _turn = turns::share();
    for attach in ["auto", "clsact"] {
        let scene = Scene::new(Family::V4);
        let attach = format!("--attach {attach}");
        let (mut one, mut two) = (scene.agent(&attach), scene.agent(&attach));
        assert_eq!(attached(&scene.lab.task).len(), 4);
        scene.ask(6);
        scene.wait_counted(&mut one, 6);
        scene.wait_counted(&mut two, 6);
        one.stop();
        assert_eq!(attached(&scene.lab.task).len(), 2);
        scene.ask(3);
        scene.wait_counted(&mut two, 9);
        two.stop();
        assert_eq!(attached(&scene.lab.task).len(), 0);
    }
}

/// An XDP program and a tc program of somebody else: both are named, and nothing of the agent's own.
#[test]
fn everybody_else_on_the_interface_is_listed() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4);
    let interface = &scene.lab.plan.task.interface;
    let listed = |agent: &mut Agent| {
        let start = agent.wait_for("the first line", PATIENCE, |line| line["kind"] == "start");
        let others = start["other_programs"].as_array().cloned().unwrap_or_default();
        others.iter().map(|other| other.as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    // Another agent is none of them.
    let neighbour = scene.agent("");
    let mut agent = scene.agent("");
    assert_eq!(listed(&mut agent), [""; 0]);
    agent.stop();
    neighbour.stop();
    let nobody: IpAddr = "192.0.2.1".parse().expect("an address");
    let xdp = Others::xdp(&scene.lab.task, interface, nobody).expect("an XDP program");
    let tc = Others::clsact(&scene.lab.task, interface, 10).expect("a tc program");
    let mut agent = scene.agent("");
    let found = listed(&mut agent);
    let [first, second] = &found[..] else { panic!("two others: {found:?}") };
    assert!(first.starts_with("xdp id ") && first.ends_with(", drop_in_front"), "{found:?}");
    assert!(second.starts_with("clsact ingress id ") && second.ends_with(", other_tc"), "{found:?}");
    agent.stop();
    if let Ok(more) = Others::tc(&scene.lab.task, interface, LinkOrder::last()) {
        let mut agent = scene.agent("");
        let found = listed(&mut agent);
        assert!(found.len() == 3 && found[1].starts_with("tcx ingress id "), "{found:?}");
        agent.stop();
        drop(more);
    }
    drop((xdp, tc));
}
