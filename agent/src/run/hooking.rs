//! From a target that was found to one that is hooked up: of one, or of many at the same time.

use std::{num::NonZero, thread};

use crate::{
    domain::sources::SourceTable,
    kernel::{
        memory,
        observer::{self, ObserveError, Observer, Options},
        privileges::{self, Power},
    },
    run::recorder::Recorder,
    settings::Settings,
};

/// Threads that hook up at the same time: enough to be done soon, few enough to leave a node its processors.
const AT_ONCE: usize = 4;

/// All that hooking up takes.
pub struct Prepared {
    /// What to watch.
    pub target: observer::Target,
    /// Who may send.
    pub sources: SourceTable,
    /// What was chosen, and why.
    pub choices: Vec<String>,
    /// Where the evidence is written down.
    pub recorder: Recorder,
}

/// What came of it.
pub struct Hooked {
    /// The kernel's side.
    pub observer: Result<Observer, ObserveError>,
    /// Who may send.
    pub sources: SourceTable,
    /// What was chosen, and why.
    pub choices: Vec<String>,
    /// Where the evidence is written down.
    pub recorder: Recorder,
}

impl Prepared {
    /// Loads the programs and hooks them up, on this thread.
    pub fn hook_up(self, settings: &Settings) -> Hooked {
        let Self { target, sources, choices, recorder } = self;
        let options = Options {
            btf: &settings.btf,
            attach: settings.attach,
            shares: settings.has_several_targets(),
            learns: settings.nlbs.is_empty(),
            drop_entries: settings.drop_entries,
            probe_entries: settings.probe_entries,
        };
        let observer = privileges::with(Power::Load, || Observer::start(target, &sources, &options));
        Hooked { observer, sources, choices, recorder }
    }
}

/// Hooks up all of these. Most of it is the kernel's verifier, which many threads may use at once. They begin with what
/// this thread may do, and are gone when this returns.
pub fn hook_up_all(prepared: Vec<Prepared>, settings: &Settings) -> Vec<Hooked> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).clamp(1, AT_ONCE);
    if threads == 1 || prepared.len() <= 1 {
        return prepared.into_iter().map(|one| one.hook_up(settings)).collect();
    }
    let share = prepared.len().div_ceil(threads);
    let mut left = prepared.into_iter();
    let hooked = thread::scope(|scope| {
        let shares = (0..threads).map(|_| left.by_ref().take(share).collect::<Vec<_>>());
        let work =
            |share: Vec<Prepared>| share.into_iter().map(|one| one.hook_up(settings)).collect::<Vec<_>>();
        let running: Vec<_> = shares.map(|share| scope.spawn(move || work(share))).collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    // Each gave back what it needed to load, but for what another still used at that moment.
    memory::give_back();
    hooked
}
