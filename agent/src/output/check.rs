//! What `agent check` found, for people and for machines.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    domain::{
        check::{Check, State, worst},
        finding::Code,
    },
    output::json::SCHEMA,
};

/// One prerequisite a line, what to do below it, and a last line that sums up.
pub fn text(checks: &[Check], version: &str) -> String {
    let mut text = String::new();
    let width = checks.iter().map(|check| check.id.len()).max().unwrap_or(0);
    for check in checks {
        let mark = if check.state == State::Pass { "pass" } else { check.state.name() };
        let _always_fits = writeln!(text, "{mark:<5} {:<width$}  {}", check.id, one_line(&check.found));
        if !check.blind.is_empty() {
            let _always_fits = writeln!(text, "      blind: {}", names(&check.blind).join(", "));
        }
        if let Some(fix) = &check.fix {
            let _always_fits = writeln!(text, "      fix:   {}", one_line(fix));
        }
    }
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let sum = match worst(checks) {
        State::Pass => "everything works",
        State::Warn => "all that is needed works",
        State::Fail => "cannot observe",
    };
    let _always_fits = writeln!(
        text,
        "agent {version}: {sum} ({} passed, {} warnings, {} failed)",
        count(State::Pass),
        count(State::Warn),
        count(State::Fail)
    );
    text
}

/// The line format `check`, one per prerequisite.
#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    time: &'a str,
    kind: &'static str,
    id: &'a str,
    state: State,
    found: &'a str,
    blind: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'a str>,
}

/// One object a line.
pub fn json(checks: &[Check], time: &str) -> String {
    let mut text = String::new();
    for check in checks {
        let line = Line {
            schema: SCHEMA,
            time,
            kind: "check",
            id: &check.id,
            state: check.state,
            found: &check.found,
            blind: names(&check.blind),
            fix: check.fix.as_deref(),
        };
        // Texts and lists of texts always encode.
        text.push_str(&serde_json::to_string(&line).unwrap_or_default());
        text.push('\n');
    }
    text
}

fn names(codes: &[Code]) -> Vec<&'static str> {
    codes.iter().map(|code| code.name()).collect()
}

fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        vec![
            Check::pass("kernel", "6.1.0"),
            Check::lacks(State::Fail, "cap_bpf", "missing\n", "add \"BPF\"").blinds(&[Code::ProbesMissing]),
        ]
    }

    #[test]
    fn people_read_what_is_lost_and_what_to_do() {
        assert_eq!(
            text(&checks(), "0.1.0"),
            "pass  kernel   6.1.0\n\
             fail  cap_bpf  missing \n      blind: probes_missing\n      fix:   add \"BPF\"\n\
             agent 0.1.0: cannot observe (1 passed, 0 warnings, 1 failed)\n"
        );
    }

    #[test]
    fn machines_read_one_object_a_line() {
        let text = json(&checks(), "2026-11-25T17:00:00.000Z");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(
            lines[1],
            serde_json::json!({
                "schema": 1, "time": "2026-11-25T17:00:00.000Z", "kind": "check", "id": "cap_bpf", "state": "fail", "found": "missing\n",
                "blind": ["probes_missing"], "fix": "add \"BPF\"",
            })
        );
        assert!(lines[0].get("fix").is_none());
        lines.iter().for_each(crate::output::schema::hold);
    }
}
