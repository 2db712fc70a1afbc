//! What is said about a target, in the format that was asked for.

use std::time::{Duration, SystemTime};

use crate::{
    discover::Discovered,
    domain::{
        class::Role,
        common::common_absences,
        finding::Finding,
        ledger::State as FindingState,
        sample::{BlindSpot, Loss},
        stage::Stage,
        verdict::{State, Verdict},
    },
    kernel::facts,
    output::{
        json::{self, Head},
        pace::CommonPace,
        text,
        view::{self, Report, TargetLabel},
    },
    run::{Failure, VERSION, sink::Sink, thrift::Thrift, watching::Watching},
    settings::Format,
};

/// The first words: what is watched, how, and what cannot be seen.
pub fn introduction(
    label: &TargetLabel,
    watching: &Watching,
    choices: &[String],
    discovered: &Discovered,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let hooks = watching.observer.hooks();
    let blind_spots = watching.observer.blind_spots();
    let others: Vec<String> = watching.observer.others().iter().map(ToString::to_string).collect();
    let of_role = |role| {
        let sources = watching.sources.iter().filter(|source| source.role == role);
        sources.map(|source| source.label()).collect()
    };
    let text = match sink.format() {
        Format::Text => {
            let found = discovered.identity.lines();
            let choices: Vec<String> =
                found.iter().chain(&discovered.notes).chain(choices).cloned().collect();
            let choices = &choices;
            text::start(&text::Start {
                version: VERSION,
                target: label,
                choices,
                hooks: &hooks,
                others: &others,
                blind_spots,
            })
        }
        Format::Json | Format::Emf => json::start(
            Head::new(&time(), "start", label),
            &json::Start {
                version: VERSION,
                kernel: &facts::release(),
                address: label.address.as_deref(),
                choices,
                identity: &discovered.identity,
                discovery_notes: &discovered.notes,
                ports: &label.ports,
                clients: of_role(Role::Client),
                nlb: of_role(Role::Node),
                hooks: &hooks,
                other_programs: &others,
                blind_spots: json::blind(blind_spots),
            },
        ),
    };
    sink.say(&text)
}

/// What opened and what cleared. People see it with the next report, which comes at once when a fault opened.
pub fn changes(
    label: &TargetLabel,
    watching: &Watching,
    changes: &[(FindingState, Finding)],
    thrift: &mut Thrift,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let time = time();
    let line = |state, finding: &Finding| json::finding(Head::new(&time, "finding", label), state, finding);
    match sink.format() {
        Format::Text => {
            if changes.iter().any(|(state, finding)| *state == FindingState::Opened && finding.is_fault()) {
                sink.hurry();
            }
            Ok(())
        }
        Format::Json => changes.iter().try_for_each(|(state, finding)| sink.add(&line(*state, finding))),
        Format::Emf => {
            let lines = thrift.changes(watching, changes, line);
            lines.iter().try_for_each(|line| sink.add(line))
        }
    }
}

/// What happened since the report before, and what follows.
pub fn report(
    label: &TargetLabel,
    watching: &Watching,
    thrift: &mut Thrift,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let summary = watching.summary();
    let loss =
        Loss { output_lines: sink.lost_lines(), shipping_lines: sink.unshipped_lines(), ..summary.loss };
    let rows = view::rows(&summary.case, &summary.before, &summary.findings);
    if sink.format() == Format::Text {
        let report = Report {
            target: label,
            window: summary.window,
            watched: summary.case.now,
            rows,
            findings: summary.findings,
            verdict: &summary.verdict,
            loss,
            hints: summary.hints,
            with_evidence: sink.with_evidence(),
        };
        let color = sink.color();
        return sink.add(&text::report(&report, VERSION, color));
    }
    let time = time();
    let head = |kind| Head::new(&time, kind, label);
    if sink.format() == Format::Emf {
        let lines = thrift.report(&summary, rows, loss, label, head);
        return lines.iter().try_for_each(|line| sink.add(line));
    }
    for row in &rows {
        sink.add(&json::report(head("report"), row, summary.window))?;
    }
    for (_, finding) in &summary.findings {
        sink.add(&json::finding(head("finding"), FindingState::Ongoing, finding))?;
    }
    sink.add(&json::verdict(head("verdict"), &summary.verdict, &summary.hints))?;
    sink.add(&json::loss(head("loss"), loss))
}

/// What several targets miss at once. `open`: the label of each target and what is open there; `watched`: how long the
/// agent has been at work.
pub fn common(
    open: &[(&TargetLabel, Vec<&Finding>)],
    watched: Duration,
    pace: &mut CommonPace,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let findings: Vec<Vec<&Finding>> = open.iter().map(|(_, findings)| findings.clone()).collect();
    let mut absences = common_absences(&findings);
    if sink.format() == Format::Emf {
        absences = pace.due(watched, absences);
    }
    for absence in absences {
        let labels: Vec<&TargetLabel> = absence.targets.iter().map(|index| open[*index].0).collect();
        let text = match sink.format() {
            Format::Text => text::common(&absence, open.len(), &labels),
            Format::Json | Format::Emf => json::common(&time(), &absence, open.len(), &labels),
        };
        sink.add(&text)?;
    }
    Ok(())
}

/// That there is nothing to watch at the moment.
pub fn nobody(ports: &[u16], sink: &mut Sink) -> Result<(), Failure> {
    if sink.format() == Format::Text { sink.add(&text::nobody(ports)) } else { Ok(()) }
}

/// That nothing can be said, and why.
pub fn blind(
    label: &TargetLabel,
    trouble: &str,
    thrift: &mut Thrift,
    sink: &mut Sink,
) -> Result<(), Failure> {
    let verdict = cannot_observe(trouble);
    let color = sink.color();
    let time = time();
    let head = Head::new(&time, "verdict", label);
    match sink.format() {
        Format::Text => sink.add(&text::blind(label, &verdict, color)),
        Format::Json => sink.add(&json::verdict(head, &verdict, &[])),
        Format::Emf => {
            let lines = thrift.blind(&verdict, label, head);
            lines.iter().try_for_each(|line| sink.add(line))
        }
    }
}

/// The last words: how it ended, how long it was watched and what was seen.
pub fn end(
    label: &TargetLabel,
    watching: Option<&Watching>,
    reason: &str,
    sink: &mut Sink,
) -> Result<State, Failure> {
    let (watched, state, seen) = match watching {
        Some(watching) => {
            let summary = watching.summary();
            (summary.case.now, summary.verdict.state, view::life(&summary.case))
        }
        None => (Duration::ZERO, State::CannotObserve, "nothing could be observed".to_owned()),
    };
    let text = match sink.format() {
        Format::Text => text::stop(reason, &seen),
        Format::Json | Format::Emf => {
            json::stop(Head::new(&time(), "stop", label), reason, watched, &seen, state)
        }
    };
    sink.add(&text)?;
    Ok(state)
}

fn cannot_observe(trouble: &str) -> Verdict {
    let blind_spot = BlindSpot { id: "target", stages: Stage::ALL.to_vec(), text: trouble.to_owned() };
    Verdict { state: State::CannotObserve, reasons: vec![trouble.to_owned()], blind_spots: vec![blind_spot] }
}

/// Now, RFC 3339 in UTC.
fn time() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}
