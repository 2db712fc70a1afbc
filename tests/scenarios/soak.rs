//! Hours of load in which faults come and go and the NLB's name changes: each fault is found and cleared, no count drifts from what
//! nftables counted, and nothing piles up.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::IpAddr,
    thread::sleep,
    time::{Duration, Instant},
};

use lab::{
    agent::{self, Agent, START, words},
    app::{App, Listen},
    client::Clients,
    descriptors::Objects,
    dns::Dns,
    metadata::{Manner, Metadata, task_page},
    nlb::{Check, Node, Speech},
    plan::{Family, Plan},
    topology::Topology,
    unruly::Unruly,
    wait,
    witness::Witness,
};
use serde_json::Value;

use crate::{
    expected::{arrived, last_verdict},
    row::{PATIENCE, nodes},
    safety::flood_once,
    turns,
};

const NLB: &str = "orders-0123456789abcdef.elb.us-west-2.amazonaws.com";

/// The NLB's name in the zone that the task's metadata tell of: where the zone's node is known, nodes of others that never come are
/// worth a note.
const IN_ZONE: &str = "us-west-2d.orders-0123456789abcdef.elb.us-west-2.amazonaws.com";

/// Everything is well for so long between two faults: longer than the eight seconds that the agent looks back with this interval, so
/// that each is judged by itself.
const WELL: Duration = Duration::from_secs(9);

/// Every so many faults the NLB's name gets one address more, and all tables of sources are replaced.
const RENAME_EVERY: usize = 4;

/// What the agent may grow by between the second third and the last: what the allocator keeps, and the sources it got to know.
const MAY_GROW_KIB: u64 = 512;

/// Every so many faults it is shown how it goes.
const SHOWN_EVERY: usize = 20;

/// What befalls the target.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    RuleDrops,
    RuleRejects,
    NobodyListens,
    GroupDropsOneNode,
}

impl Trouble {
    const ALL: [Self; 4] = [Self::RuleDrops, Self::GroupDropsOneNode, Self::NobodyListens, Self::RuleRejects];

    const fn code(self) -> &'static str {
        match self {
            Self::RuleDrops => "host_firewall",
            Self::RuleRejects => "firewall_reject",
            Self::NobodyListens => "no_listener",
            Self::GroupDropsOneNode => "probes_stopped",
        }
    }

    /// An application that ends cuts the connections that are under way.
    fn may_bring(self, code: &str) -> bool {
        matches!(self, Self::NobodyListens) && code == "app_reset"
    }

    fn begin(self, lab: &Topology, app: &mut Option<App>) {
        let (family, port) = (lab.plan.family.nft(), lab.plan.port);
        match self {
            Self::RuleDrops => {
                lab.firewall("input", &format!("{family} saddr {} tcp dport {port} drop", lab.plan.node(0)))
            }
            Self::RuleRejects => lab.firewall("input", &format!("tcp dport {port} reject with tcp reset")),
            Self::NobodyListens => *app = None,
            Self::GroupDropsOneNode => lab.block_towards_task(&[lab.plan.node(1)]),
        }
    }

    fn end(self, lab: &Topology, app: &mut Option<App>) {
        match self {
            Self::RuleDrops | Self::RuleRejects => lab.firewall_off(),
            Self::NobodyListens => *app = Some(serve(lab)),
            Self::GroupDropsOneNode => lab.unblock(),
        }
    }
}

fn serve(lab: &Topology) -> App {
    App::start(&lab.task, Listen::on_all(lab.plan.task.address(), lab.plan.port))
}

/// `LAB_SOAK_SECONDS`: 3600 when nobody says.
#[test]
#[ignore = "an hour long: LAB_SOAK_SECONDS=3600 cargo xtask test -- --ignored soak::"]
fn an_hour_of_faults_that_come_and_go_leaves_nothing_behind() {
    let seconds = std::env::var("LAB_SOAK_SECONDS").map_or(3600, |text| text.parse().expect("a number"));
    soak(Family::V4, Duration::from_secs(seconds));
}

