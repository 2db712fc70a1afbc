//! What a connection from a node begins with tells whose it is, wherever it says so in the first 512 bytes.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use lab::{
    agent::{Agent, words},
    app::{App, Listen},
    nlb::connect,
    plan::{Family, Plan},
    proxy_protocol,
    topology::Topology,
};
use serde_json::Value;

use crate::{
    row::{PATIENCE, nodes},
    turns,
};

/// Who somebody is that begins so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Probe,
    Client,
}
use Whose::{Client, Probe};

/// A request whose user agent begins at this byte: behind a long path, a long host and other headers.
fn request(at: usize, agent: &str) -> Vec<u8> {
    let start = "GET /healthz HTTP/1.1\r\nHost: 10.0.1.23:8080\r\nConnection: close\r\nX-Padding: ";
    let name = "\r\nUser-Agent: ";
    let padding = "x".repeat(at - start.len() - name.len());
    format!("{start}{padding}{name}{agent}\r\n\r\n").into_bytes()
}

fn behind(header: &[u8], agent: &str) -> Vec<u8> {
    [header, &request(120, agent)].concat()
}

/// What each connection begins with.
fn openings() -> Vec<(Vec<u8>, Whose)> {
    const ELB: &str = "ELB-HealthChecker/2.0";
    const CURL: &str = "curl/8.0";
    let addresses = [0; 12];
    let checksum = [0x03, 0, 4, 1, 2, 3, 4];
    let endpoint = [&[0xea, 0, 7, 1][..], b"vpce-1"].concat();
    let with_both = [&addresses[..], &checksum].concat();
    vec![
        (request(120, ELB), Probe),
        (request(250, ELB), Probe),
        (request(496, ELB), Probe),
        // The limit: its last compared byte is the first one that is not looked at.
        (request(497, ELB), Client),
        (request(120, CURL), Client),
        (proxy_protocol::header(0x20, 0, &[]), Probe),
        (behind(&proxy_protocol::header(0x20, 0x11, &with_both), CURL), Probe),
        (behind(&proxy_protocol::header(0x21, 0, &[]), ELB), Probe),
        (behind(&proxy_protocol::header(0x21, 0, &checksum), CURL), Probe),
        (behind(&proxy_protocol::header(0x21, 0, &[&checksum[..], &endpoint].concat()), CURL), Client),
        (behind(&proxy_protocol::header(0x21, 0x11, &addresses), CURL), Client),
    ]
}

fn sum(lines: &[Value], source: &str, name: &str) -> u64 {
    let of_source = lines.iter().filter(|line| line["kind"] == "report" && line["source"] == source);
    of_source.filter_map(|line| line[name].as_u64()).sum()
}

fn each_is_known(family: Family) {
    let _turn = turns::share();
    let plan = Plan::draw(family);
    let lab = Topology::new(plan.clone());
    let app = App::start(&lab.task, Listen::on_all(plan.task.address(), plan.port));
    let [a, b] = nodes(&plan);
    let arguments = words(&format!("--port {} --nlb {a} {b} --interval 200ms", plan.port));
    let mut agent = Agent::trace(&lab.task, &arguments);
    // Connections that ended before may have begun unseen: clients among them are not counted.
    std::thread::sleep(Duration::from_millis(2500));
    let (mut probes, mut clients) = (0, 0);
    for (opening, whose) in openings() {
        let mut stream = lab.nodes[0].run(|| connect(a, plan.target(), PATIENCE)).expect("somebody listens");
        stream.write_all(&opening).expect("it is open");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer and its end");
        drop(stream);
        match whose {
            Probe => probes += 1,
            Client => clients += 1,
        }
        let what = format!("{:?} to be a {whose:?}'s", String::from_utf8_lossy(&opening));
        let node = a.to_string();
        let ended = agent.wait_until(&what, PATIENCE, |lines| {
            let ended = (sum(lines, &node, "probes_ended"), sum(lines, &node, "clients_ended"));
            // It ended, as whoever's; the other kind fails below, not by waiting.
            (ended.0 + ended.1 == probes + clients).then_some(ended)
        });
        assert_eq!(ended, (probes, clients), "{what}");
    }
    agent.stop();
    drop(app);
}

#[test]
fn each_is_known_ipv4() {
    each_is_known(Family::V4);
}

#[test]
fn each_is_known_ipv6() {
    each_is_known(Family::V6);
}
