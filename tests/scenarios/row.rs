//! One row of the table: a fault or something that looks like one, and all that has to be said about it.

use std::{
    collections::BTreeMap,
    env,
    net::IpAddr,
    thread::{self, sleep},
    time::{Duration, Instant},
};

use agent::domain::finding::Code;
use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    delay::Delay,
    forwarder::Forwarder,
    kernel::MAY_MISS_RUNS,
    nginx::{Nginx, Site},
    nlb::{Belief, Speech},
    others::Others,
    plan::{Family, Plan},
    topology::Topology,
    wait,
    witness::Witness,
};

use crate::{
    asked::{Asked, Question},
    blind::{Wanted, healthy_at_best},
    expected::{Expected, last_verdict, wait_verdict},
    judge::{concluded, judge, skipped_runs},
    matrix,
    senders::{start_clients, start_nodes},
    turns,
};

/// Longest wait for anything that has to happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How clients reach the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPath {
    /// With their own addresses.
    Preserved,
    /// Through the NLB nodes, with the nodes' addresses.
    Translated,
    /// The same, each connection with a proxy protocol v2 header; health checks have one, too.
    Proxied,
    /// Not at all: they talk to another port, on which nobody listens.
    Elsewhere,
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A fault exists, and it is named.
    Fault,
    /// It looks like what the row is [`Row::near`], and is not, or is too weak to be sure.
    NearMiss,
    /// Everything works in its usual way.
    Calm,
}

impl Kind {
    /// The word in `docs/scenarios.md`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::NearMiss => "near miss",
            Self::Calm => "calm",
        }
    }
}

/// One row.
#[derive(Clone, Copy)]
pub struct Row {
    /// Codes that it looks like and that must not be found for sure.
    pub near: &'static [Code],
    /// How clients reach the task.
    pub clients: ClientPath,
    /// Whether the operator says that clients come; where they keep their addresses it is always said.
    pub expects_clients: bool,
    /// Requests a second.
    pub requests_per_second: u32,
    /// What the NLB speaks in health checks.
    pub speech: Speech,
    /// How the application listens; `None` when it does not.
    pub listen: fn(&Plan) -> Option<Listen>,
    /// nginx as the application, in place of the lab's own.
    pub nginx: fn(&Plan) -> Option<Site>,
    /// What happens to nginx with `after`.
    pub freeze: bool,
    /// A proxy protocol v2 header in front of health checks, as if the target group had it on.
    pub proxied_probes: bool,
    /// Whether health checks end with RST in place of FIN.
    pub probes_reset: bool,
    /// Whether the NLB's nodes probe.
    pub probes: bool,
    /// Port the nodes probe, where it is not the traffic port.
    pub health_port: fn(&Plan) -> Option<u16>,
    /// An XDP program of somebody else that drops the SYNs of this source.
    pub xdp_drops: fn(&Plan) -> Option<IpAddr>,
    /// A tc program of somebody else, behind the agent's, that drops the SYNs of this source.
    pub tc_drops: fn(&Plan) -> Option<IpAddr>,
    /// How late what the task sends arrives.
    pub answers_late_by: Option<Duration>,
    /// What holds before anybody sends.
    pub before: fn(&Topology),
    /// What happens once everything is healthy; `None` when it never is.
    pub after: Option<fn(&Topology)>,
    /// Everything that has to be found, and nothing else.
    pub expected: fn(&Plan) -> Vec<Expected>,
    /// What is found in place of what needs drop reasons, on a kernel that gives none.
    pub instead: fn(&Plan) -> Vec<Expected>,
    /// What the nodes have to think in the end.
    pub beliefs: [Belief; 2],
    /// Sources whose SYNs must not have reached the task's namespace after `after`, or at all where there is none.
    pub unseen: fn(&Plan) -> Vec<IpAddr>,
    /// The verdict in the end.
    pub verdict: &'static str,
    /// How `agent diagnose` is asked beside it; it has to exit as the verdict says.
    pub asked: Asked,
}

impl Row {
    /// What it is. A fault may look like another one, too.
    pub const fn kind(&self) -> Kind {
        match (self.near, self.verdict.as_bytes()) {
            (_, b"fault") => Kind::Fault,
            ([], _) => Kind::Calm,
            ([_, ..], _) => Kind::NearMiss,
        }
    }
}