fn soak(family: Family, long: Duration) {
    let _turn = turns::alone();
    let lab = Topology::new(Plan::draw(family));
    let (plan, names) = (&lab.plan, Dns::start(&lab.task));
    let [a, b] = nodes(plan);
    names.set(NLB, &[a, b]);
    names.set(IN_ZONE, &[a]);
    let page = task_page(plan.task.address(), &plan.task.subnet.to_string(), Duration::from_secs(7200));
    let ecs = Metadata::start(&lab.task, page, Manner::Answers);
    let mut app = Some(serve(&lab));
    let witness = Witness::new(&lab.task, family, &[a, b], plan.port);
    let mut agent = trace(&lab, &ecs);
    // Somewhere in an hour a machine stands still for half a second: that is no fault of anybody's here.
    let check = Check {
        timeout: Duration::from_secs(5),
        ..Check::every(Duration::from_millis(500) * wait::pace(), Speech::Http)
    };
    let probers = [0, 1].map(|at| Node::start(&lab.nodes[at], plan.node(at), plan.target(), check));
    let clients = Clients::start(&lab.client, &plan.client.addresses[..3], plan.target(), 200);
    let unruly = Unruly::start(&lab.client, plan.client.address(), plan.target(), plan.target(), 60);

    let (mut samples, mut names_known, began) = (Vec::new(), vec![a, b], Instant::now());
    // Each of them at least twice in the first third and in the last.
    let fewest = 6 * Trouble::ALL.len();
    for step in 0.. {
        if step >= fewest && began.elapsed() >= long {
            break;
        }
        if step % RENAME_EVERY == 1 {
            names_known.push(of_another_zone(a, step));
            names.set(NLB, &names_known);
        }
        let trouble = Trouble::ALL[step % Trouble::ALL.len()];
        go_through(&lab, &mut agent, &mut app, trouble);
        samples.push(Usage::of(agent.id()));
        if step % SHOWN_EVERY == 0 {
            eprintln!("{:>5.0?} {step:>4} faults {:?}", began.elapsed(), samples.last());
        }
    }
    let took = began.elapsed();
    let record = probers.map(Node::stop);
    let requests = clients.stop().0;
    drop(unruly);
    agent.wait_until("every SYN to be reported", PATIENCE, |lines| {
        (arrived(lines, plan.port).values().sum::<u64>() >= witness.counts()[""]).then_some(())
    });
    let ended = agent.stop();
    let counted = arrived(&ended.lines, plan.port);
    println!(
        "{} faults in {} s, {} addresses of the NLB, {requests} requests, {} health checks, {} SYNs",
        samples.len(),
        took.as_secs(),
        names_known.len(),
        record.iter().map(|record| record.sent).sum::<u64>(),
        counted.values().sum::<u64>(),
    );
    let (middle, last) =
        (&samples[samples.len() / 3..samples.len() * 2 / 3], &samples[samples.len() * 2 / 3..]);
    let [then, now] = [middle, last].map(Usage::usual);
    println!("the second third {then:?}\nthe last         {now:?}");
    let seen = witness.counts();
    for node in [a, b].map(|node| node.to_string()) {
        assert_eq!(counted[&node], seen[&node], "SYNs of {node}");
    }
    assert_eq!(counted.values().sum::<u64>(), seen[""], "SYNs of everybody");
    assert_eq!(now.objects, then.objects, "programs, maps or links pile up");
    assert!(now.descriptors <= then.descriptors, "descriptors pile up");
    assert!(now.anonymous_kib <= then.anonymous_kib + MAY_GROW_KIB, "memory piles up");
}

