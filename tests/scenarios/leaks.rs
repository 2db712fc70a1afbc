//! Namespaces come and go, one at a time and many at once, and nothing of those that went piles up in the node agent.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use lab::{
    agent::{Agent, anonymous_kib},
    descriptors::Objects,
    node::{Node, Task},
    wait,
    witness::attached,
};

use crate::{
    node::{addresses, firewalled, start_every, wait_watched, watched},
    row::PATIENCE,
    turns,
};

/// How long many at once may take to be joined.
const JOIN_MANY: Duration = Duration::from_secs(60);

/// What the agent may grow by for each target that was replaced: far less than the state of one, which is what a leak
/// would leave.
const KIB_PER_REPLACED: u64 = 4;

/// What the allocator may keep besides, however long it runs.
const ALLOCATOR_KIB: u64 = 1024;

/// Descriptors that are open for the length of a look at the node.
const PASSING: usize = 4;

/// Every so many steps several are replaced at once.
const BURST_EVERY: usize = 4;

/// Every so many steps a new one has a fault: once in the fewest steps before the warm-up is over, and once after.
const FAULT_EVERY: usize = 10;

/// How it goes.
struct Plan {
    /// Targets at a time.
    count: usize,
    /// How long it runs at least. The first third is the warm-up: what is made once is there then.
    time: Duration,
    /// Between two steps.
    pause: Duration,
}

/// Steps of the warm-up, and of all, at least: a machine may be slow. Each part has two bursts.
const FEWEST_STEPS: (usize, usize) = (8, 16);

#[test]
fn some_come_and_go_also_at_once_and_nothing_piles_up() {
    let _turn = turns::share();
    come_and_go(&Plan { count: 6, time: Duration::from_secs(30), pause: Duration::from_millis(200) });
}

/// `LAB_NODE=120` tasks for `LAB_NODE_SECONDS=300`.
#[test]
#[ignore = "minutes long: LAB_NODE=120 LAB_NODE_SECONDS=300 cargo xtask test -- --ignored leaks::"]
fn many_come_and_go_for_minutes_and_nothing_piles_up() {
    let _turn = turns::alone();
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let count = number("LAB_NODE", 120) as usize;
    let time = Duration::from_secs(number("LAB_NODE_SECONDS", 300));
    come_and_go(&Plan { count, time, pause: Duration::from_millis(500) });
}

fn come_and_go(plan: &Plan) {
    let mut scene = Scene::new(plan);
    let began = Instant::now();
    let (warm_up, whole) = FEWEST_STEPS;
    let mut before = None;
    for step in 0.. {
        if before.is_none() && step >= warm_up && began.elapsed() >= plan.time / 3 {
            before = Some((scene.usage(), scene.replaced));
        }
        if step >= whole && began.elapsed() >= plan.time {
            break;
        }
        scene.step(step);
        sleep(plan.pause);
    }
    let (before, replaced_before) = before.expect("the warm-up is over before the whole");
    let after = scene.usage();
    let replaced = (scene.replaced - replaced_before) as u64;
    println!(
        "{} tasks for {} s, {} replaced ({replaced} of them after the warm-up), {} of them faulty, slowest join {:?}",
        plan.count,
        began.elapsed().as_secs(),
        scene.replaced,
        scene.faulty.len(),
        scene.slowest
    );
    println!("before {before:?}\nafter  {after:?}");
    assert_eq!(firewalled(scene.agent.lines()), scene.faulty, "each fault once, and in its own namespace");
    let (held, then) = (after.objects.counts(), before.objects.counts());
    assert_eq!(held, then, "programs, maps or links pile up: as many targets take as many");
    assert!(after.descriptors <= before.descriptors + PASSING, "descriptors pile up: {before:?} {after:?}");
    let allowed = before.anonymous_kib + KIB_PER_REPLACED * replaced + ALLOCATOR_KIB;
    assert!(after.anonymous_kib <= allowed, "memory piles up, {allowed} KiB allowed: {before:?} {after:?}");
    scene.end(&after.objects);
}

