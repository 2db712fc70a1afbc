//! No false alarms: a busy, untidy and healthy service, for as long as anybody cares to wait.

use std::{
    env,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    client::Clients,
    health_check::Habits,
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    shell,
    topology::Topology,
    unruly::Unruly,
};

use crate::{
    expected::{last_verdict, wait_verdict},
    row::nodes,
    turns,
};

/// Between two restarts of the application's workers.
const RESTART: Duration = Duration::from_secs(5);

/// A probe that lost a packet comes again after a second, so an interval is longer than that.
const INTERVAL: Duration = Duration::from_secs(2);

/// `LAB_FALSE_ALARM_SECONDS`: long runs are for nights.
fn duration() -> Duration {
    let seconds = env::var("LAB_FALSE_ALARM_SECONDS").map_or(20, |text| {
        text.parse().unwrap_or_else(|_| panic!("LAB_FALSE_ALARM_SECONDS={text} is no number of seconds"))
    });
    Duration::from_secs(seconds)
}

/// Several hundred connections a second, a third of them unruly; probes off their time by up to 30 %; one packet in a
/// hundred lost; workers that restart; and in the end a deploy: nodes and clients leave together, then SIGTERM.
fn stays_calm(family: Family, shared: bool) {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let plan = &lab.plan;
    let mut app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    if shared {
        lab.translate_at_node(0);
        lab.translate_at_node(1);
    }
    shell::nft(&lab.fabric, "add rule inet aws nacl numgen random mod 100 == 0 counter drop");
    let [a, b] = nodes(plan);
    let mut arguments = format!("--port {} --nlb {a} {b} --health-interval 2s --interval 1s", plan.port);
    if !shared {
        arguments
            .push_str(&format!(" --client {} --client-ip preserved --expect-clients", plan.client.subnet));
    }
    let mut agent = Agent::trace(&lab.task, &words(&arguments));
    let interval = INTERVAL * lab::wait::pace();
    let check = Check {
        speech: Speech::Http,
        interval,
        timeout: interval,
        unhealthy_threshold: 3,
        healthy_threshold: 2,
    };
    let habits = Habits { jitter_percent: 30, ..Habits::default() };
    let probers =
        [0, 1].map(|at| Node::start_with(&lab.nodes[at], plan.node(at), plan.target(), check, habits));
    let listeners = if shared { [a, b].map(|node| (node, plan.port).into()) } else { [plan.target(); 2] };
    let clients =
        listeners.map(|listener| Clients::start(&lab.client, &plan.client.addresses, listener, 120));
    let unruly = listeners
        .map(|listener| Unruly::start(&lab.client, plan.client.address(), listener, plan.target(), 60));

    let began = Instant::now();
    while began.elapsed() < duration() {
        sleep(RESTART.min(duration()));
        app.restart();
    }
    wait_verdict(&mut agent, "healthy");
    let took = began.elapsed();
    let count = unruly.iter().map(Unruly::count).sum::<u64>();
    drop(probers);
    let sent: u64 = clients.into_iter().map(|clients| clients.stop().0).sum();
    drop(unruly);
    // Nobody comes any more, and SIGTERM is on its way.
    sleep(INTERVAL);
    let ended = agent.stop();
    drop(app);

    let per_second = (sent + count) as f64 / took.as_secs_f64();
    eprintln!("{sent} requests and {count} unruly connections in {took:.0?}: {per_second:.0} a second");
    assert!(per_second * f64::from(lab::wait::pace()) >= 100.0, "too few connections to say anything");
    let is_fault = |line: &&serde_json::Value| line["kind"] == "finding" && line["severity"] == "fault";
    let faults: Vec<_> = ended.lines.iter().filter(is_fault).map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} false alarms, such as\n{}", faults.len(), faults.join("\n"));
    assert_ne!(last_verdict(&ended.lines), Some("fault"));
    let dropped = shell::run(&lab.fabric, "nft", &["list", "chain", "inet", "aws", "nacl"], "");
    assert!(!dropped.contains("packets 0 "), "no packet was lost: {dropped}");
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
    let before_the_first = |line: &&serde_json::Value| {
        line["code"] == "probes_missing"
            && line["watched_seconds"].as_f64() < Some(2.0 * plan.interval.as_secs_f64())
    };
    let is_fault = |line: &&serde_json::Value| line["kind"] == "finding" && line["severity"] == "fault";
    let told: Vec<_> = ended.lines.iter().filter(is_fault).collect();
    assert!(told.iter().all(before_the_first), "{}", ended.text);
    assert_eq!(last_verdict(&ended.lines), Some("healthy"), "{}", ended.text);
}

#[test]
fn an_untidy_service_with_preserved_addresses_raises_no_fault() {
    stays_calm(Family::V6, false);
}

#[test]
fn an_untidy_service_behind_shared_addresses_raises_no_fault() {
    stays_calm(Family::V4, true);
}
