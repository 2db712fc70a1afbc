//! What a kernel showed: hooks, blind spots and rows, read from the console of a guest or from this machine, and kept
//! until `docs/kernel-support.md` is written from all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::workspace;

/// In front of each line of the agent's own JSON on the console: its `start` line and those of its `check`.
pub const AGENT: &str = "KERNELS-AGENT";

/// In front of what a row showed, as in `docs/scenarios.md`.
pub const ROW: &str = "KERNELS-ROW";

/// What is known of one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `uname -r`.
    pub release: String,
    /// Hooks in use.
    pub hooks: Vec<String>,
    /// Ids of blind spots.
    pub blind_spots: BTreeSet<String>,
    /// Codes of findings that these make blind.
    pub blind: BTreeSet<String>,
    /// For each code of a finding, how many rows it was found in.
    pub found: BTreeMap<String, usize>,
    /// Rows that held.
    pub rows: usize,
}

impl Record {
    /// Takes what the agent and the rows say of a kernel.
    ///
    /// # Errors
    ///
    /// When a line is none of the agent's, or it never started to watch.
    pub fn read<'a>(
        agent: impl Iterator<Item = &'a str>,
        rows: impl Iterator<Item = &'a str>,
    ) -> Result<Self> {
        let mut record = Self::default();
        for line in agent {
            let line: Value = serde_json::from_str(line).with_context(|| format!("reading {line}"))?;
            match line["kind"].as_str() {
                Some("start") => {
                    record.release = line["kernel"].as_str().unwrap_or_default().to_owned();
                    record.hooks = texts(&line["hooks"]).collect();
                    let spots = line["blind_spots"].as_array().into_iter().flatten();
                    record.blind_spots =
                        spots.filter_map(|spot| Some(spot["id"].as_str()?.to_owned())).collect();
                }
                // Of the rest of a check nothing depends on the kernel.
                Some("check") if line["id"].as_str().is_some_and(|id| id.starts_with("hook")) => {
                    record.blind.extend(texts(&line["blind"]));
                }
                _ => {}
            }
        }
        ensure!(!record.hooks.is_empty(), "the agent hooked up nothing");
        for row in rows {
            record.rows += 1;
            let found = row.split(" | ").nth(5).with_context(|| format!("a row without findings: {row}"))?;
            // Odd parts stand between backticks.
            let codes: BTreeSet<&str> = found.split('`').skip(1).step_by(2).collect();
            for code in codes {
                *record.found.entry(code.to_owned()).or_default() += 1;
            }
        }
        Ok(record)
    }

    /// Keeps it under the name of its kernel.
    pub fn keep(&self, name: &str) -> Result<()> {
        let value = json!({
            "release": self.release, "hooks": self.hooks, "blind_spots": self.blind_spots, "blind": self.blind,
            "found": self.found, "rows": self.rows,
        });
        let path = path(name);
        fs::create_dir_all(path.parent().context("a path in a directory")?)?;
        fs::write(&path, value.to_string()).with_context(|| format!("writing {}", path.display()))
    }

    /// What was kept under a name, if anything was.
    pub fn kept(name: &str) -> Result<Option<Self>> {
        let path = path(name);
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        let value: Value =
            serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        let found = value["found"].as_object().into_iter().flatten();
        let number = |value: &Value| usize::try_from(value.as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
        Ok(Some(Self {
            release: value["release"].as_str().unwrap_or_default().to_owned(),
            hooks: texts(&value["hooks"]).collect(),
            blind_spots: texts(&value["blind_spots"]).collect(),
            blind: texts(&value["blind"]).collect(),
            found: found.map(|(code, rows)| (code.clone(), number(rows))).collect(),
            rows: number(&value["rows"]),
        }))
    }
}

fn texts(list: &Value) -> impl Iterator<Item = String> + '_ {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
}

fn path(name: &str) -> PathBuf {
    workspace::root().join("target/kernels").join(name).join("record.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_blind_spots_and_findings_are_read_and_counted() {
        let agent = [
            r#"{"kind":"start","kernel":"5.10.0","hooks":["clsact ingress"],"blind_spots":[{"id":"drop_reasons","stages":["admitted"],"text":"x"}]}"#,
            r#"{"kind":"check","id":"hook_drop_reasons","state":"warn","blind":["host_firewall"]}"#,
            r#"{"kind":"check","id":"listener","state":"warn","blind":["no_listener"]}"#,
        ];
        let rows = [
            "| fault | absence::x | ipv4 | Tcp | preserved | `probes_missing` (nlb_probe, inferred) | fault |",
            "| fault | absence::x | ipv6 | Tcp | preserved | `probes_missing` (nlb_probe, inferred), `shared_source` (nlb_undecided, proven, note) | fault |",
            "| near miss | calm::y | ipv4 | Tcp | preserved | nothing | healthy |",
        ];
        let record = Record::read(agent.into_iter(), rows.into_iter()).expect("a record");
        assert_eq!((record.release.as_str(), record.rows), ("5.10.0", 3));
        assert_eq!(record.blind_spots, BTreeSet::from(["drop_reasons".to_owned()]));
        assert_eq!(record.blind, BTreeSet::from(["host_firewall".to_owned()]));
        assert_eq!(
            record.found,
            BTreeMap::from([("probes_missing".to_owned(), 2), ("shared_source".to_owned(), 1)])
        );
        assert!(
            Record::read([].into_iter(), [].into_iter()).is_err(),
            "an agent that saw nothing is no record"
        );
    }
}
