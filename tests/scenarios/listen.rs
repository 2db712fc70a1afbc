//! `--listen`: metrics and health over HTTP, where the agent lives, for those who ask and whatever they do.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    thread::sleep,
    time::{Duration, Instant},
};

use lab::{
    Netns,
    agent::{Agent, run, words},
    app::{App, Listen},
    client::ask,
    http::{Answer, get, sample},
    plan::{Family, Plan},
    promtool, shell,
    topology::Topology,
    wait,
};

use crate::{row::PATIENCE, turns};

const PORT: u16 = 9400;

fn here() -> SocketAddr {
    ([127, 0, 0, 1], PORT).into()
}

fn app(lab: &Topology) -> App {
    App::start(&lab.task, Listen::on_all(lab.plan.task.address(), lab.plan.port))
}

fn ask_times(lab: &Topology, port: u16, times: u64) {
    let target = (lab.plan.task.address(), port).into();
    for _ in 0..times {
        lab.client.run(|| ask(lab.plan.client.address(), target)).expect("an answer");
    }
}

/// The page once a sample has a value.
#[track_caller]
fn page_with(namespace: &Netns, wanted: &str, value: f64) -> String {
    wait::for_some(wanted, PATIENCE, || {
        let page = get(namespace, here(), "/metrics").ok()?;
        (sample(&page.body, wanted) == Some(value)).then_some(page.body)
    })
}

fn counts_are_served(family: Family) {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(family));
    let (plan, app) = (&lab.plan, app(&lab));
    let text = format!(
        "trace --port {} --client {} --nlb {} --interval 300ms --output json --listen {PORT}",
        plan.port,
        plan.client.subnet,
        plan.node(0)
    );
    let agent = Agent::start(&lab.task, &words(&text));
    let of_clients = |name: &str| format!("{name}{{class=\"client\",port=\"{}\"}}", plan.port);
    let zero = page_with(&lab.task, &of_clients("hct_syn_arrived_total"), 0.0);
    assert_eq!(promtool::complaints(&lab.task, &zero), "", "{zero}");
    ask_times(&lab, plan.port, 3);
    lab.nodes[0].run(|| ask(plan.node(0), plan.target())).expect("an answer");
    let page = page_with(&lab.task, &of_clients("hct_served_total"), 3.0);
    assert_eq!(sample(&page, &of_clients("hct_syn_arrived_total")), Some(3.0), "{page}");
    let node = format!("hct_node_syn_arrived_total{{node=\"{}\",port=\"{}\"}}", plan.node(0), plan.port);
    let page = page_with(&lab.task, &node, 1.0);
    assert_eq!(promtool::complaints(&lab.task, &page), "", "{page}");
    for address in plan.client.addresses.iter().chain(&plan.task.addresses) {
        assert!(!page.contains(&address.to_string()), "{address}\n{page}");
    }
    // A fault, with everything that a page can have.
    lab.firewall("input", &format!("tcp dport {} drop", plan.port));
    let from = plan.client.address();
    lab.client.run(|| {
        let _dropped = lab::nlb::connect(from, plan.target(), Duration::from_millis(200));
    });
    let page = page_with(&lab.task, "hct_faults", 1.0);
    assert!(page.contains("hct_finding_open{code=\"host_firewall\""), "{page}");
    assert_eq!(sample(&page, "hct_verdict{verdict=\"fault\"}"), Some(1.0), "{page}");
    assert_eq!(promtool::complaints(&lab.task, &page), "", "{page}");
    assert_eq!(agent.stop().status.code(), Some(0));
    assert!(get(&lab.task, here(), "/healthz").is_err(), "the port is free again");
    drop(app);
}

#[test]
fn what_is_counted_is_served_and_promtool_has_no_complaint_ipv4() {
    counts_are_served(Family::V4);
}

#[test]
fn what_is_counted_is_served_and_promtool_has_no_complaint_ipv6() {
    counts_are_served(Family::V6);
}

#[test]
fn several_targets_are_labelled_and_the_port_is_where_the_agent_lives() {
    let _turn = turns::share();
    let labs = [Topology::new(Plan::draw(Family::V4)), Topology::new(Plan::draw(Family::V4))];
    let port = labs[0].plan.port;
    let apps: Vec<App> =
        labs.iter().map(|lab| App::start(&lab.task, Listen::on_all(lab.plan.task.address(), port))).collect();
    let paths = labs.each_ref().map(|lab| lab.task.path().display().to_string());
    let home = Netns::new();
    let text = format!(
        "trace --port {port} --netns {} --netns {} --interval 300ms --output json --listen {PORT}",
        paths[0], paths[1]
    );
    let agent = Agent::start(&home, &words(&text));
    let of =
        |path: &str| format!("hct_syn_arrived_total{{target=\"{path}\",class=\"other\",port=\"{port}\"}}");
    page_with(&home, &format!("hct_target_watched{{target=\"{}\"}}", paths[1]), 1.0);
    ask_times(&labs[0], port, 2);
    ask_times(&labs[1], port, 5);
    page_with(&home, &of(&paths[0]), 2.0);
    let page = page_with(&home, &of(&paths[1]), 5.0);
    assert_eq!(promtool::complaints(&home, &page), "", "{page}");
    for lab in &labs {
        assert!(get(&lab.task, here(), "/healthz").is_err(), "it listens in a target's namespace");
    }
    assert_eq!(agent.stop().status.code(), Some(0));
    drop(apps);
}

