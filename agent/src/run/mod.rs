//! `trace`: watches until it is told to stop.
//!
//! One thread does everything in turn: a tick reads the kernel and concludes, a report says so. Only name resolution,
//! signals and standard output have threads of their own, because they may come late or block.

mod check;
mod endpoint;
mod failure;
mod follow;
#[cfg(test)]
mod golden;
mod hooking;
mod names;
mod outbox;
mod ready;
mod recorder;
mod retry;
mod say;
mod signals;
mod sink;
mod start;
mod target;
mod thrift;
mod watching;

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::time::MissedTickBehavior;

use crate::{
    discover::{Discovered, Endpoints},
    domain::verdict::State,
    kernel::{limits, memory, privileges},
    output::pace::CommonPace,
    settings::{OnBlind, Settings},
};

pub use check::{Wanted, check};
use endpoint::Endpoint;
pub use failure::Failure;
use follow::Follower;
use names::Names;
use outbox::OnError;
use ready::ReadyFile;
use sink::Sink;
use target::Target;

/// Version of the agent, as it introduces itself.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Bounds of the time between two looks at the kernel. The longest and a look before its time together leave some of the second within
/// which a fault of the host is named after the probe that meets it.
const TICK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(750));

/// Watches what the settings name until a signal, the end of the given time, or a failure.
///
/// # Errors
///
/// Why it ended other than well; everything is unhooked by then.
pub fn trace(settings: &Settings) -> Result<(), Failure> {
    run(settings, Until::Told).map(drop)
}

/// Watches until the verdict is sure, or as long as it was told to; the exit code that says the verdict.
///
/// # Errors
///
/// As [`trace`].
pub fn diagnose(settings: &Settings) -> Result<u8, Failure> {
    let verdicts = run(settings, Until::Sure)?;
    // The worst of several targets; one that cannot be observed may hide a fault, but a fault that was found is one.
    let worst = [State::Fault, State::CannotObserve, State::Inconclusive]
        .into_iter()
        .find(|state| verdicts.contains(state));
    Ok(match worst {
        Some(State::Fault) => 1,
        Some(State::CannotObserve) => 3,
        Some(State::Inconclusive) => 4,
        Some(State::Healthy) | None => 0,
    })
}

/// When to end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// At the given time, if any.
    Told,
    /// When every verdict is sure, or after the time it takes to be.
    Sure,
}

fn run(settings: &Settings, until: Until) -> Result<Vec<State>, Failure> {
    memory::share();
    limits::raise();
    privileges::begin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .on_thread_start(privileges::none)
        .build()
        .map_err(Failure::internal)?;
    // Standard output that ends is the end only where nobody sees elsewhere what is found.
    let on_error = if settings.has_another_outlet() { OnError::Count } else { OnError::End };
    let mut sink = Sink::new(settings.format, until == Until::Sure, on_error).map_err(Failure::internal)?;
    sink.ship_to(settings.cloudwatch.as_ref()).map_err(Failure::internal)?;
    let outcome = runtime.block_on(watch(settings, until, &mut sink));
    // A name server that does not answer must not hold up the end.
    runtime.shutdown_background();
    // Everything is unhooked by now, whether somebody reads or not.
    let said = sink.finish();
    match (outcome, said) {
        (Ok(verdicts), Ok(()) | Err(Failure::OutputClosed)) => Ok(verdicts),
        (Err(Failure::OutputClosed), _) => Ok(vec![State::Inconclusive]),
        (Ok(_), Err(failure)) | (Err(failure), _) => Err(failure),
    }
}

/// Writes a text that was asked for, such as the help.
///
/// # Errors
///
/// When it cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    match sink::write(text) {
        Err(Failure::OutputClosed) => Ok(()),
        other => other,
    }
}

