//! The table of connections that began like a health check: what finds no place is counted, and what was left is taken out.

use std::{
    io::Write,
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use lab::{
    agent::{Agent, Ended, words},
    app::{App, Listen},
    descriptors,
    nlb::{Check, Node, Speech, connect},
    plan::{Family, Plan},
    topology::Topology,
    wait,
};
use serde_json::Value;

use crate::{
    blind::healthy_at_best,
    expected::wait_verdict,
    loss::lost,
    row::{PATIENCE, nodes},
    turns,
};

/// Opens a connection that says to be a health check and does not end.
fn hold(lab: &Topology) -> TcpStream {
    let mut stream = lab.nodes[0]
        .run(|| connect(lab.plan.node(0), lab.plan.target(), PATIENCE))
        .expect("a place in the accept queue");
    stream.write_all(b"GET / HTTP/1.1\r\nUser-Agent: ELB-HealthChecker/2.0\r\n").expect("it is open");
    stream
}

/// How many connections one address holds without asking for anything: many times the table, and within the descriptors that
/// a process may have by default, together with the other tests'.
const IDLE: usize = 200;

/// As many as it asks for, so that what one address may hold is used up.
const CLAIMS: usize = 40;

/// Both nodes probe over HTTP while one of them holds connections to another watched port, `claims` of which say to be
/// health checks: what the agent said, how often each node probed, and the nodes.
fn probed_beside_held(claims: usize) -> (Ended, [u64; 2], [String; 2]) {
    let _turn = turns::alone();
    let plan = Plan::draw(Family::V4);
    let lab = Topology::new(plan.clone());
    let [a, b] = nodes(&plan);
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let other = plan.port ^ 1;
    // Established, and never accepted: the kernel holds them.
    let queue = Listen { accepts: false, backlog: 4096, ..Listen::on_all(plan.task.address(), other) };
    let queue = App::start(&lab.task, queue);
    let arguments = words(&format!(
        "--port {},{other} --nlb {a} {b} --probe-entries 16 --interval 300ms --health-interval 1s",
        plan.port
    ));
    let mut agent = Agent::trace(&lab.task, &arguments);
    let target = SocketAddr::new(plan.task.address(), other);
    let held: Vec<_> = lab.nodes[0].run(|| {
        (0..IDLE + claims)
            .map(|number| {
                let mut stream =
                    connect(plan.node(0), target, PATIENCE).expect("a place in the accept queue");
                let request: &[u8] = match number {
                    number if number < claims => b"GET / HTTP/1.1\r\nUser-Agent: ELB-HealthChecker/2.0\r\n",
                    number if number % 2 == 0 => b"GET / HTTP/1.1\r\nUser-Agent: curl/8.0\r\n",
                    _ => b"",
                };
                stream.write_all(request).expect("it is open");
                stream
            })
            .collect()
    });
    let check = Check::every(Duration::from_millis(100), Speech::Http);
    let probers =
        [0, 1].map(|number| Node::start(&lab.nodes[number], plan.node(number), plan.target(), check));
    std::thread::sleep(Duration::from_secs(3));
    let sent = probers.map(|prober| prober.stop().sent);
    agent.wait_until("every probe to have ended", PATIENCE, |lines| {
        let served = |node: &IpAddr| sum(lines, &node.to_string(), "served");
        ([a, b].iter().map(served).eq(sent)).then_some(())
    });
    let ended = agent.stop();
    drop((held, queue, app));
    (ended, sent, [a.to_string(), b.to_string()])
}

fn sum(lines: &[Value], source: &str, name: &str) -> u64 {
    let of_source = lines.iter().filter(|line| line["kind"] == "report" && line["source"] == source);
    of_source.filter_map(|line| line[name].as_u64()).sum()
}

#[test]
fn clients_of_an_address_take_no_place_of_its_health_checks() {
    let (ended, sent, [a, b]) = probed_beside_held(0);
    for (node, sent) in [(&a, sent[0]), (&b, sent[1])] {
        assert_eq!(sum(&ended.lines, node, "probes_ended"), sent, "{node}: {}", ended.text);
    }
    assert_eq!(lost(&ended, "probes"), 0, "{}", ended.text);
}

/// The address that claims to probe and does not end uses up its own share, half of what is there, and nobody else's.
#[test]
fn an_address_that_claims_to_probe_hides_no_health_check_of_another() {
    let (ended, sent, [a, b]) = probed_beside_held(CLAIMS);
    assert_eq!(sum(&ended.lines, &b, "probes_ended"), sent[1], "{}", ended.text);
    let not_followed = sum(&ended.lines, &a, "probes_lost");
    assert_eq!(not_followed, CLAIMS as u64 - 8 + sent[0], "{}", ended.text);
    assert_eq!(lost(&ended, "probes"), not_followed, "{}", ended.text);
    assert_eq!(sum(&ended.lines, &b, "probes_lost"), 0, "{}", ended.text);
}

fn has_lost(agent: &mut Agent, probes: u64) {
    agent.wait_for("so many to be lost", PATIENCE, |line| line["kind"] == "loss" && line["probes"] == probes);
}

#[test]
fn health_checks_beyond_the_table_are_counted_and_concern_their_own_time() {
    let _turn = turns::share();
    let plan = Plan::draw(Family::V4);
    let lab = Topology::new(plan.clone());
    let [a, b] = nodes(&plan);
    let app =
        App::start(&lab.task, Listen { accepts: false, ..Listen::on_all(plan.task.address(), plan.port) });
    let arguments = words(&format!(
        "--port {} --nlb {a} {b} --probe-entries 4 --interval 200ms --health-interval 500ms",
        plan.port
    ));
    let mut agent = Agent::trace(&lab.task, &arguments);
    let held: Vec<_> = (0..5).map(|_| hold(&lab)).collect();
    has_lost(&mut agent, 3);
    agent.wait_for("the loss in the verdict", PATIENCE, |line| {
        line["kind"] == "verdict" && line["reasons"].to_string().contains("lost records")
    });
    let table = Table::of(&lab, agent.id());
    assert_eq!(table.keys(&lab).len(), 2);
    drop((held, app));
    wait::until("those who ended to make room", PATIENCE, || table.keys(&lab).is_empty());
    // A window later nothing is lacking any more.
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let check = Check::every(Duration::from_millis(500) * wait::pace(), Speech::Http);
    let probers =
        [0, 1].map(|number| Node::start(&lab.nodes[number], plan.node(number), plan.target(), check));
    wait_verdict(&mut agent, healthy_at_best());
    drop((probers, app));
    let ended = agent.stop();
    assert_eq!(lost(&ended, "probes"), 3, "{}", ended.text);
}

/// As after a run that the kernel skipped, by the hand of bpftool: the connection has ended, and nobody took it out.
#[test]
fn what_was_left_in_the_table_is_taken_out() {
    /// Older than that, it cannot be a health check any more (agent/src/kernel/probe_table.rs).
    const OLDEST_SECONDS: u64 = 300;
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec.unsigned_abs();
    if up <= OLDEST_SECONDS {
        eprintln!("SKIPPED: the machine is up for {up} s only, so nothing in it can be older");
        return;
    }
    let _turn = turns::share();
    let plan = Plan::draw(Family::V4);
    let lab = Topology::new(plan.clone());
    let app =
        App::start(&lab.task, Listen { accepts: false, ..Listen::on_all(plan.task.address(), plan.port) });
    let arguments = words(&format!(
        "--port {} --nlb {} --probe-entries 1 --interval 200ms --health-interval 500ms",
        plan.port,
        plan.node(0)
    ));
    let mut agent = Agent::trace(&lab.task, &arguments);
    let table = Table::of(&lab, agent.id());
    let first = hold(&lab);
    wait::until("the first to be recorded", PATIENCE, || table.keys(&lab).len() == 1);
    let kept = table.keys(&lab);
    table.make_old(&lab, &kept[0]);
    let second = hold(&lab);
    has_lost(&mut agent, 1);
    wait::until("the old one to be taken out", PATIENCE, || table.keys(&lab).is_empty());
    let third = hold(&lab);
    wait::until("another to be recorded", PATIENCE, || table.keys(&lab).len() == 1);
    // This one is young, and stays.
    let fourth = hold(&lab);
    has_lost(&mut agent, 2);
    assert_eq!(table.keys(&lab).len(), 1);
    drop((first, second, third, fourth, app));
    agent.stop();
}

/// An agent's table of connections that began like a health check, as bpftool shows it.
struct Table {
    id: String,
}

impl Table {
    fn of(lab: &Topology, process: u32) -> Self {
        let maps = bpftool(lab, &["map", "show"]);
        let held = descriptors::numbers(process, "map_id:");
        let is_it =
            |map: &&Value| map["name"] == "PROBES" && map["id"].as_u64().is_some_and(|id| held.contains(&id));
        let map = maps.as_array().into_iter().flatten().find(is_it).expect("the agent's map");
        Self { id: map["id"].to_string() }
    }

    /// Keys as bytes, each as bpftool writes and reads it.
    fn keys(&self, lab: &Topology) -> Vec<Vec<String>> {
        let entries = bpftool(lab, &["map", "dump", "id", &self.id]);
        let bytes = |entry: &Value| {
            let bytes = entry["key"].as_array().expect("bytes");
            bytes.iter().map(|byte| byte.as_str().expect("a word").to_owned()).collect()
        };
        entries.as_array().into_iter().flatten().map(bytes).collect()
    }

    /// Begun when the machine was started. Whose share it is of stands behind that.
    fn make_old(&self, lab: &Topology, key: &[String]) {
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        let entry = bpftool(lab, &[&["map", "lookup", "id", &self.id, "key"], &key[..]].concat());
        let mut value = ["0"; 16];
        for (byte, known) in value.iter_mut().zip(entry["value"].as_array().expect("bytes")).skip(8) {
            *byte = known.as_str().expect("a word");
        }
        let update = [&["map", "update", "id", &self.id, "key"], &key[..], &["value"], &value[..]].concat();
        bpftool(lab, &update);
    }
}

fn bpftool(lab: &Topology, arguments: &[&str]) -> Value {
    let text = lab::shell::run(&lab.task, "bpftool", &[&["-j"], arguments].concat(), "");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}
