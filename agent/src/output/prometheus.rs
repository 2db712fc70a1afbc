//! For Prometheus: the text format, version 0.0.4. Labels hold classes, ports and codes; addresses only of known NLB nodes.

use std::fmt::{Display, Write as _};

use crate::domain::{
    class::Role,
    diagnosis::Case,
    finding::{Finding, Severity},
    sample::{BlindSpot, Loss},
    tally::Tally,
    totals::Totals,
    verdict::State,
};

/// The content type of a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One target.
#[derive(Debug)]
pub struct Target<'a> {
    /// The value of its label `target`; `None` where there is only the agent's own namespace.
    pub name: Option<&'a str>,
    /// What was seen; `None` while it cannot be observed.
    pub observed: Option<Observed<'a>>,
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
    page.family("hct_target_watched", "gauge", "1 while the target is observed, else 0.");
    for target in targets {
        page.sample(target.name, &[], u8::from(target.observed.is_some()));
    }
    page.family("hct_verdict", "gauge", "1 for the verdict that holds, 0 for the others.");
    for target in targets {
        let held = target.observed.as_ref().map_or(State::CannotObserve, |observed| observed.verdict);
        for verdict in VERDICTS {
            page.sample(target.name, &[("verdict", verdict.name())], u8::from(verdict == held));
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
    targets.iter().filter_map(|target| Some((target.name, target.observed.as_ref()?)))
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
mod tests {
    use super::*;
    use crate::domain::{
        class::SourceClass,
        finding::{Code, Confidence},
        stage::{Place, Stage},
    };

    fn finding() -> Finding {
        Finding {
            code: Code::HostFirewall,
            severity: Severity::Fault,
            confidence: Confidence::Proven,
            class: SourceClass::NlbProbe,
            port: Some(8080),
            sources: vec!["10.0.1.23".to_owned()],
            stage: Stage::Admitted,
            place: Place::HostFirewall,
            summary: "8 of 8 SYNs of 10.0.16.7 dropped".to_owned(),
            advice: String::new(),
            evidence: Vec::new(),
        }
    }

    fn seen<'a>(totals: &'a Totals, finding: &'a Finding) -> Observed<'a> {
        let tally = Tally { arrived: 3, served: 2, ..Tally::default() };
        Observed {
            watched_seconds: 41.5,
            verdict: State::Fault,
            totals: Some(totals),
            nodes: vec![Node { address: "10.0.1.23".to_owned(), port: 8080, tally }],
            findings: vec![finding],
            blind_spots: Vec::new(),
            loss: Loss { drops: 4, ..Loss::default() },
        }
    }

    #[test]
    fn a_page_has_each_name_once_with_its_type_and_its_samples_behind_it() {
        let (totals, finding) = (Totals::default(), finding());
        let targets = [
            Target { name: Some("/run/netns/a"), observed: Some(seen(&totals, &finding)) },
            Target { name: Some("/run/netns/b"), observed: None },
        ];
        let text = page("0.1.0", 7, &targets);
        for line in [
            "hct_build_info{version=\"0.1.0\"} 1",
            "hct_target_watched{target=\"/run/netns/a\"} 1",
            "hct_target_watched{target=\"/run/netns/b\"} 0",
            "hct_verdict{target=\"/run/netns/a\",verdict=\"fault\"} 1",
            "hct_verdict{target=\"/run/netns/b\",verdict=\"cannot_observe\"} 1",
            "hct_node_syn_arrived_total{target=\"/run/netns/a\",node=\"10.0.1.23\",port=\"8080\"} 3",
            "hct_finding_open{target=\"/run/netns/a\",code=\"host_firewall\",severity=\"fault\",confidence=\"proven\",class=\"nlb_probe\",port=\"8080\"} 1",
            "hct_faults{target=\"/run/netns/a\"} 1",
            "hct_lost_total{target=\"/run/netns/a\",what=\"drops\"} 4",
            "hct_watched_seconds{target=\"/run/netns/a\"} 41.5",
            "hct_output_lines_lost_total 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let mut name = "";
        let mut names = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                name = rest.split(' ').next().expect("a name");
                names.push(name);
            } else if !line.starts_with('#') {
                assert_eq!(line.split(['{', ' ']).next(), Some(name), "{line}");
            }
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert!(names.len() == all && all > 15, "{names:?}");
    }

    #[test]
    fn no_address_but_that_of_a_known_node_is_on_the_page() {
        let (totals, finding) = (Totals::default(), finding());
        let text = page("0.1.0", 0, &[Target { name: None, observed: Some(seen(&totals, &finding)) }]);
        assert!(text.contains("10.0.1.23") && !text.contains("10.0.16.7"), "{text}");
    }

    #[test]
    fn label_values_cannot_break_out_of_their_quotes() {
        let targets = [Target { name: Some("a\"} 1\nhct_x \\"), observed: None }];
        let text = page("0.1.0", 0, &targets);
        assert!(text.contains(r#"hct_target_watched{target="a\"} 1\nhct_x \\"} 0"#), "{text}");
    }
}
