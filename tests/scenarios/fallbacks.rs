//! What the agent does without something that this kernel has, forced: it says what it cannot see and goes on with the
//! rest. tcx that is missing is forced in `endings.rs` and `neighbours.rs`, by `--attach clsact`.

use std::{io::ErrorKind, process::Command};

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    client::ask,
    kernel::{self, GIVES_DROP_REASONS},
    nlb::{connect, in_vain},
    plan::{Family, Plan},
    shell,
    tampered::Copied,
    topology::Topology,
    witness,
};
use serde_json::Value;

use crate::{
    expected::last_verdict,
    row::{HEALTHY, PATIENCE, Row, nodes, rows},
    turns,
};

/// What counts and looks on both sides of the interface, and three tracepoints.
pub const HOOKS: usize = 7;

pub struct Scene {
    pub lab: Topology,
    _app: App,
}

impl Scene {
    pub fn new(family: Family) -> Self {
        let lab = Topology::new(Plan::draw(family));
        let listen = Listen::on_all(lab.plan.task.address(), lab.plan.port);
        Self::of(lab, listen)
    }

    pub fn of(lab: Topology, listen: Listen) -> Self {
        let app = App::start(&lab.task, listen);
        Self { lab, _app: app }
    }

    pub fn arguments(&self, more: &[String]) -> Vec<String> {
        let plan = &self.lab.plan;
        let [a, b] = nodes(plan);
        let text = format!(
            "trace --output json --port {} --nlb {a} {b} --client {} --client-ip preserved --health-interval 1s --interval 200ms",
            plan.port, plan.client.subnet
        );
        [words(&text), more.to_vec()].concat()
    }

    /// An agent that watches.
    fn watch(&self, more: &[String]) -> Agent {
        watching(Agent::start(&self.lab.task, &self.arguments(more)))
    }

    pub fn ask(&self) {
        let plan = &self.lab.plan;
        self.lab.client.run(|| ask(plan.client.address(), plan.target())).expect("an answer");
    }

    /// SYNs of node 0 that the host's firewall drops.
    pub fn drop_one(&self) {
        let (plan, family) = (&self.lab.plan, self.lab.plan.family.nft());
        let node = plan.node(0);
        self.lab.firewall("input", &format!("{family} saddr {node} tcp dport {} drop", plan.port));
        let wait = std::time::Duration::from_millis(300);
        in_vain(self.lab.nodes[0].run(|| connect(node, plan.target(), wait)), ErrorKind::TimedOut);
    }
}

pub fn watching(mut agent: Agent) -> Agent {
    agent.wait_for("the agent to watch", lab::agent::START, |line| line["kind"] == "start");
    agent
}

/// What a line says is not seen.
pub fn ids(line: &Value) -> Vec<&str> {
    line["blind_spots"].as_array().into_iter().flatten().filter_map(|spot| spot["id"].as_str()).collect()
}

/// What counts where the kernel lets a function be traced, and whose absence costs nothing.
pub const REFINEMENT: &str = "tcp_conn_request";

/// How many hooks a `start` line names, but for that one.
pub fn hooks(line: &Value) -> usize {
    line["hooks"].as_array().into_iter().flatten().filter(|hook| **hook != REFINEMENT).count()
}

/// The sum over all reports of a class.
pub fn sum(lines: &[Value], class: &str, field: &str) -> u64 {
    let of = lines.iter().filter(|line| line["kind"] == "report" && line["class"] == class);
    of.map(|line| line[field].as_u64().unwrap_or(0)).sum()
}

#[test]
fn without_drop_reasons_drops_are_counted_and_not_explained() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4);
    let mut agent = scene.watch(&kernel::without("skb_drop_reason"));
    assert_eq!(ids(&agent.lines()[0]), ["drop_reasons"]);
    scene.ask();
    scene.drop_one();
    agent.wait_until("the drop and the answer to be counted", PATIENCE, |lines| {
        let untold = |line: &Value| line["drop_reasons"]["not told by this kernel"].as_u64().unwrap_or(0);
        let told = lines.iter().map(untold).sum::<u64>() > 0;
        (told && sum(lines, "client", "served") == 1).then_some(())
    });
    let ended = agent.stop();
    assert!(ended.lines.iter().all(|line| line["code"] != "host_firewall"), "{}", ended.text);
    assert_eq!(last_verdict(&ended.lines), Some("inconclusive"), "{}", ended.text);
}

#[test]
fn without_type_information_arrival_reply_and_refusal_are_counted() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V6);
    let mut agent = scene.watch(&words("--btf /nowhere/vmlinux"));
    let start = agent.lines()[0].clone();
    assert_eq!((ids(&start), hooks(&start)), (vec!["btf"], 4), "{start}");
    assert!(start["blind_spots"][0]["text"].to_string().contains("/nowhere/vmlinux"), "{start}");
    scene.ask();
    agent.wait_until("the connection to be counted", PATIENCE, |lines| {
        let counts = ["arrived", "answered"].map(|stage| sum(lines, "client", stage));
        (counts == [1, 1]).then_some(())
    });
    drop(scene._app);
    let plan = &scene.lab.plan;
    let nobody_listens = || connect(plan.client.address(), plan.target(), PATIENCE);
    in_vain(scene.lab.client.run(nobody_listens), ErrorKind::ConnectionRefused);
    agent.wait_until("the refusal to be counted", PATIENCE, |lines| {
        (sum(lines, "client", "refused") == 1).then_some(())
    });
    let ended = agent.stop();
    // A blind spot forbids `healthy`.
    assert_eq!(last_verdict(&ended.lines), Some("inconclusive"), "{}", ended.text);
}

