//! What a node agent costs for each target: memory, descriptors, CPU time.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Netns,
    agent::{Agent, words},
    node::{Node, Task},
    shell,
};

use crate::{
    curves::Curve,
    maps::Maps,
    page::Page,
    process::{kib, mib},
};

/// Targets at which it is measured.
const COUNTS: [usize; 5] = [1, 10, 30, 60, 120];

/// Health checks come to each target this often, as by default.
const CHECKS: Duration = Duration::from_secs(10);

/// Time for what joining took to pass, and for measuring.
const SETTLES: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(15);

/// What the agent holds and takes at one number of targets.
struct Figures {
    targets: usize,
    resident_kib: u64,
    descriptors: usize,
    maps_kib: u64,
    /// CPU time per second, in milliseconds.
    busy: f64,
    /// From when the last of them listened until all were watched.
    joined: Duration,
    /// One connection in a namespace that is not watched.
    connection: Duration,
}

/// Measures, and prints what each target takes.
///
/// # Errors
///
/// When the agent does not start, or `/proc` shows no figures.
pub fn measure(page: &mut Page) -> Result<()> {
    let mut node = Node::new();
    let flags = format!("trace --output json --all-netns --port {} --nlb {}", node.port, node.balancer);
    let before = Maps::before();
    let mut agent = Agent::start(&node.home, &words(&flags));
    let (mut tasks, mut probes): (Vec<Task>, Vec<_>) = Default::default();
    println!("A node agent, one NLB node that checks every {} s, JSON", CHECKS.as_secs());
    println!(
        "  targets  resident  descriptors  maps in the kernel  CPU time a second  joined within  a connection elsewhere"
    );
    let elsewhere = Netns::new();
    shell::ip(&elsewhere, "link set lo up");
    let alone = connection(&elsewhere)?;
    println!("  {:>7}{:>89.1} us", "no agent", micros(alone));
    let mut all = Vec::new();
    for count in COUNTS {
        let new: Vec<Task> = (tasks.len()..count).map(|_| node.task_to_be(node.port)).collect();
        let new = new.into_iter().map(|mut task| {
            task.listen();
            task
        });
        tasks.extend(new);
        let began = Instant::now();
        agent.wait_until("all targets", Duration::from_secs(120), |lines| {
            (lines.iter().filter(|line| line["kind"] == "start").count() == count).then_some(())
        });
        let joined = began.elapsed();
        probes.extend(node.probe(&tasks[probes.len()..], CHECKS));
        std::thread::sleep(SETTLES);
        let figures = figures(agent.id(), &elsewhere, &before, (count, joined))?;
        println!(
            "  {:>7}  {:>4.1} MiB  {:>11}  {:>14.1} MiB  {:>14.1} ms  {:>11.1} s  {:>19.1} us",
            count,
            mib(figures.resident_kib),
            figures.descriptors,
            mib(figures.maps_kib),
            figures.busy,
            figures.joined.as_secs_f64(),
            micros(figures.connection)
        );
        all.push(figures);
    }
    let ended = agent.stop();
    ensure!(ended.status.success(), "the agent failed: {}", ended.errors);
    let curve = |title: &str, cost: fn(&Figures) -> f64| Curve {
        title: format!("{title}, by number of targets of a node agent"),
        points: all.iter().map(|figures| (figures.targets as f64, cost(figures))).collect(),
    };
    page.draw(curve("Resident memory in MiB", |figures| mib(figures.resident_kib)));
    page.draw(curve("CPU time a second in ms", |figures| figures.busy));
    page.draw(curve("Microseconds a connection takes elsewhere on the host", |figures| {
        micros(figures.connection)
    }));
    println!("Each target more");
    for pair in all.windows(2) {
        let [from, to] = pair else { continue };
        let more = (to.targets - from.targets) as f64;
        println!(
            "  {:>3} to {:>3}: {:>5.0} KiB resident, {:>4.1} descriptors, {:>4.0} KiB of maps, {:>4.2} ms of CPU time a second",
            from.targets,
            to.targets,
            (to.resident_kib as f64 - from.resident_kib as f64) / more,
            (to.descriptors as f64 - from.descriptors as f64) / more,
            (to.maps_kib as f64 - from.maps_kib as f64) / more,
            (to.busy - from.busy) / more,
        );
    }
    Ok(())
}

/// Time that a connection over loopback takes to be made, accepted and closed: the quickest of many batches, because
/// whatever else the machine does only makes it longer. Each of its changes of state runs the programs on the tracepoint.
fn connection(namespace: &Netns) -> Result<Duration> {
    const BATCHES: u32 = 40;
    const EACH: u32 = 100;
    namespace.run(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening on loopback")?;
        let address = listener.local_addr().context("its port")?;
        let mut quickest = Duration::MAX;
        for _ in 0..BATCHES {
            let began = Instant::now();
            for _ in 0..EACH {
                let stream = TcpStream::connect(address).context("connecting over loopback")?;
                let accepted = listener.accept().context("accepting over loopback")?;
                drop((stream, accepted));
            }
            quickest = quickest.min(began.elapsed() / EACH);
        }
        Ok(quickest)
    })
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn figures(
    process: u32,
    elsewhere: &Netns,
    maps: &Maps,
    (targets, joined): (usize, Duration),
) -> Result<Figures> {
    let (began, before) = (Instant::now(), spent(process)?);
    std::thread::sleep(MEASURED);
    let busy = (spent(process)? - before).as_secs_f64() * 1000.0 / began.elapsed().as_secs_f64();
    let descriptors = fs::read_dir(format!("/proc/{process}/fd")).context("its descriptors")?.count();
    Ok(Figures {
        targets,
        resident_kib: kib(process, "VmRSS")?,
        descriptors,
        maps_kib: maps.kib_since()?,
        busy,
        joined,
        connection: connection(elsewhere)?,
    })
}

/// CPU time of a process so far, on all its threads.
fn spent(process: u32) -> Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let (_, fields) = text.rsplit_once(')').with_context(|| format!("no name in {path}"))?;
    let user_and_system = fields.split_whitespace().skip(11).take(2);
    let ticks = user_and_system.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    // USER_HZ is 100 wherever this runs.
    Ok(Duration::from_millis(10 * ticks))
}
