//! The table of precedence, walked: where the evidence of both is there, the specific cause alone is said.

use super::*;
use crate::domain::{
    class::SourceClass,
    diagnosis::precedence::{EXPLAINS, apply},
    stage::{Place, Stage},
};

fn finding(code: Code, confidence: Confidence, source: &str) -> Finding {
    Finding {
        code,
        severity: Severity::Fault,
        confidence,
        class: SourceClass::NlbProbe,
        port: Some(PORT),
        sources: nodes(&[source]),
        stage: Stage::Arrived,
        place: Place::HostNetwork,
        summary: String::new(),
        advice: String::new(),
        evidence: Vec::new(),
    }
}

fn left(of: &[Finding]) -> Vec<(Code, String)> {
    let mut findings = of.to_vec();
    apply(&mut findings);
    findings.into_iter().map(|finding| (finding.code, finding.sources[0].clone())).collect()
}

#[test]
fn every_cause_suppresses_what_it_explains_and_nothing_else() {
    for (cause, explained) in EXPLAINS {
        let both = |confidence, of: &str| {
            left(&[finding(*cause, confidence, A), finding(*explained, Confidence::Proven, of)])
        };
        let (a, b) = (A.to_owned(), B.to_owned());
        assert_eq!(both(Confidence::Proven, A), [(*cause, a.clone())]);
        assert_eq!(both(Confidence::Inferred, A), [(*cause, a.clone())]);
        // A suspicion explains nothing that is sure, and what hits one node nothing that hits another.
        assert_eq!(both(Confidence::Suspected, A), [(*cause, a.clone()), (*explained, a.clone())]);
        assert_eq!(both(Confidence::Proven, B), [(*cause, a), (*explained, b)]);
    }
}

#[test]
fn no_two_causes_explain_each_other() {
    for (cause, explained) in EXPLAINS {
        assert!(!EXPLAINS.contains(&(*explained, *cause)), "{} and {}", cause.name(), explained.name());
    }
}

/// Lets the evidence of a code appear, of the first node.
fn show(story: &mut Story, code: Code) {
    let fail = |story: &mut Story, how: fn(&mut Tally)| answer_badly(story, NODE_A, how);
    match code {
        // Nobody comes.
        Code::NothingArrives | Code::ProbesMissing => {}
        Code::AcceptQueueFull => {
            story.arrive(NODE_A);
            let full = Listener { backlog: 129, ..listener(Ipv4Addr::UNSPECIFIED.into()) };
            story.sample.listeners = Some(vec![full]);
            story.count(|host| &mut host.listen_overflows, 1);
            story.count(|host| &mut host.listen_drops, 1);
        }
        Code::ReplyLost => {
            story.arrive(NODE_A);
            let tally = story.tally(NODE_A);
            tally.synacks += 3;
            tally.synack_retransmits += 2;
        }
        Code::NoReturnRoute => {
            // Who gets no answer sends its SYN again.
            for _ in 0..4 {
                story.arrive(NODE_A);
                story.count(|host| &mut host.out_no_routes, 1);
                story.count(|host| &mut host.listen_drops, 1);
            }
        }
        Code::ReplyDropped => {
            story.arrive(NODE_A);
            story.note_drop(NODE_A, Dropped::SynAck, "NETFILTER_DROP");
        }
        Code::HostFirewall => story.drop(NODE_A, "NETFILTER_DROP"),
        Code::FirewallReject => {
            story.drop(NODE_A, "NETFILTER_DROP");
            story.tally(NODE_A).refused += 1;
        }
        Code::ConntrackFull => {
            story.drop(NODE_A, "NETFILTER_DROP");
            let drops = story.sample.conntrack.map_or(0, |table| table.drops);
            story.sample.conntrack = Some(Conntrack { entries: 10, limit: 10, drops: drops + 1 });
        }
        Code::SynCookies => {
            story.arrive(NODE_A);
            let tally = story.tally(NODE_A);
            (tally.synacks, tally.cookies) = (tally.synacks + 1, tally.cookies + 1);
            story.count(|host| &mut host.syncookies_sent, 1);
        }
        Code::AppNotAccepting => {
            establish(story, NODE_A);
            // Those that were given up wait on, too, and so does one that comes yet.
            let before = story.sample.listeners.iter().flatten().map(|listener| listener.backlog).max();
            let backlog = before.unwrap_or(0).max(story.tally(NODE_A).established as u32 + 1);
            let waiting = Listener { backlog, ..listener(Ipv4Addr::UNSPECIFIED.into()) };
            story.sample.listeners = Some(vec![waiting]);
        }
        Code::ProbeTimeout => fail(story, |tally| tally.answers.probes_given_up += 1),
        Code::ProbeHttpStatus => fail(story, |tally| {
            tally.answers.probes_bad_status += 1;
            tally.answers.bad_status = 400;
        }),
        Code::AppReset => fail(story, |tally| tally.answers.probes_cut += 1),
        Code::ProxyProtocolMismatch => fail(story, |tally| {
            tally.answers.proxy_openings += 1;
            tally.answers.probes_cut += 1;
        }),
        Code::TlsMismatch => fail(story, |tally| {
            tally.tls_openings += 1;
            tally.answers.tls_alerts += 1;
        }),
        other => panic!("no story shows {}", other.name()),
    }
}

/// Codes found of the first node after these have shown, each in every interval.
fn found(codes: &[Code]) -> Vec<Code> {
    let mut story = Story::new();
    story.probes(60, |story| codes.iter().for_each(|code| show(story, *code)));
    let is_about = |finding: &Finding| finding.sources.iter().any(|source| source == A);
    story.findings().into_iter().filter(is_about).map(|finding| finding.code).collect()
}

#[test]
fn with_the_evidence_of_both_only_the_specific_cause_is_said() {
    for (cause, explained) in EXPLAINS {
        let (cause, explained) = (*cause, *explained);
        // Where nothing at all arrives, no node does.
        let is_alone = found(&[explained]).contains(&explained) || explained == Code::ProbesMissing;
        assert!(is_alone, "the story of {} alone shows it: {:?}", explained.name(), found(&[explained]));
        assert!(found(&[cause]).contains(&cause), "the story of {} shows it", cause.name());
        let both = found(&[cause, explained]);
        assert!(both.contains(&cause), "{} with {}: {both:?}", cause.name(), explained.name());
        assert!(!both.contains(&explained), "{} with {}: {both:?}", cause.name(), explained.name());
    }
}