fn trace(lab: &Topology, ecs: &Metadata) -> Agent {
    let mut command = Dns::asked_by(agent::binary());
    let (port, client) = (lab.plan.port, lab.plan.client.subnet);
    let text = format!(
        "trace --output json --interval 1s --resolve-every 1s --health-interval 1s --port {port} --nlb {NLB} --client {client} \
         --client-ip preserved"
    );
    command
        .args(words(&text))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("ECS_CONTAINER_METADATA_URI_V4", ecs.ecs_uri());
    let mut agent = Agent::spawn(&lab.task, command);
    agent.wait_for("the agent to watch", START, |line| line["kind"] == "start");
    agent
}

/// An address that nobody has.
fn of_another_zone(like: IpAddr, step: usize) -> IpAddr {
    let low = u16::try_from(step % 60_000).expect("it is small").to_be_bytes();
    match like {
        IpAddr::V4(_) => [198, 18, low[0], low[1]].into(),
        IpAddr::V6(_) => [0x2001, 0x2, 0, 0, 0, 0, 0, u16::from_be_bytes(low)].into(),
    }
}

/// All is well, also in a burst of SYNs from everywhere; then a fault is found, and nothing else, and cleared again.
fn go_through(lab: &Topology, agent: &mut Agent, app: &mut Option<App>, trouble: Trouble) {
    let told = agent.lines().len();
    // Where a node of another zone is known and never comes, nothing is healthy for sure.
    agent.wait_until("nothing to be at fault", PATIENCE, |lines| {
        last_verdict(&lines[told..]).is_some_and(|verdict| verdict != "fault").then_some(())
    });
    sleep(WELL * wait::pace());
    flood_once(lab, 0);
    let told = agent.lines().len();
    trouble.begin(lab, app);
    agent.wait_until("the fault to be found", PATIENCE, |lines| {
        // What befalls the last SYNs of the burst is worth a note.
        let is = |line: &Value| line["code"] == trouble.code() && line["severity"] == "fault";
        lines[told..].iter().any(|line| is(line) && line["state"] == "opened").then_some(())
    });
    trouble.end(lab, app);
    agent.wait_until("the fault to be cleared", PATIENCE, |lines| {
        let states = lines[told..].iter().filter(|line| line["code"] == trouble.code());
        // A fault opens once more when it gets surer, and may end as a note.
        let last: BTreeMap<String, &Value> =
            states.map(|line| (line["class"].to_string(), &line["state"])).collect();
        last.values().all(|state| *state == "cleared").then_some(())
    });
    let findings: Vec<_> =
        agent.lines()[told..].iter().filter(|line| line["kind"] == "finding").cloned().collect();
    let sure =
        findings.iter().filter(|line| line["severity"] == "fault" && line["confidence"] != "suspected");
    let mut codes: BTreeSet<&str> = sure.filter_map(|line| line["code"].as_str()).collect();
    assert!(codes.remove(trouble.code()), "while {trouble:?}: {findings:#?}");
    assert!(codes.iter().all(|code| trouble.may_bring(code)), "while {trouble:?}: {findings:#?}");
}

/// What the agent holds.
#[derive(Clone, Debug)]
struct Usage {
    descriptors: usize,
    objects: [usize; 3],
    anonymous_kib: u64,
}

impl Usage {
    fn of(process: u32) -> Self {
        Self {
            descriptors: fs::read_dir(format!("/proc/{process}/fd")).expect("its descriptors").count(),
            objects: Objects::of(process).counts(),
            anonymous_kib: agent::anonymous_kib(process),
        }
    }

    /// The middle of each. What is open for the length of a question does not count.
    fn usual(samples: &[Self]) -> Self {
        fn middle<T: Ord + Copy>(samples: &[Usage], of: impl Fn(&Usage) -> T) -> T {
            let mut all: Vec<T> = samples.iter().map(of).collect();
            all.sort_unstable();
            all[all.len() / 2]
        }
        Self {
            descriptors: middle(samples, |sample| sample.descriptors),
            objects: middle(samples, |sample| sample.objects),
            anonymous_kib: middle(samples, |sample| sample.anonymous_kib),
        }
    }
}