/// A structure has another shape than every kernel so far.
#[test]
fn a_member_that_a_kernel_does_not_have_costs_only_the_hooks_that_read_it() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4);
    let mut agent = scene.watch(&kernel::without("skc_num"));
    let start = agent.lines()[0].clone();
    let wanted: &[&str] = &["inet_sock_set_state", "tcp_retransmit_synack", "drop_reasons"];
    let count = if *GIVES_DROP_REASONS { 2 } else { 3 };
    assert_eq!(ids(&start), wanted[..count], "{start}");
    scene.drop_one();
    if *GIVES_DROP_REASONS {
        agent.wait_for("the firewall to be named", PATIENCE, |line| line["code"] == "host_firewall");
    }
    assert_eq!(agent.stop().status.code(), Some(0));
}

/// The blind spots where a hook's programs are refused: those that look closer only, or all of them.
const REFUSALS: [(&[&str], &[&str]); 7] = [
    (&["hct_ingress"], &["hct_openings"]),
    (&["hct_egress"], &["hct_answers"]),
    (&["hct_ingress", "hct_ingress_syn"], &["hct_openings", "hct_ingress"]),
    (&["hct_egress", "hct_egress_syn"], &["hct_answers", "hct_egress"]),
    (&["kfree_skb_typed", "kfree_skb", "kfree_skb_parsed"], &["kfree_skb"]),
    (&["inet_sock_set_state", "inet_sock_set_state_parsed"], &["inet_sock_set_state"]),
    (&["tcp_retransmit_synack", "tcp_retransmit_synack_parsed"], &["tcp_retransmit_synack"]),
];

#[test]
fn a_program_that_the_verifier_refuses_costs_only_what_it_sees() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4);
    for (refused, lost) in REFUSALS {
        let copy = Copied::refused(&scene.lab.task, refused);
        let mut command = Command::new(&copy.0);
        command.args(scene.arguments(&kernel::arguments()));
        let mut agent = watching(Agent::spawn(&scene.lab.task, command));
        let start = agent.lines()[0].clone();
        let spots: Vec<_> = ids(&start).into_iter().filter(|id| *id != "drop_reasons").collect();
        assert_eq!(spots, lost, "{start}");
        assert_eq!(hooks(&start), HOOKS - lost.len(), "{start}");
        scene.ask();
        // Whoever sees SYNs and whoever sees SYN-ACKs counts for himself.
        let seen = if lost.contains(&"hct_ingress") { "answered" } else { "arrived" };
        agent.wait_until("the connection to be counted", PATIENCE, |lines| {
            (sum(lines, "client", seen) == 1).then_some(())
        });
        let ended = agent.stop();
        assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""), "{lost:?}");
        assert_eq!(last_verdict(&ended.lines), Some("inconclusive"), "{lost:?}: {}", ended.text);
        assert_eq!(witness::attached(&scene.lab.task), [""; 0], "{lost:?}");
    }
}

#[test]
fn what_the_verifier_says_is_kept_for_those_who_ask() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4);
    let copy = Copied::refused(
        &scene.lab.task,
        &["kfree_skb_typed", "kfree_skb", "kfree_skb_parsed", "hct_ingress"],
    );
    for (log, is_kept) in [("debug", true), ("warn", false)] {
        let mut command = Command::new(&copy.0);
        command.args(scene.arguments(&kernel::arguments())).env("RUST_LOG", log);
        let ended = watching(Agent::spawn(&scene.lab.task, command)).stop();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
        for program in ["kfree_skb_typed", "kfree_skb", "hct_ingress"] {
            // The second is how 7.2 says it: it looks at the registers first.
            let says = |line: &str| line.contains("unknown opcode ff") || line.contains("R15 is invalid");
            let said = ended.errors.lines().any(|line| line.contains(program) && says(line));
            assert_eq!(said, is_kept, "{program} with {log}: {}", ended.errors);
        }
        assert!(ended.text.lines().all(|line| line.len() < 16 << 10), "a line is too long");
    }
}

#[test]
fn without_both_programs_that_count_nothing_can_be_observed() {
    let _turn = turns::share();
    let scene = Scene::new(Family::V4);
    let copy =
        Copied::refused(&scene.lab.task, &["hct_ingress", "hct_ingress_syn", "hct_egress", "hct_egress_syn"]);
    let mut command = Command::new(&copy.0);
    command.args(scene.arguments(&kernel::arguments()));
    let ended = Agent::spawn(&scene.lab.task, command).wait_end();
    assert_eq!(ended.status.code(), Some(3), "{}{}", ended.text, ended.errors);
    assert_eq!(ended.errors.lines().count(), 1, "{}", ended.errors);
    assert_eq!(witness::attached(&scene.lab.task), [""; 0]);
}

rows! {
    ipv6_that_is_turned_off_is_not_missed [ipv4] => Row {
        before: |lab| {
            for name in ["all", "default"] {
                shell::sysctl(&lab.task, &format!("ipv6/conf/{name}/disable_ipv6"), "1");
            }
        },
        ..HEALTHY
    };
}
