//! What several targets miss at the same time: then something that they share is the likely cause.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{
    finding::{Code, Finding},
    stage::Place,
};

/// One absence that several targets report at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommonAbsence {
    /// Finding.
    pub code: Code,
    /// Who is missed; empty where nobody at all comes.
    pub sources: Vec<String>,
    /// Indices of the targets, in the order they were given.
    pub targets: Vec<usize>,
}

/// Fewer are no pattern.
const SEVERAL: usize = 2;

/// Finds them. `open`: the open findings of each target.
///
/// Each source is counted on its own, because targets in different zones know different nodes; sources that are missed
/// by the same targets are then named together.
pub fn common_absences(open: &[Vec<&Finding>]) -> Vec<CommonAbsence> {
    let mut missed: BTreeMap<(Code, Option<&str>), BTreeSet<usize>> = BTreeMap::new();
    for (target, findings) in open.iter().enumerate() {
        let absences = findings.iter().filter(|finding| is_absence(finding));
        for finding in absences {
            let sources = finding.sources.iter().map(|source| Some(source.as_str()));
            let nobody = finding.sources.is_empty().then_some(None);
            for source in sources.chain(nobody) {
                missed.entry((finding.code, source)).or_default().insert(target);
            }
        }
    }
    let mut together: BTreeMap<(Code, BTreeSet<usize>), Vec<String>> = BTreeMap::new();
    for ((code, source), targets) in missed {
        if targets.len() >= SEVERAL {
            together.entry((code, targets)).or_default().extend(source.map(str::to_owned));
        }
    }
    let common = together.into_iter();
    common
        .map(|((code, targets), sources)| CommonAbsence {
            code,
            sources,
            targets: targets.into_iter().collect(),
        })
        .collect()
}

/// Only what died before the host: what the host itself does is each target's own.
fn is_absence(finding: &Finding) -> bool {
    finding.place == Place::BeforeThisHost
        && (finding.is_fault() || finding.is_suspicion())
        && matches!(
            finding.code,
            Code::ProbesMissing | Code::ProbesStopped | Code::ClientsMissing | Code::NothingArrives
        )
}

impl CommonAbsence {
    /// What it is, in one sentence. `watched`: how many targets there are in all.
    pub fn summary(&self, watched: usize) -> String {
        let whom = if self.sources.is_empty() {
            String::new()
        } else {
            format!(" from {}", self.sources.join(" and "))
        };
        format!("{} at {} of {watched} targets at once{whom}", self.code.name(), self.targets.len())
    }

    /// Where to look first.
    pub const fn advice(&self) -> &'static str {
        "What these tasks share comes first, not one task: the network ACL of their subnet or of the NLB's subnets, \
         the NLB's security group (health checks obey its outbound rules) or the NLB itself, the security group of \
         the service."
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        class::SourceClass,
        finding::{Confidence, Severity},
        stage::Stage,
    };

    fn finding(code: Code, place: Place, sources: &[&str]) -> Finding {
        Finding {
            code,
            severity: Severity::Fault,
            confidence: Confidence::Inferred,
            class: SourceClass::NlbProbe,
            port: Some(8080),
            sources: sources.iter().map(|&source| source.to_owned()).collect(),
            stage: Stage::Arrived,
            place,
            summary: String::new(),
            advice: String::new(),
            evidence: Vec::new(),
        }
    }

    fn missing(sources: &[&str]) -> Finding {
        finding(Code::ProbesMissing, Place::BeforeThisHost, sources)
    }

    #[test]
    fn a_node_that_several_targets_miss_is_named_with_their_number() {
        let (both, one) = (missing(&["10.0.1.23", "10.0.2.31"]), missing(&["10.0.1.23"]));
        let common = common_absences(&[vec![&both], vec![], vec![&one], vec![&one]]);
        assert_eq!(
            common,
            [CommonAbsence {
                code: Code::ProbesMissing,
                sources: vec!["10.0.1.23".to_owned()],
                targets: vec![0, 2, 3]
            }]
        );
        assert_eq!(common[0].summary(4), "probes_missing at 3 of 4 targets at once from 10.0.1.23");
    }

    #[test]
    fn nodes_that_the_same_targets_miss_are_named_together() {
        let both = missing(&["10.0.1.23", "10.0.2.31"]);
        let common = common_absences(&[vec![&both], vec![&both]]);
        assert_eq!(common.len(), 1);
        assert_eq!(common[0].sources, ["10.0.1.23", "10.0.2.31"]);
    }

    #[test]
    fn one_target_alone_different_nodes_and_what_a_host_does_itself_are_no_pattern() {
        let (a, b) = (missing(&["10.0.1.23"]), missing(&["10.0.2.31"]));
        assert_eq!(common_absences(&[vec![&a], vec![]]), []);
        assert_eq!(common_absences(&[vec![&a], vec![&b]]), []);
        let firewall = finding(Code::HostFirewall, Place::HostFirewall, &["10.0.1.23"]);
        assert_eq!(common_absences(&[vec![&firewall], vec![&firewall]]), []);
        let note = Finding { severity: Severity::Note, ..missing(&["10.0.1.23"]) };
        assert_eq!(common_absences(&[vec![&note], vec![&note]]), []);
    }
}