#[test]
fn readiness_goes_with_sight_and_health_stays() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let interface = &lab.plan.task.interface;
    let text =
        format!("trace --port 80 --interface {interface} --on-blind stay --interval 200ms --listen {PORT}");
    let agent = Agent::start(&lab.task, &words(&text));
    let is =
        |path: &str, status: u16| get(&lab.task, here(), path).is_ok_and(|answer| answer.status == status);
    wait::until("readiness", PATIENCE, || is("/readyz", 200));
    shell::ip(&lab.task, &format!("link delete {interface}"));
    wait::until("the end of readiness", PATIENCE, || is("/readyz", 503));
    let Answer { body, .. } = get(&lab.task, here(), "/readyz").expect("an answer");
    assert!(body.contains(interface.as_str()), "why is said: {body}");
    assert!(is("/healthz", 200));
    let page = page_with(&lab.task, "hct_target_watched", 0.0);
    assert_eq!(promtool::complaints(&lab.task, &page), "", "{page}");
    assert_eq!(agent.stop().status.code(), Some(0));
}

#[test]
fn its_own_port_is_none_to_watch_and_nothing_is_served_unless_asked_for() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let app = app(&lab);
    let mut agent = Agent::start(&lab.task, &words(&format!("trace --output json --listen 0.0.0.0:{PORT}")));
    let start = agent.wait_for("the start", PATIENCE, |line| line["kind"] == "start");
    assert_eq!(start["ports"], serde_json::json!([lab.plan.port]), "{start}");
    // Another address than loopback is served where the operator writes one.
    let outside = SocketAddr::new(lab.plan.task.address(), PORT);
    assert_eq!(get(&lab.client, outside, "/healthz").expect("an answer").status, 200);
    assert_eq!(agent.stop().status.code(), Some(0));

    let agent = Agent::trace(&lab.task, &words(&format!("--port {}", lab.plan.port)));
    assert!(get(&lab.task, here(), "/healthz").is_err());
    drop((agent, app));
}

#[test]
fn a_port_that_cannot_be_had_is_one_line_and_exit_code_2() {
    let _turn = turns::share();
    let namespace = Netns::new();
    let taken = namespace.run(|| TcpListener::bind(here())).expect("a free port");
    for (address, part) in [
        ("9400", "opening --listen 127.0.0.1:9400: Address already in use"),
        ("10.9.8.7:9400", "no interface here has the address 10.9.8.7"),
        ("nonsense", "nonsense is no address to listen on"),
    ] {
        // Also where the agent is told to stay whatever happens: this will not get better by itself.
        let ended = run(&namespace, &["trace", "--port", "80", "--on-blind", "stay", "--listen", address]);
        assert_eq!(ended.status.code(), Some(2), "{address}: {}", ended.errors);
        let is_one_line = ended.errors.lines().count() == 1;
        assert!(is_one_line && ended.errors.contains(part) && ended.text.is_empty(), "{}", ended.errors);
    }
    drop(taken);
}

/// Memory and threads of a process.
fn size(process: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a living process");
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field of status");
        line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
    };
    (value("RssAnon:"), value("Threads:"))
}

#[test]
fn hostile_clients_neither_hold_up_the_agent_nor_make_it_grow() {
    let _turn = turns::share();
    let lab = Topology::new(Plan::draw(Family::V4));
    let (plan, app) = (&lab.plan, app(&lab));
    let text =
        format!("--port {} --client {} --interval 300ms --listen {PORT}", plan.port, plan.client.subnet);
    let mut agent = Agent::trace(&lab.task, &words(&text));
    get(&lab.task, here(), "/metrics").expect("an answer");
    let (memory, threads) = size(agent.id());

    // Those that say nothing, those that say too much, those that do not read, and those that come again and again.
    let until = Instant::now() + Duration::from_secs(6);
    let mut held = Vec::new();
    let mut most_threads = threads;
    while Instant::now() < until {
        let Ok(mut client) = lab.task.run(|| TcpStream::connect(here())) else { continue };
        let words: &[u8] = match held.len() % 4 {
            0 => b"",
            1 => &[b'x'; 8192],
            2 => b"GET /metrics HTTP/1.1\r\n\r\n",
            _ => b"GET /metrics HTTP/1.1\r\nSlow: ",
        };
        let _turned_away = client.write_all(words);
        held.push(client);
        most_threads = most_threads.max(size(agent.id()).1);
        if held.len() > 400 {
            held.clear();
        }
        sleep(Duration::from_millis(2));
    }
    ask_times(&lab, plan.port, 3);
    let label = plan.client.subnet.to_string();
    agent.wait_until("the clients to be counted as always", PATIENCE, |lines| {
        (crate::expected::arrived(lines, plan.port).get(&label) == Some(&3)).then_some(())
    });
    // The allocator keeps some memory for each thread there ever was at a time.
    let (grown, _) = size(agent.id());
    assert!(grown < memory + 4096, "it grew from {memory} to {grown} KiB");
    assert!(most_threads <= threads + 9, "{threads} threads became {most_threads}");
    drop(held);
    wait::until("room for others", PATIENCE, || {
        get(&lab.task, here(), "/healthz").is_ok_and(|answer| answer.status == 200)
    });
    wait::until("the threads to end", PATIENCE, || size(agent.id()).1 <= threads + 1);
    let ended = agent.stop();
    assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""), "{}", ended.text);
    drop(app);
}
