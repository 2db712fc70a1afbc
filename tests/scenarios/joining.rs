//! How soon a node agent watches what begins to listen.

use std::{
    fs,
    time::{Duration, Instant},
};

use lab::node::{Node, Task};

use crate::{
    node::{addresses, start, wait_watched},
    turns,
};

/// What a node agent promises for a new target, on a machine that has time for it.
const PROMISED: Duration = Duration::from_secs(2);

#[test]
fn a_new_target_is_joined_within_two_seconds() {
    joins(1, PROMISED);
}

/// A quarter of a second of CPU time each, four at a time: on two CPUs a dozen take about as long as is promised for one.
#[test]
fn a_dozen_that_begin_to_listen_at_once_take_little_longer() {
    joins(12, 2 * PROMISED);
}

/// So many begin to listen at once, while another one is watched already.
fn joins(count: usize, limit: Duration) {
    let _turn = turns::alone();
    let mut node = Node::new();
    let mut agent = start(&node, "");
    let first = node.task();
    wait_watched(&mut agent, "the first", &addresses([&first]));
    let mut tasks: Vec<Task> = (0..count).map(|_| node.task_to_be(node.port)).collect();
    let (began, before) = (Instant::now(), Spent::until_now(agent.id()));
    for task in &mut tasks {
        task.listen();
    }
    wait_watched(&mut agent, "all of them", &addresses(tasks.iter().chain([&first])));
    let joined = began.elapsed();
    let after = Spent::until_now(agent.id());
    let own = after.own - before.own;
    let others = (after.all - before.all).saturating_sub(own);
    eprintln!("{} joined within {joined:?}: {own:?} of CPU, {others:?} of others", tasks.len());
    // Where others want the CPUs, too, what can be promised is the work.
    let is_calm = others < joined / 3;
    let took = if is_calm { joined } else { own };
    assert!(took < limit * lab::wait::pace(), "{took:?}, calm: {is_calm}");
    let ended = agent.stop();
    assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""));
}

/// What a target takes to join is the verifier's work above all, and that is counted, not timed.
#[test]
fn no_program_keeps_the_verifier_long() {
    let _turn = turns::share();
    let mut node = Node::new();
    let mut agent = start(&node, "");
    let task = node.task();
    wait_watched(&mut agent, "the task", &addresses([&task]));
    // Instructions that the verifier followed in each program.
    let verified = lab::descriptors::numbers(agent.id(), "verified_insns:");
    drop(agent);
    // The file says so since 5.16.
    let Some(most) = verified.iter().max() else { return };
    assert!(*most < 60_000, "instructions that the verifier followed, by program: {verified:?}");
    assert!(verified.iter().sum::<u64>() < 200_000, "{verified:?}");
}

/// CPU time so far.
#[derive(Clone, Copy)]
struct Spent {
    /// Of one process.
    own: Duration,
    /// Of everybody, in all CPUs.
    all: Duration,
}

impl Spent {
    fn until_now(process: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("its times");
        let own = stat.rsplit_once(')').expect("a name").1;
        let all = fs::read_to_string("/proc/stat").expect("the machine's times");
        let all = all.lines().next().expect("a line for all CPUs").strip_prefix("cpu").expect("all CPUs");
        // User, nice and system; behind them, idle.
        Self { own: ticks(own, 11, 2), all: ticks(all, 0, 3) }
    }
}

/// The sum of so many fields, in hundredths of a second (USER_HZ is 100 wherever this runs).
fn ticks(text: &str, from: usize, count: usize) -> Duration {
    let fields = text.split_whitespace().skip(from).take(count);
    Duration::from_millis(10 * fields.map(|field| field.parse::<u64>().expect("ticks")).sum::<u64>())
}
