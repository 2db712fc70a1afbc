//! For people: place first, then cause, then the change.

use std::{fmt::Write as _, time::Duration};

use crate::{
    domain::{
        class::SourceClass,
        common::CommonAbsence,
        finding::{Confidence, Finding, Severity, Value},
        rhythm::Beat,
        sample::BlindSpot,
        stage::Stage,
        verdict::{State, Verdict},
    },
    output::view::{Report, Row, TargetLabel},
};

/// What is watched, said once at the start.
pub struct Start<'a> {
    /// Version of the agent.
    pub version: &'a str,
    /// Target.
    pub target: &'a TargetLabel,
    /// Why this interface and these ports.
    pub choices: &'a [String],
    /// What is hooked up.
    pub hooks: &'a [String],
    /// Programs and filters of somebody else on the interface.
    pub others: &'a [String],
    /// What cannot be seen.
    pub blind_spots: &'a [BlindSpot],
}

/// The first lines.
pub fn start(start: &Start<'_>) -> String {
    let mut text = format!("agent {} watches {}\n", start.version, title(start.target));
    for choice in start.choices {
        line(&mut text, format_args!("  {choice}"));
    }
    let hooks = if start.hooks.is_empty() { "none".to_owned() } else { start.hooks.join(", ") };
    line(&mut text, format_args!("  hooks: {hooks}"));
    if !start.others.is_empty() {
        line(&mut text, format_args!("  also attached, by somebody else: {}", start.others.join("; ")));
    }
    for spot in start.blind_spots {
        line(&mut text, format_args!("  blind spot: {}", spot.text));
    }
    text
}

/// One block: the table, then findings, then the verdict.
pub fn report(report: &Report<'_>, version: &str, color: bool) -> String {
    let mut text = String::new();
    let left = format!("{}  last {}", title(report.target), seconds(report.window));
    let right = format!("agent {version}, watching {}", seconds(report.watched));
    line(&mut text, format_args!("{left:<70}  {right}"));
    table(&mut text, &report.rows, report.target.ports.len() > 1);
    for (_, found) in &report.findings {
        text.push_str(&finding(found, report.target.ports.len() > 1, color));
        if report.with_evidence {
            text.push_str(&evidence(found));
        }
    }
    for hint in &report.hints {
        line(&mut text, format_args!("note: {hint}"));
    }
    if report.loss.total() > 0 {
        line(&mut text, format_args!("{}", loss(report)));
    }
    text.push_str(&verdict(report.verdict, color));
    text
}

fn title(target: &TargetLabel) -> String {
    let ports = target.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    let mut text = if ports.is_empty() { String::new() } else { format!("port {ports}") };
    if !target.interface.is_empty() {
        let _always_fits = write!(text, "  {}", target.interface);
    }
    if let Some(address) = &target.address {
        let _always_fits = write!(text, "  {address}");
    }
    if let Some(netns) = &target.netns {
        let _always_fits = write!(text, "  in {netns}");
    }
    if let Some(workload) = target.workload.phrase() {
        let _always_fits = write!(text, "  {workload}");
    }
    text
}

fn table(text: &mut String, rows: &[Row], with_port: bool) {
    let sources: Vec<String> = rows
        .iter()
        .map(|row| if with_port { format!("{} :{}", row.source, row.port) } else { row.source.clone() })
        .collect();
    let width = sources.iter().map(String::len).max().unwrap_or(0).max(16);
    let head = format!("{:<14} {:<width$}", "class", "sources");
    line(
        text,
        format_args!(
            "{head} {:>9} {:>10} {:>10} {:>12} {:>8}",
            "arrived", "admitted", "answered", "established", "served"
        ),
    );
    for (row, source) in rows.iter().zip(&sources) {
        let mut cells = format!("{:<14} {source:<width$}", row.class.name());
        for (stage, cell_width) in Stage::ALL.into_iter().zip([9, 10, 10, 12, 8]) {
            let dies_here = row.trouble.is_some_and(|(died_at, _)| died_at == stage);
            let count =
                if dies_here { format!("{} x", row.stage(stage)) } else { row.stage(stage).to_string() };
            let _always_fits = write!(cells, " {count:>cell_width$}");
        }
        if let Some(kinds) = kinds(row) {
            cells.push_str(&kinds);
        }
        let mark = match row.learned {
            None => "",
            Some(Confidence::Suspected) => "     (suspected to be a node)",
            Some(Confidence::Inferred | Confidence::Proven) => "     (learned)",
        };
        match (row.trouble, row.rhythm) {
            (Some((_, place)), _) => line(text, format_args!("{cells}     {}{mark}", place.name())),
            (None, Some((beat, next))) => {
                let told = if row.is_told_by_rhythm { " (TLS, told by its rhythm)" } else { "" };
                line(text, format_args!("{cells}     {}{told}{mark}", rhythm(beat, next)));
            }
            (None, None) => line(text, format_args!("{cells}{mark}")),
        }
    }
}

/// "every 10.0 s, next in 4 s", or "3 every 10.0 s" of several checkers.
fn rhythm(beat: Beat, next: Duration) -> String {
    let number = if beat.per_interval > 1 { format!("{} ", beat.per_interval) } else { String::new() };
    format!("{number}every {:.1} s, next in {} s", beat.interval.as_secs_f64(), next.as_secs())
}