/// Everything works: the row that the others are made from.
pub const HEALTHY: Row = Row {
    near: &[],
    clients: ClientPath::Preserved,
    expects_clients: false,
    requests_per_second: 40,
    speech: Speech::Tcp,
    listen: |plan| Some(Listen::on_all(plan.task.address(), plan.port)),
    nginx: |_| None,
    freeze: false,
    proxied_probes: false,
    probes_reset: false,
    probes: true,
    health_port: |_| None,
    xdp_drops: |_| None,
    tc_drops: |_| None,
    answers_late_by: None,
    before: |_| {},
    after: None,
    expected: |_| Vec::new(),
    instead: |_| Vec::new(),
    beliefs: [Belief::Healthy, Belief::Healthy],
    unseen: |_| Vec::new(),
    verdict: "healthy",
    asked: Asked::Late,
};

/// What the nodes think when no probe passes.
pub const UNHEALTHY: [Belief; 2] = [Belief::Unhealthy, Belief::Unhealthy];

/// Rows by name, each with the families that it runs on.
pub type Table = [(&'static str, &'static [Family], Row)];

/// Runs each row on IPv4 and IPv6, or on the one that stands behind its name, and lists all of them by name. A row can be made
/// from another one: it is `ROW` in the module of its name.
macro_rules! rows {
    (@family ipv4) => { lab::plan::Family::V4 };
    (@family ipv6) => { lab::plan::Family::V6 };
    (@families) => { &[lab::plan::Family::V4, lab::plan::Family::V6] };
    (@families $family:ident) => { &[crate::row::rows!(@family $family)] };
    (@tests) => {
        crate::row::rows!(@tests ipv4);
        crate::row::rows!(@tests ipv6);
    };
    (@tests $family:ident) => {
        #[test]
        fn $family() {
            crate::row::run(&ROW, crate::row::rows!(@family $family));
        }
    };
    ($($(#[$meta:meta])* $name:ident $([$family:ident])? => $row:expr;)*) => {
        /// The rows of this table.
        pub const TABLE: &crate::row::Table =
            &[$((stringify!($name), crate::row::rows!(@families $($family)?), $name::ROW)),*];

        $(
            $(#[$meta])*
            pub mod $name {
                #[allow(unused_imports, reason = "not every row needs all of them")]
                use super::*;

                pub const ROW: Row = $row;

                crate::row::rows!(@tests $($family)?);
            }
        )*
    };
}
pub(crate) use rows;

/// Both nodes' addresses.
pub fn nodes(plan: &Plan) -> [IpAddr; 2] {
    [plan.node(0), plan.node(1)]
}

/// Runs a row and holds everything against it. On a busy machine the kernel may leave out a run of a program, lest it
/// interrupts itself, and the agent says rightly that it cannot be sure: then once more.
pub fn run(row: &Row, family: Family) {
    matrix::forget();
    let _turn = turns::share();
    if !is_judged(row, family, true) {
        eprintln!("AGAIN: the kernel skipped runs of the agent's programs");
        is_judged(row, family, false);
    }
}

/// Whether the row was judged; with `excuses` it is not when runs were skipped.
fn is_judged(row: &Row, family: Family, excuses: bool) -> bool {
    let plan = Plan::draw(family);
    let topology = Topology::new(plan.clone());
    let sources: Vec<IpAddr> =
        nodes(&plan).into_iter().chain(plan.client.addresses.iter().copied()).collect();
    let witness = Witness::new(&topology.task, family, &sources, plan.port);
    let health_port = (row.health_port)(&plan);

    let nginx = (row.nginx)(&plan).map(|site| Nginx::start(&topology.task, &site));
    let listen = (row.listen)(&plan).filter(|_| nginx.is_none());
    let app = listen.map(|listen| App::start(&topology.task, listen));
    let health_app =
        health_port.map(|port| App::start(&topology.task, Listen::on_all(plan.task.address(), port)));
    if row.clients == ClientPath::Translated {
        topology.translate_at_node(0);
        topology.translate_at_node(1);
    }
    let forwarders = if row.clients == ClientPath::Proxied {
        [0, 1]
            .map(|number| Forwarder::start(&topology.nodes[number], plan.node(number), plan.target()))
            .into()
    } else {
        Vec::new()
    };
    let wanted = Wanted::of(row, &plan);
    let delay = row.answers_late_by.map(|time| Delay::of_answers(&topology, time * wait::pace()));
    (row.before)(&topology);
    let xdp = (row.xdp_drops)(&plan).map(|source| {
        Others::xdp(&topology.task, &plan.task.interface, source).expect("the kernel takes an XDP program")
    });
    let mut agent = Agent::trace(&topology.task, &[arguments(row, &plan), recording()].concat());
    let watching_since = Instant::now();
    let tc = (row.tc_drops)(&plan).map(|source| {
        Others::tc_dropping(&topology.task, &plan.task.interface, source)
            .expect("the kernel takes a tc program")
    });
    let probers = if row.probes { start_nodes(row, &topology, health_port) } else { Vec::new() };
    let clients = start_clients(row, &topology);
    let nobody_sent_for = watching_since.elapsed();

    let unseen = (row.unseen)(&plan).into_iter();
    let mut unseen_before: BTreeMap<IpAddr, u64> = unseen.map(|source| (source, 0)).collect();
    let mut held = None;
    if let Some(after) = row.after {
        for node in &probers {
            node.wait_for(Belief::Healthy, PATIENCE);
        }
        wait_verdict(&mut agent, healthy_at_best());
        held = (wait::pace() == 1).then(|| Question::hold(row, &wanted, &topology)).flatten();
        after(&topology);
        if let Some(nginx) = nginx.as_ref().filter(|_| row.freeze) {
            nginx.freeze();
        }
        for (source, before) in &mut unseen_before {
            *before = witness.syns(*source);
        }
    }
    // One agent is load enough for an emulated machine.
    let question = (wait::pace() == 1).then(|| Question::now(held, row, &wanted, &topology));
    agent.wait_until("all that is expected and no more", PATIENCE, |lines| {
        (concluded(row, lines) == wanted.findings && last_verdict(lines) == Some(wanted.verdict))
            .then_some(())
    });
    for (node, belief) in probers.iter().zip(row.beliefs) {
        node.wait_for(belief, PATIENCE);
    }
    // Long enough for whatever else might be concluded by mistake, and shorter than what happened once is remembered.
    sleep(3 * plan.interval + Duration::from_millis(1200));

    if let Some(question) = question {
        question.judge();
    }
    for clients in clients {
        let (sent, served) = clients.stop();
        assert!(sent > 0, "clients sent nothing");
        let should_be_served = row.verdict == "healthy" && row.clients != ClientPath::Elsewhere;
        assert!(!should_be_served || served > 0, "no client was served: the lab is broken");
    }
    drop(probers);
    for (source, before) in unseen_before {
        assert_eq!(witness.syns(source), before, "the fabric let SYNs of {source} through");
    }
    let ended = agent.stop();
    drop((app, nginx, health_app, xdp, tc, forwarders, delay));
    if excuses && !*MAY_MISS_RUNS && skipped_runs(&ended.lines) {
        return false;
    }
    judge(row, &wanted, &ended, &witness, &plan, nobody_sent_for);
    matrix::keep(row, &wanted);
    true
}

fn arguments(row: &Row, plan: &Plan) -> Vec<String> {
    words(&format!("--interval 400ms {}", told_to_both(row, plan)))
}

/// What `trace` and `diagnose` are told alike.
pub fn told_to_both(row: &Row, plan: &Plan) -> String {
    let [a, b] = nodes(plan);
    let mut text =
        format!("--port {} --nlb {a} {b} --health-interval {}ms", plan.port, plan.interval.as_millis());
    if let Some(port) = (row.health_port)(plan) {
        text.push_str(&format!(" --health-port {port}"));
    }
    text.push_str(&match row.clients {
        ClientPath::Preserved => {
            format!(" --client {} --client-ip preserved --expect-clients", plan.client.subnet)
        }
        ClientPath::Elsewhere => format!(" --client {} --client-ip preserved", plan.client.subnet),
        ClientPath::Translated | ClientPath::Proxied if row.expects_clients => " --expect-clients".to_owned(),
        ClientPath::Translated | ClientPath::Proxied => String::new(),
    });
    text
}

/// `LAB_RECORD`: a directory for what the agent's conclusions rest on, a file per row, to be replayed without a kernel.
pub fn recording() -> Vec<String> {
    let (Ok(directory), Some(test)) = (env::var("LAB_RECORD"), thread::current().name().map(str::to_owned))
    else {
        return Vec::new();
    };
    vec!["--record-evidence".to_owned(), format!("{directory}/{}.jsonl", test.replace("::", "-"))]
}