/// A node, its tasks, and the agent that follows them.
struct Scene {
    node: Node,
    tasks: Vec<Task>,
    agent: Agent,
    /// Tasks at once in a burst.
    burst: usize,
    replaced: usize,
    /// Addresses of those that were given a fault, in order.
    faulty: Vec<String>,
    slowest: Duration,
}

impl Scene {
    fn new(plan: &Plan) -> Self {
        let mut node = Node::new();
        let tasks: Vec<Task> = (0..plan.count).map(|_| node.task()).collect();
        let mut agent = start_every(&node, "10s", "");
        let all = addresses(&tasks);
        agent.wait_until("all of them", JOIN_MANY, |lines| (watched(lines) == all).then_some(()));
        // More than the agent joins in one go, where there are as many.
        let burst = (plan.count / 2).clamp(1, 20);
        Self { node, tasks, agent, burst, replaced: 0, faulty: Vec::new(), slowest: Duration::ZERO }
    }

    fn step(&mut self, step: usize) {
        let count = if step % BURST_EVERY == BURST_EVERY - 1 { self.burst } else { 1 };
        let asked = Instant::now();
        let new: Vec<Task> = (0..count).map(|_| self.node.task()).collect();
        let wanted = addresses(&new);
        let mut place = 0;
        for task in new {
            place = self.replaced % self.tasks.len();
            self.tasks[place] = task;
            self.replaced += 1;
        }
        self.agent
            .wait_until("the new ones", JOIN_MANY, |lines| watched(lines).is_superset(&wanted).then_some(()));
        if count == 1 {
            self.slowest = self.slowest.max(asked.elapsed());
        }
        if step % FAULT_EVERY == 1 {
            self.break_one(place);
        }
    }

    /// Its host drops what comes: found in this one and in no other.
    fn break_one(&mut self, place: usize) {
        let task = &self.tasks[place..=place];
        task[0].firewall();
        let address = task[0].address.to_string();
        let probes = self.node.probe(task, Duration::from_millis(300));
        self.agent
            .wait_until("its fault", PATIENCE, |lines| firewalled(lines).contains(&address).then_some(()));
        self.faulty.push(address);
        drop(probes);
    }

    /// What the agent holds once it is done with everything that came and went.
    #[track_caller]
    fn usage(&mut self) -> Usage {
        let wanted: BTreeSet<String> = addresses(&self.tasks);
        wait_watched(&mut self.agent, "those that are there, and no others", &wanted);
        Usage::calm(self.agent.id())
    }

    /// The agent ends, and with it everything it held.
    fn end(self, held: &Objects) {
        let process = self.agent.id();
        let ended = self.agent.stop();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.errors);
        assert!(!Path::new(&format!("/proc/{process}")).exists());
        for task in &self.tasks {
            assert_eq!(attached(&task.namespace), [""; 0]);
        }
        // The kernel frees them a moment after the last descriptor is closed.
        wait::until("its programs, maps and links to go", PATIENCE, || {
            held.still_there(&self.node.home).is_empty()
        });
    }
}

/// What a process holds.
#[derive(Clone, Debug)]
struct Usage {
    descriptors: usize,
    objects: Objects,
    anonymous_kib: u64,
}

impl Usage {
    fn now(process: u32) -> Self {
        Self {
            descriptors: fs::read_dir(format!("/proc/{process}/fd")).expect("its descriptors").count(),
            objects: Objects::of(process),
            anonymous_kib: anonymous_kib(process),
        }
    }

    /// The least of some looks over two seconds: between two looks of its own at the node it holds only what it keeps.
    fn calm(process: u32) -> Self {
        let mut least = Self::now(process);
        for _ in 0..40 {
            sleep(Duration::from_millis(50));
            let now = Self::now(process);
            least.descriptors = least.descriptors.min(now.descriptors);
            least.anonymous_kib = least.anonymous_kib.min(now.anonymous_kib);
            if now.objects.counts().iter().sum::<usize>() <= least.objects.counts().iter().sum() {
                least.objects = now.objects;
            }
        }
        least
    }
}
