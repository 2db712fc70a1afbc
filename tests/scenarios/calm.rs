//! No false alarms: a busy, untidy and healthy service, for as long as anybody cares to wait.

use std::{
    env,
    thread::{self, sleep},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    client::Clients,
    forwarder::Forwarder,
    health_check::Habits,
    nginx::{Nginx, Site},
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    shell,
    topology::Topology,
    unruly::Unruly,
};

use crate::{
    expected::{Expected, last_verdict, wait_verdict},
    judge::skipped_runs,
    matrix,
    row::{ClientPath, HEALTHY, Row, nodes},
    turns,
};

/// Between two restarts of the application's workers.
const RESTART: Duration = Duration::from_secs(5);

/// A probe that lost a packet comes again after a second, so an interval is longer than that.
const INTERVAL: Duration = Duration::from_secs(2);

/// Fewer connections a second say nothing. 360 are meant; two CPUs that other rows and compilers load, too (a load of seven), gave
/// 164 to 252.
const ENOUGH: f64 = 130.0;

/// `LAB_FALSE_ALARM_SECONDS`: long runs are for nights.
fn duration() -> Duration {
    let seconds = env::var("LAB_FALSE_ALARM_SECONDS").map_or(20, |text| {
        text.parse().unwrap_or_else(|_| panic!("LAB_FALSE_ALARM_SECONDS={text} is no number of seconds"))
    });
    Duration::from_secs(seconds)
}

/// Whoever answers.
enum Service {
    Own(App),
    Nginx(Nginx),
}

impl Service {
    /// The lab's own, or nginx where TLS is spoken.
    fn start(lab: &Topology, row: &Row) -> Self {
        let (task, port) = (lab.plan.task.address(), lab.plan.port);
        if row.speech == Speech::Https {
            let site = Site { workers: 2, ..Site::tls(task, port, "TLSv1.2 TLSv1.3") };
            return Self::Nginx(Nginx::start(&lab.task, &site));
        }
        let proxy_protocol = row.clients == ClientPath::Proxied;
        Self::Own(App::start(&lab.task, Listen { proxy_protocol, ..Listen::on_all(task, port) }))
    }

    /// New workers.
    fn restart(&mut self) {
        match self {
            Self::Own(app) => app.restart(),
            Self::Nginx(nginx) => nginx.reload(),
        }
    }
}

/// Several hundred connections a second, a third of them unruly; probes off their time by up to 30 %; one packet in a
/// hundred lost; workers that restart; and in the end a deploy: nodes and clients leave together, then SIGTERM.
fn stays_calm(row: &Row, family: Family) {
    matrix::forget();
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let mut service = Service::start(&lab, row);
    if row.clients == ClientPath::Translated {
        lab.translate_at_node(0);
        lab.translate_at_node(1);
    }
    let is_proxied = row.clients == ClientPath::Proxied;
    let forward = |at: usize| Forwarder::start(&lab.nodes[at], plan.node(at), plan.target());
    let forwarders = is_proxied.then(|| [0, 1].map(forward));
    shell::nft(&lab.fabric, "add rule inet aws nacl numgen random mod 100 == 0 counter drop");
    let [a, b] = nodes(plan);
    let mut arguments = format!("--port {} --nlb {a} {b} --health-interval 2s --interval 1s", plan.port);
    let is_shared = row.clients != ClientPath::Preserved;
    if !is_shared {
        arguments
            .push_str(&format!(" --client {} --client-ip preserved --expect-clients", plan.client.subnet));
    }
    let mut agent = Agent::trace(&lab.task, &words(&arguments));
    let interval = INTERVAL * lab::wait::pace();
    let check = Check {
        speech: row.speech,
        interval,
        timeout: interval,
        unhealthy_threshold: 3,
        healthy_threshold: 2,
    };
    let habits = Habits { jitter_percent: 30, proxy_protocol: is_proxied, ..Habits::default() };
    let probers =
        [0, 1].map(|at| Node::start_with(&lab.nodes[at], plan.node(at), plan.target(), check, habits));
    let listeners = if is_shared { [a, b].map(|node| (node, plan.port).into()) } else { [plan.target(); 2] };
    let is_encrypted = row.speech == Speech::Https;
    let ask = if is_encrypted { Clients::start_over_tls } else { Clients::start };
    let misbehave = if is_encrypted { Unruly::start_over_tls } else { Unruly::start };
    let clients = listeners.map(|listener| ask(&lab.client, &plan.client.addresses, listener, 120));
    let unruly =
        listeners.map(|listener| misbehave(&lab.client, plan.client.address(), listener, plan.target(), 60));

    let began = Instant::now();
    while began.elapsed() < duration() {
        sleep(RESTART.min(duration()));
        service.restart();
    }
    wait_verdict(&mut agent, "healthy");
    let took = began.elapsed();
    let mut while_busy = agent.lines().to_vec();
    let count = unruly.iter().map(Unruly::count).sum::<u64>();
    // Together, however long the connections under way of one of them take.
    let counts = thread::scope(|scope| {
        let leaving = clients.map(|clients| scope.spawn(|| clients.stop()));
        for unruly in unruly {
            scope.spawn(|| drop(unruly));
        }
        for node in probers.map(|node| scope.spawn(|| node.stop())) {
            let node = node.join().expect("no panic");
            let (sent, failed, pause) = (node.sent, node.failed, node.longest_pause);
            eprintln!("{sent} health checks, of which {failed} failed, at most {pause:.2?} apart");
        }
        leaving.map(|clients| clients.join().expect("no panic"))
    });
    let (sent, served) = counts.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    // Nobody comes any more, and SIGTERM is on its way.
    sleep(INTERVAL);
    let ended = agent.stop();
    drop((service, forwarders));

    assert!(served * 10 >= sent * 9, "{served} of {sent} requests were served: this is no healthy service");
    let per_second = (sent + count) as f64 / took.as_secs_f64();
    eprintln!("{sent} requests and {count} unruly connections in {took:.0?}: {per_second:.0} a second");
    assert!(per_second * f64::from(lab::wait::pace()) >= ENOUGH, "too few connections to say anything");
    let is_fault = |line: &&Value| line["kind"] == "finding" && line["severity"] == "fault";
    let faults: Vec<_> = ended.lines.iter().filter(is_fault).map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} false alarms, such as\n{}", faults.len(), faults.join("\n"));
    assert_ne!(last_verdict(&ended.lines), Some("fault"));
    let dropped = shell::run(&lab.fabric, "nft", &["list", "chain", "inet", "aws", "nacl"], "");
    assert!(!dropped.contains("packets 0 "), "no packet was lost: {dropped}");
    // A SYN that comes again because its answer was lost is noted for what it is, now and then.
    let is_passing = |line: &Value| line["code"] == "duplicate_tuple" && line["severity"] == "note";
    while_busy.retain(|line| !is_passing(line));
    matrix::keep_by_hand(row, plan, &while_busy);
}