async fn watch(settings: &Settings, until: Until, sink: &mut Sink) -> Result<Vec<State>, Failure> {
    let mut stop = signals::watch().map_err(Failure::internal)?;
    let mut ready = settings.ready_file.as_deref().map(ReadyFile::prepare).transpose()?;
    // Here, where the agent lives, whatever it watches, and before anything that takes time.
    let mut endpoint = settings.listen.map(Endpoint::open).transpose()?;
    let (names, discovered) = tokio::select! {
        found = find_out(settings) => found,
        // A name server may take its time; nothing is hooked up yet.
        _ = stop.recv() => return Ok(vec![State::Inconclusive]),
    };
    let mut names = names?;
    if let Some(zone) = &discovered.identity.availability_zone {
        names.add_zone(zone).await;
    }
    let of_host = Rc::new(discovered.of_host());
    let mut targets = Target::all(settings, discovered);
    for target in &mut targets {
        target.try_start(settings, &names, sink)?;
    }
    let mut follower = settings.all_namespaces.then(|| Follower::new(of_host));
    if let Some(follower) = &mut follower {
        // A signal that comes meanwhile is taken below.
        while !follower.look(&mut targets, settings, &names, sink)? && stop.is_empty() {}
        if targets.is_empty() && until == Until::Sure {
            return Err(nobody_listens(settings));
        }
    }
    privileges::settle(privileges::Again {
        load: settings.on_blind == OnBlind::Stay || settings.all_namespaces,
        join: !settings.namespaces.is_empty() || settings.all_namespaces,
    });
    publish(ready.as_mut(), settings, &targets)?;
    memory::let_go_of_code();

    let began = Instant::now();
    let mut common_pace = CommonPace::default();
    let mut tick = every(tick_length(settings));
    let mut report = every(sink.refresh(settings.interval));
    report.tick().await;
    let mut resolve = every(settings.resolve_every);
    resolve.tick().await;
    let mut follow = every(follow::EVERY);
    follow.tick().await;
    let reason = loop {
        tokio::select! {
            biased;
            signal = stop.recv() => {
                if signal.is_some_and(signals::stops_a_task) {
                    targets.iter_mut().for_each(Target::stop);
                }
                break signal.map_or("signal", signals::name).to_owned();
            }
            () = ended(settings.duration, began) => break "duration".to_owned(),
            changed = names.changed() => if changed {
                for target in &mut targets {
                    target.name_nodes(settings, &names)?;
                }
            },
            _ = resolve.tick() => names.refresh(),
            _ = follow.tick(), if follower.is_some() => if let Some(follower) = &mut follower
                && !follower.look(&mut targets, settings, &names, sink)?
            {
                follow.reset_immediately();
            },
            _ = tick.tick() => {
                #[cfg(debug_assertions)]
                assert!(settings.panic_after.is_none_or(|after| began.elapsed() < after), "told to panic");
                sink.check()?;
                for target in &mut targets {
                    target.look_again(settings, &names, sink)?;
                    target.step(settings, sink)?;
                }
                if let Some(soon) = targets.iter().filter_map(Target::next_look).min() {
                    tick.reset_after(soon.min(tick_length(settings)));
                }
                if sink.take_hurry() {
                    report.reset_immediately();
                }
                publish(ready.as_mut(), settings, &targets)?;
                if until == Until::Sure && targets.iter().all(Target::is_sure) {
                    break "a sure verdict".to_owned();
                }
                let is_auto = until == Until::Sure && settings.duration.is_none();
                if is_auto && targets.iter().all(Target::has_waited) {
                    break "the end of the wait".to_owned();
                }
            }
            _ = report.tick(), if until == Until::Told => {
                sink.begin();
                for target in &mut targets {
                    target.report(settings, &names, sink)?;
                }
                say_of_all(settings, &targets, began.elapsed(), &mut common_pace, sink)?;
                sink.end()?;
                publish(ready.as_mut(), settings, &targets)?;
            }
            // Last, so that no number of questions keeps it from watching.
            question = Endpoint::asked(endpoint.as_mut()) => {
                question.answer(endpoint::page(settings.all_namespaces, &targets, sink.lost_lines()));
            }
        }
    };
    sink.begin();
    let mut verdicts = Vec::new();
    for target in &mut targets {
        target.step(settings, sink)?;
        verdicts.push(target.finish(settings, &reason, sink)?);
    }
    say_of_all(settings, &targets, began.elapsed(), &mut common_pace, sink)?;
    sink.end_for_good()?;
    Ok(verdicts)
}

/// Names and metadata, at the same time: either may be slow.
async fn find_out(settings: &Settings) -> (Result<Names, Failure>, Discovered) {
    let endpoints = Endpoints::from_environment();
    let metadata = async {
        let asked = tokio::task::spawn_blocking(move || Discovered::ask(&endpoints)).await;
        // It never panics; if it did, the panic was reported, and the agent works without.
        asked.unwrap_or_else(|_| Discovered::nothing())
    };
    tokio::join!(Names::resolve(settings.names(), settings.on_blind), metadata)
}

/// What no single target can say.
fn say_of_all(
    settings: &Settings,
    targets: &[Target],
    watched: Duration,
    pace: &mut CommonPace,
    sink: &mut Sink,
) -> Result<(), Failure> {
    if settings.all_namespaces && targets.is_empty() {
        return say::nobody(&settings.ports, sink);
    }
    say::common(&targets.iter().map(Target::open).collect::<Vec<_>>(), watched, pace, sink)
}

fn nobody_listens(settings: &Settings) -> Failure {
    let ports = settings.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    Failure::Usage(format!(
        "no network namespace of this node has a listener on port {ports}, so there is nothing to diagnose: is it the \
         right port, and does the agent see the node's processes (pidMode host)?"
    ))
}

fn publish(ready: Option<&mut ReadyFile>, settings: &Settings, targets: &[Target]) -> Result<(), Failure> {
    let is_ready = ready::is_ready(settings.all_namespaces, targets.iter().map(Target::is_watched));
    ready.map_or(Ok(()), |ready| ready.publish(is_ready))
}

/// Often enough to tell one probe from the next.
fn tick_length(settings: &Settings) -> Duration {
    let health = settings.health_interval.map_or(TICK.1, |interval| interval / 4);
    health.min(settings.interval).clamp(TICK.0, TICK.1)
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    // After a pause of the whole machine one look is enough.
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn ended(duration: Option<Duration>, began: Instant) {
    match duration {
        Some(duration) => tokio::time::sleep(duration.saturating_sub(began.elapsed())).await,
        None => std::future::pending().await,
    }
}
