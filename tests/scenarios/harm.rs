//! How soon a fault of the host is named: within one probe after it happens, and one second. What does it, and the measuring; the
//! faults themselves are in `promptness.rs`, `prompt_answers.rs` and, behind shared addresses, `prompt_shared.rs`.

use std::{
    any::Any,
    thread,
    time::{Duration, Instant},
};

use lab::{
    agent::{Agent, words},
    app::{Answer, App, Listen},
    client::Clients,
    health_check::{Habits, probe},
    nginx::Nginx,
    nlb::{Check, Speech},
    plan::{Family, Plan},
    topology::Topology,
};
use serde_json::Value;

use crate::{
    expected::wait_verdict,
    row::{PATIENCE, nodes},
    turns,
};

/// As often as AWS checks at most, so that the agent looks as seldom as it ever does.
const INTERVAL: Duration = Duration::from_secs(5);

/// From the first probe that meets the fault to the finding.
const PROMISED: Duration = Duration::from_secs(1);

/// What goes on for as long as the harm does.
pub type Guard = Box<dyn Any>;

/// What is checked. Dropped, it ends.
pub enum Service {
    App(App),
    Nginx {
        #[expect(dead_code, reason = "it runs until it is dropped")]
        nginx: Nginx,
    },
}

impl Service {
    pub fn nginx(nginx: Nginx) -> Self {
        Self::Nginx { nginx }
    }

    /// It answers otherwise; the listener stays.
    pub fn answer(&mut self, answer: Answer) {
        match self {
            Self::App(app) => app.answer(answer),
            Self::Nginx { .. } => panic!("only the lab's own answers otherwise"),
        }
    }

    /// Nobody accepts any more.
    pub fn freeze(&mut self) {
        match self {
            Self::App(app) => app.freeze(),
            Self::Nginx { .. } => panic!("only the lab's own is frozen"),
        }
    }
}

/// A way to harm a running service.
pub struct Harm {
    pub code: &'static str,
    pub family: Family,
    /// Whether clients come all the time, too, with the nodes' addresses. They may meet the harm before the first probe does.
    pub is_shared: bool,
    /// What else the agent is told.
    pub flags: fn(&Plan) -> String,
    /// What runs.
    pub service: fn(&Topology) -> Service,
    pub check: Check,
    /// How long the proof itself takes, by a timer of the kernel or of the health check.
    pub proof_takes: Duration,
    /// What is done to it.
    pub does: fn(&Topology, &mut Option<Service>) -> Guard,
    /// The first probe that meets it.
    pub sends: fn(&Topology, &Check),
}

/// A harm that does none.
pub const HARM: Harm = Harm {
    code: "",
    family: Family::V6,
    is_shared: false,
    flags: |_| String::new(),
    service: |lab| {
        let usual = Listen::on_all(lab.plan.task.address(), lab.plan.port);
        Service::App(App::start(&lab.task, Listen { backlog: 1, ..usual }))
    },
    check: Check::every(INTERVAL, Speech::Http),
    proof_takes: Duration::ZERO,
    does: |_, _| nothing_to_hold(),
    sends: probe_once,
};

pub fn nothing_to_hold() -> Guard {
    Box::new(())
}

/// In place of the application, one that listens or answers otherwise.
pub fn replace(lab: &Topology, service: &mut Option<Service>, listen: Listen) -> Guard {
    drop(service.take());
    Box::new(App::start(&lab.task, listen))
}

/// A health check of the first node; whether it passed.
pub fn probe_with(lab: &Topology, check: &Check, habits: &Habits) -> bool {
    lab.nodes[0].run(|| probe(lab.plan.node(0), lab.plan.target(), check, habits))
}

/// A health check of the first node that fails.
pub fn probe_once(lab: &Topology, check: &Check) {
    assert!(!probe_with(lab, check, &Habits::default()), "the harm does none");
}

/// Holds the time that it takes to be named against what is promised. A machine that others load is given a second chance.
pub fn named_in_time(harm: &Harm) {
    let _turn = turns::share();
    let promised = (PROMISED + harm.proof_takes) * lab::wait::pace();
    let took = time_to_name(harm);
    if took > promised {
        eprintln!("AGAIN: it took {took:.2?}");
        let took = time_to_name(harm);
        assert!(took <= promised, "{} was named {took:.2?} after the probe", harm.code);
    }
}

/// Does something to a healthy service, has one probe meet it at a moment that the agent knows nothing of, and takes the time until
/// it is named, and nothing else.
fn time_to_name(harm: &Harm) -> Duration {
    let lab = Topology::new(Plan::draw(harm.family));
    let plan = &lab.plan;
    let mut service = Some((harm.service)(&lab));
    let [a, b] = nodes(plan);
    let client_ip = if harm.is_shared { "auto" } else { "preserved" };
    let arguments = format!(
        "--port {} --nlb {a} {b} --client-ip {client_ip} --health-interval 5s --interval 1s {}",
        plan.port,
        (harm.flags)(plan)
    );
    let mut agent = Agent::trace(&lab.task, &words(&arguments));
    let check = harm.check;
    for at in [0, 1, 0, 1] {
        let passed = lab.nodes[at].run(|| probe(plan.node(at), plan.target(), &check, &Habits::default()));
        assert!(passed, "the service is not healthy: the lab is broken");
    }
    wait_verdict(&mut agent, "healthy");
    let clients = harm.is_shared.then(|| start_clients(&lab, &mut agent));
    let guard = (harm.does)(&lab, &mut service);
    if !harm.is_shared {
        thread::sleep(Duration::from_millis(fastrand::u64(0..1000)));
    }
    // A suspicion names nothing, and before the first probe of a node its absence may be suspected.
    let is_fault = |line: &Value| {
        line["kind"] == "finding" && line["severity"] == "fault" && line["confidence"] != "suspected"
    };
    let took = thread::scope(|scope| {
        let began = Instant::now();
        // Whoever is not answered waits for longer than the agent may.
        scope.spawn(|| (harm.sends)(&lab, &check));
        agent.wait_for(harm.code, PATIENCE, |line| is_fault(line) && line["code"] == harm.code);
        began.elapsed()
    });
    let ended = agent.stop();
    drop((guard, clients));
    eprintln!("{} was named {took:.2?} after the probe", harm.code);
    let is_other = |line: &&Value| line["code"] != harm.code;
    let others: Vec<_> = ended.lines.iter().filter(|line| is_fault(line)).filter(is_other).collect();
    assert!(others.is_empty(), "{others:?} were reported, too\n{}", ended.text);
    took
}

/// Clients of both nodes' addresses, of which the agent knows.
fn start_clients(lab: &Topology, agent: &mut Agent) -> [Clients; 2] {
    let plan = &lab.plan;
    let clients = [0, 1].map(|at| {
        lab.translate_at_node(at);
        let listener = (plan.node(at), plan.port).into();
        Clients::start(&lab.client, &plan.client.addresses, listener, 20)
    });
    agent.wait_for("both addresses to be known as shared", PATIENCE, |line| {
        line["code"] == "shared_source" && line["sources"].as_array().is_some_and(|all| all.len() == 2)
    });
    clients
}

/// A test for each.
macro_rules! harms {
    ($($(#[$meta:meta])* $name:ident => $harm:expr;)*) => {
        $(
            $(#[$meta])*
            #[test]
            fn $name() {
                $crate::harm::named_in_time(&$harm);
            }
        )*
    };
}

pub(crate) use harms;
