//! For Prometheus: the text format, version 0.0.4. Labels hold classes, ports and codes; addresses only of known NLB nodes.

use std::fmt::{Display, Write as _};

use crate::{
    domain::{
        class::Role,
        diagnosis::Case,
        finding::{Finding, Severity},
        identity::Identity,
        sample::{BlindSpot, Loss},
        tally::Tally,
        totals::Totals,
        verdict::State,
    },
    output::view::TargetLabel,
};

/// The content type of a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One target.
#[derive(Debug)]
pub struct Target<'a> {
    /// How it is named, and who lives there.
    pub label: &'a TargetLabel,
    /// What the platform says of it.
    pub identity: &'a Identity,
    /// What was seen; `None` while it cannot be observed.
    pub observed: Option<Observed<'a>>,
}

impl<'a> Target<'a> {
    /// The value of the label `target`. The agent's own namespace needs none, and is never one of several; every other one has
    /// it from the first, so that a series goes on when a second target comes or the last but one leaves.
    fn name(&self) -> Option<&'a str> {
        self.label.netns.as_deref()
    }

    /// What is known of the task or pod: the labels of `hct_target_info`.
    fn info(&self) -> Vec<(&'static str, &'a str)> {
        let (identity, workload) = (self.identity, &self.label.workload);
        let all = [
            ("cluster", workload.cluster().or(identity.cluster.as_deref())),
            ("service", identity.service.as_deref()),
            ("family", workload.family.as_deref().or(identity.family.as_deref())),
            ("task", workload.task_id().or(identity.task_id.as_deref())),
            // `pod` is where Prometheus expects a name.
            ("pod_uid", workload.pod.as_deref()),
            ("container", workload.container.as_deref()),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// What was seen of a target since the agent began to watch it.
#[derive(Debug)]
pub struct Observed<'a> {
    /// How long that is, in seconds.
    pub watched_seconds: f64,
    /// The answer.
    pub verdict: State,
    /// Counts by class and port.
    pub totals: Option<&'a Totals>,
    /// Counts of each known NLB node.
    pub nodes: Vec<Node>,
    /// Open findings.
    pub findings: Vec<&'a Finding>,
    /// What cannot be seen.
    pub blind_spots: Vec<BlindSpot>,
    /// What the agent itself failed to record.
    pub loss: Loss,
}

/// Counts of one NLB node on one port.
#[derive(Debug)]
pub struct Node {
    /// Its address.
    pub address: String,
    /// Port.
    pub port: u16,
    /// What was counted.
    pub tally: Tally,
}

/// The nodes that a case knows by their own address.
pub fn nodes(case: &Case<'_>) -> Vec<Node> {
    let is_node = |slot| {
        let source = case.sources.of_slot(slot);
        source.is_some_and(|source| source.role == Role::Node && !source.is_shared())
    };
    let tracks = case.history.tracks().filter(|(key, _)| is_node(key.slot));
    let node = |address, port, tally| Node { address, port, tally };
    tracks.map(|(key, track)| node(case.sources.label(key.slot), key.port, track.total.clone())).collect()
}

/// Name, help, and the count.
type Counter = (&'static str, &'static str, fn(&Tally) -> u64);

const BY_CLASS: [Counter; 7] = [
    ("hct_syn_arrived_total", "SYNs seen at the interface, retransmitted ones included.", |tally| {
        tally.arrived
    }),
    (
        "hct_syn_dropped_total",
        "SYNs that the host's network layers dropped after they arrived.",
        Tally::dropped,
    ),
    ("hct_syn_refused_total", "RSTs that answered a SYN.", |tally| tally.refused),
    ("hct_synack_sent_total", "SYN-ACKs that left, retransmitted ones included.", |tally| tally.synacks),
    ("hct_synack_retransmitted_total", "SYN-ACKs sent again.", |tally| tally.synack_retransmits),
    ("hct_established_total", "Handshakes completed.", |tally| tally.established),
    ("hct_served_total", "Connections that the application answered or closed in order.", |tally| {
        tally.served
    }),
];

const BY_NODE: [Counter; 2] = [
    ("hct_node_syn_arrived_total", "SYNs of one NLB node.", |tally| tally.arrived),
    ("hct_node_served_total", "Connections of one NLB node that were served.", |tally| tally.served),
];

const VERDICTS: [State; 4] = [State::Healthy, State::Fault, State::Inconclusive, State::CannotObserve];

/// The page.
pub fn page(version: &str, lost_lines: u64, targets: &[Target<'_>]) -> String {
    let mut page = Page::default();
    page.family("hct_build_info", "gauge", "Version of the agent.");
    page.sample(None, &[("version", version)], 1);
    page.family("hct_target_info", "gauge", "Who lives in the target, where that is known.");
    for target in targets {
        page.sample(target.name(), &target.info(), 1);
    }
    page.family("hct_target_watched", "gauge", "1 while the target is observed, else 0.");
    for target in targets {
        page.sample(target.name(), &[], u8::from(target.observed.is_some()));
    }
    page.family("hct_verdict", "gauge", "1 for the verdict that holds, 0 for the others.");
    for target in targets {
        let held = target.observed.as_ref().map_or(State::CannotObserve, |observed| observed.verdict);
        for verdict in VERDICTS {
            page.sample(target.name(), &[("verdict", verdict.name())], u8::from(verdict == held));
        }
    }
    for (name, help, count) in BY_CLASS {
        page.family(name, "counter", help);
        for (target, observed) in observed(targets) {
            for (class, port, tally) in observed.totals.into_iter().flat_map(Totals::iter) {
                page.sample(target, &[("class", class.name()), ("port", &port.to_string())], count(tally));
            }
        }
    }
    page.family(
        "hct_drops_total",
        "counter",
        "Packets of handshakes that were dropped here, by the kernel's reason.",
    );
    for (target, observed) in observed(targets) {
        for (class, port, tally) in observed.totals.into_iter().flat_map(Totals::iter) {
            for (reason, count) in tally.drop_reasons() {
                let labels = [("class", class.name()), ("port", &port.to_string()), ("reason", reason)];
                page.sample(target, &labels, count);
            }
        }
    }
    for (name, help, count) in BY_NODE {
        page.family(name, "counter", help);
        for (target, observed) in observed(targets) {
            for Node { address, port, tally } in &observed.nodes {
                page.sample(target, &[("node", address), ("port", &port.to_string())], count(tally));
            }
        }
    }
    conclusions(&mut page, targets);
    page.family(
        "hct_output_lines_lost_total",
        "counter",
        "Lines of output that nobody read in time, or that could not be written.",
    );
    page.sample(None, &[], lost_lines);
    page.text
}

fn conclusions(page: &mut Page, targets: &[Target<'_>]) {
    page.family("hct_faults", "gauge", "Open findings that make the verdict a fault.");
    for (target, observed) in observed(targets) {
        page.sample(target, &[], observed.findings.iter().filter(|finding| finding.is_fault()).count());
    }
    page.family("hct_finding_open", "gauge", "1 for each open finding.");
    for (target, observed) in observed(targets) {
        for finding in &observed.findings {
            // About all watched ports where none is named.
            let port = finding.port.map(|port| port.to_string()).unwrap_or_default();
            let severity = if finding.severity == Severity::Fault { "fault" } else { "note" };
            let labels = [
                ("code", finding.code.name()),
                ("severity", severity),
                ("confidence", finding.confidence.name()),
                ("class", finding.class.name()),
                ("port", &port),
            ];
            page.sample(target, &labels, 1);
        }
    }
    page.family("hct_blind_spot", "gauge", "1 for each thing that this host does not let the agent see.");
    for (target, observed) in observed(targets) {
        let mut ids: Vec<_> = observed.blind_spots.iter().map(|spot| spot.id).collect();
        ids.sort_unstable();
        // Two ports may have the same.
        ids.dedup();
        for id in ids {
            page.sample(target, &[("id", id)], 1);
        }
    }
    page.family("hct_lost_total", "counter", "What the agent itself failed to record.");
    for (target, observed) in observed(targets) {
        let Loss { drops, elsewhere, strays, probes, recursion_misses, sources, .. } = observed.loss;
        for (what, count) in [
            ("drops", drops),
            ("elsewhere", elsewhere),
            ("strays", strays),
            ("probes", probes),
            ("recursion_misses", recursion_misses),
            ("sources", sources),
        ] {
            page.sample(target, &[("what", what)], count);
        }
    }
    page.family("hct_watched_seconds", "gauge", "How long the target has been watched.");
    for (target, observed) in observed(targets) {
        page.sample(target, &[], observed.watched_seconds);
    }
}

fn observed<'a>(
    targets: &'a [Target<'a>],
) -> impl Iterator<Item = (Option<&'a str>, &'a Observed<'a>)> + Clone {
    targets.iter().filter_map(|target| Some((target.name(), target.observed.as_ref()?)))
}

/// A page under construction. All samples of a name have to follow its family.
#[derive(Default)]
struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        let _always_fits = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, target: Option<&str>, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        let all = target.map(|name| ("target", name)).into_iter().chain(labels.iter().copied());
        for (number, (label, value)) in all.enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let _always_fits = write!(self.text, "{before}{label}=\"{}\"", escaped(value));
        }
        if target.is_some() || !labels.is_empty() {
            self.text.push('}');
        }
        let _always_fits = writeln!(self.text, " {value}");
    }
}

/// As the text format asks for in label values.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
#[path = "prometheus_tests.rs"]
mod tests;