/// A container at the limit of its CPU stands still for a while; what came meanwhile is not missing.
#[test]
fn an_agent_that_is_held_up_misses_nothing() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let plan = &lab.plan;
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let [a, b] = nodes(plan);
    let (every, port) = (plan.interval.as_millis(), plan.port);
    let flags = format!(
        "--port {port} --nlb {a} {b} --client-ip preserved --health-interval {every}ms --interval 1s"
    );
    let mut agent = Agent::trace(&lab.task, &words(&flags));
    let check = Check::every(plan.interval, Speech::Tcp);
    let probers = [0, 1].map(|at| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check));
    wait_verdict(&mut agent, "healthy");
    for _ in 0..3 {
        agent.signal(Signal::STOP);
        // Longer than any absence takes to be named.
        sleep(6 * plan.interval);
        agent.signal(Signal::CONT);
        sleep(2 * plan.interval);
    }
    let ended = agent.stop();
    drop((probers, app));
    let before_the_first = |line: &&Value| {
        line["code"] == "probes_missing"
            && line["watched_seconds"].as_f64() < Some(2.0 * plan.interval.as_secs_f64())
    };
    let is_fault = |line: &&Value| line["kind"] == "finding" && line["severity"] == "fault";
    let told: Vec<_> = ended.lines.iter().filter(is_fault).collect();
    assert!(told.iter().all(before_the_first), "{}", ended.text);
    // Where the kernel left out a run of a program, the agent must not be sure.
    let verdict = if skipped_runs(&ended.lines) { "inconclusive" } else { "healthy" };
    assert_eq!(last_verdict(&ended.lines), Some(verdict), "{}", ended.text);
}

/// Clients keep their addresses.
pub const OVER_TCP: Row = HEALTHY;
/// The same over HTTP.
pub const OVER_HTTP: Row = Row { speech: Speech::Http, ..HEALTHY };
/// The same over HTTPS, and so do clients.
pub const OVER_TLS: Row = Row { speech: Speech::Https, ..HEALTHY };
/// Clients come with the nodes' addresses, which is known.
pub const SHARED: Row = Row { speech: Speech::Http, ..SHARED_OVER_TCP };
/// The same over TCP.
pub const SHARED_OVER_TCP: Row =
    Row { clients: ClientPath::Translated, expected: |plan| vec![Expected::shared(plan)], ..HEALTHY };
/// The same over HTTPS: what is encrypted could all be health checks.
pub const SHARED_OVER_TLS: Row = Row { clients: ClientPath::Translated, ..OVER_TLS };
/// The same behind proxy protocol.
pub const PROXIED: Row = Row { clients: ClientPath::Proxied, ..SHARED };

#[test]
pub fn an_untidy_service_with_preserved_addresses_raises_no_fault_ipv6() {
    stays_calm(&OVER_HTTP, Family::V6);
}

#[test]
pub fn an_untidy_service_behind_shared_addresses_raises_no_fault_ipv4() {
    stays_calm(&SHARED, Family::V4);
}

#[test]
pub fn an_untidy_service_over_tcp_checks_raises_no_fault_ipv4() {
    stays_calm(&OVER_TCP, Family::V4);
}

#[test]
pub fn an_untidy_service_behind_shared_addresses_over_tcp_checks_raises_no_fault_ipv6() {
    stays_calm(&SHARED_OVER_TCP, Family::V6);
}

#[test]
pub fn an_untidy_service_over_tls_raises_no_fault_ipv6() {
    stays_calm(&OVER_TLS, Family::V6);
}

#[test]
pub fn an_untidy_service_over_tls_behind_shared_addresses_raises_no_fault_ipv4() {
    stays_calm(&SHARED_OVER_TLS, Family::V4);
}

#[test]
pub fn an_untidy_service_behind_proxy_protocol_raises_no_fault_ipv6() {
    stays_calm(&PROXIED, Family::V6);
}