/// What the connections that ended were, where a source makes both kinds.
fn kinds(row: &Row) -> Option<String> {
    let (probes, clients) = (row.tally.probes(), row.tally.clients);
    let is_told_apart = 2 * row.tally.tls_openings <= clients;
    let is_shared = row.class == SourceClass::NlbUndecided && probes + clients > 0 && is_told_apart;
    is_shared.then(|| format!("     {probes} health checks, {clients} clients ended"))
}

/// One finding: what and where, then what to change. With several ports it says which.
pub fn finding(finding: &Finding, with_port: bool, color: bool) -> String {
    let (word, paint) = match (finding.severity, finding.is_suspicion()) {
        (Severity::Fault, false) => ("FAULT", RED),
        (Severity::Fault, true) => ("SUSPECTED", YELLOW),
        (Severity::Note, _) => ("NOTE", DIM),
    };
    let word = painted(word, paint, color);
    let mut place = finding.place.name().to_uppercase();
    if let Some(port) = finding.port.filter(|_| with_port) {
        let _always_fits = write!(place, "  port {port}");
    }
    let (code, confidence) = (finding.code.name(), finding.confidence.name());
    let mut text = format!("{word}  {place}  {}  [{code}, {confidence}]\n", finding.summary);
    for advice in finding.advice.lines() {
        line(&mut text, format_args!("       {advice}"));
    }
    text
}

/// Where the commands of an advice begin: further in than its sentences.
const COMMAND: &str = "         ";

/// A picture with no more than the sentences of its advice, where there is no room for commands.
pub fn without_commands(picture: &str) -> String {
    let is_command = |line: &&str| line.starts_with(COMMAND);
    let mut text: String =
        picture.lines().filter(|line| !is_command(line)).flat_map(|line| [line, "\n"]).collect();
    if picture.lines().any(|line| is_command(&line)) {
        text.push_str(
            "commands are left out for want of room: the last report has them, and so has `agent diagnose`\n",
        );
    }
    text
}

/// The proof of a finding: each fact with its name, as in JSON, and where it was read.
fn evidence(finding: &Finding) -> String {
    let facts = finding.evidence.iter().map(|fact| {
        let value = match &fact.value {
            Value::Count(count) => count.to_string(),
            Value::Seconds(seconds) => seconds.to_string(),
            Value::Text(text) => text.clone(),
        };
        format!("{} {value} ({})", fact.name, fact.origin.name())
    });
    format!("       evidence: {}\n", facts.collect::<Vec<_>>().join(", "))
}

/// The answer, and what keeps it from being `healthy`.
pub fn verdict(verdict: &Verdict, color: bool) -> String {
    let paint = match verdict.state {
        State::Healthy => GREEN,
        State::Fault => RED,
        State::Inconclusive | State::CannotObserve => YELLOW,
    };
    let state = painted(verdict.state.name(), paint, color);
    if verdict.state != State::Fault {
        return format!("verdict: {state}: {}\n", verdict.reasons.join("; "));
    }
    // A fault's reasons are the findings above; what may hide more is not among them.
    let mut text = format!("verdict: {state}\n");
    for spot in &verdict.blind_spots {
        line(&mut text, format_args!("  blind spot: {}", spot.text));
    }
    text
}

/// That a target cannot be watched, and why.
pub fn blind(target: &TargetLabel, verdict: &Verdict, color: bool) -> String {
    format!("{}\n{}", title(target), self::verdict(verdict, color))
}

/// That there is nothing to watch at the moment.
pub fn nobody(ports: &[u16]) -> String {
    let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    format!("no network namespace of this node has a listener on port {ports} now; looking on\n")
}

/// What several targets miss at once. `watched`: how many targets there are in all.
pub fn common(absence: &CommonAbsence, watched: usize, labels: &[&TargetLabel]) -> String {
    let name =
        |label: &&TargetLabel| label.address.clone().or_else(|| label.netns.clone()).unwrap_or_default();
    let shown: Vec<String> = labels.iter().take(SHOWN_TARGETS).map(name).collect();
    let more = labels.len().saturating_sub(SHOWN_TARGETS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (summary, advice) = (absence.summary(watched), absence.advice());
    format!("SEVERAL TARGETS  {summary} ({}{more})\n       {advice}\n", shown.join(", "))
}

/// Enough to recognise a pattern; JSON has all.
const SHOWN_TARGETS: usize = 8;

/// The last line.
pub fn stop(reason: &str, seen: &str) -> String {
    format!("stopped by {reason}: {seen}\n")
}

fn loss(report: &Report<'_>) -> String {
    let loss = report.loss;
    format!(
        "loss: {} drops and {} connections not recorded (table full), {} hook runs skipped, {} sources without a tally, \
         {} lines of output that nobody read, {} that did not reach CloudWatch Logs",
        loss.drops,
        loss.elsewhere + loss.strays + loss.probes,
        loss.recursion_misses,
        loss.sources,
        loss.output_lines,
        loss.shipping_lines
    )
}

/// Whole seconds, or one decimal below ten.
fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(10) && time.subsec_millis() >= 50 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} s", time.as_secs())
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _always_fits = writeln!(text, "{arguments}");
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const DIM: &str = "2";

fn painted(text: &str, paint: &str, color: bool) -> String {
    if color { format!("\x1b[{paint}m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
