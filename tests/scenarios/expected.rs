//! What has to be found, and how it is read from the agent's lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lab::{agent::Agent, plan::Plan};
use serde_json::Value;

use crate::row::{PATIENCE, nodes};

/// A finding that has to be there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expected {
    /// Code.
    pub code: &'static str,
    /// Severity.
    pub severity: &'static str,
    /// Confidence it has to reach.
    pub confidence: &'static str,
    /// Class.
    pub class: &'static str,
    /// Sources, as text.
    pub sources: BTreeSet<String>,
}

impl Expected {
    /// A fault of the NLB's probes.
    pub fn of_probes(code: &'static str, confidence: &'static str, sources: &[IpAddr]) -> Self {
        Self::fault(code, confidence, "nlb_probe", sources.iter().map(IpAddr::to_string))
    }

    /// A fault of clients that keep their address.
    pub fn of_clients(code: &'static str, confidence: &'static str, plan: &Plan) -> Self {
        Self::fault(code, confidence, "client", [plan.client.subnet.to_string()])
    }

    /// A proven fault of whoever comes with these addresses of nodes, health checks and clients alike.
    pub fn of_addresses(code: &'static str, sources: &[IpAddr]) -> Self {
        Self::fault(code, "proven", "nlb_undecided", sources.iter().map(IpAddr::to_string))
    }

    /// The note that probes and clients share the nodes' addresses.
    pub fn shared(plan: &Plan) -> Self {
        let sources = nodes(plan).map(|node| node.to_string());
        Self { severity: "note", ..Self::fault("shared_source", "proven", "nlb_undecided", sources) }
    }

    /// A fault of any class.
    pub fn fault(
        code: &'static str,
        confidence: &'static str,
        class: &'static str,
        sources: impl IntoIterator<Item = String>,
    ) -> Self {
        Self { code, severity: "fault", confidence, class, sources: sources.into_iter().collect() }
    }
}

/// Waits until the latest verdict is this.
pub fn wait_verdict(agent: &mut Agent, verdict: &str) {
    agent.wait_until(&format!("the verdict {verdict}"), PATIENCE, |lines| {
        (last_verdict(lines) == Some(verdict)).then_some(())
    });
}

/// The latest verdict.
pub fn last_verdict(lines: &[Value]) -> Option<&str> {
    lines.iter().rev().find(|line| line["kind"] == "verdict").and_then(|line| line["state"].as_str())
}

/// The findings that are open, each as it last stood.
pub fn open_findings(lines: &[Value]) -> BTreeSet<Expected> {
    let mut open = BTreeMap::new();
    for line in lines.iter().filter(|line| line["kind"] == "finding") {
        let key = (line["code"].to_string(), line["port"].to_string(), line["class"].to_string());
        if line["state"] == "cleared" {
            open.remove(&key);
        } else {
            open.insert(key, line);
        }
    }
    open.into_values().map(finding).collect()
}

fn finding(line: &Value) -> Expected {
    let word = |name: &str| -> &'static str {
        // Compared with words of the table; a test does not run long enough for this to matter.
        Box::leak(line[name].as_str().unwrap_or_default().to_owned().into_boxed_str())
    };
    let sources = line["sources"].as_array().into_iter().flatten();
    Expected {
        code: word("code"),
        severity: word("severity"),
        confidence: word("confidence"),
        class: word("class"),
        sources: sources.filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

/// SYNs that arrived for a port, by source, over all reports.
pub fn arrived(lines: &[Value], port: u16) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for line in lines.iter().filter(|line| line["kind"] == "report" && line["port"] == port) {
        let source = line["source"].as_str().expect("a report names its source").to_owned();
        *sums.entry(source).or_default() += line["arrived"].as_u64().expect("a count");
    }
    sums
}
