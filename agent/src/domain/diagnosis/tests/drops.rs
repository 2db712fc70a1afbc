//! SYNs that arrived and were thrown away.

use super::*;
use crate::domain::other_programs::{Hook, OtherProgram};

#[test]
fn a_firewall_that_hits_one_node_is_named_with_that_node() {
    let mut story = Story::new();
    story.probes(40, |story| {
        story.drop(NODE_A, "NETFILTER_DROP");
        story.serve(NODE_B);
    });
    assert_eq!(story.conclusions(), [(Code::HostFirewall, Confidence::Proven, nodes(&[A]))]);
    let finding = &story.findings()[0];
    assert!(finding.summary.contains("4 of 4 SYNs dropped by netfilter"), "{}", finding.summary);
    assert!(finding.advice.contains("NLB's subnets") && !finding.advice.contains(A), "{}", finding.advice);
}

#[test]
fn each_reason_has_its_code() {
    for (reason, code) in [
        ("IP_RPFILTER", Code::ReversePathFilter),
        ("TC_INGRESS", Code::BpfDrop),
        ("TCP_CSUM", Code::BadChecksum),
        ("NEIGH_FAILED", Code::HostDrop),
    ] {
        let mut story = Story::new();
        story.probes(40, |story| {
            story.drop(NODE_A, reason);
            story.serve(NODE_B);
        });
        assert_eq!(story.conclusions(), [(code, Confidence::Proven, nodes(&[A]))], "{reason}");
    }
}

#[test]
fn a_firewall_that_turns_strangers_away_is_nobodys_fault() {
    let mut story = Story::new();
    story.probes(40, |story| {
        story.drop(STRANGERS, "NETFILTER_DROP");
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    assert_eq!(story.conclusions(), []);
}

#[test]
fn with_nobody_named_strangers_count_only_when_none_comes_through() {
    let mut story = Story::without_names();
    story.probes(40, |story| story.drop(STRANGERS, "NETFILTER_DROP"));
    assert_eq!(story.conclusions(), [(Code::HostFirewall, Confidence::Proven, nodes(&["any"]))]);
    story.probes(40, |story| story.serve(STRANGERS));
    assert_eq!(story.conclusions(), []);
}

#[test]
fn a_drop_before_routing_that_no_reason_explains_is_not_blamed_on_xdp_when_the_syn_arrived() {
    let mut story = Story::new();
    story.sample.foreign_xdp = Some("id 7".to_owned());
    story.probes(40, |story| {
        story.arrive(NODE_A);
        story.note_drop(NODE_A, Dropped::SynBeforeHook, "NOT_SPECIFIED");
        story.serve(NODE_B);
    });
    assert_eq!(story.conclusions(), [(Code::HostDrop, Confidence::Proven, nodes(&[A]))]);
    let advice = |story: &Story| {
        let found = story.findings().into_iter().find(|finding| finding.code == Code::HostDrop);
        found.expect("the drop").advice
    };
    assert!(!advice(&story).contains("own address"), "nobody uses it: {}", advice(&story));
    let own = story.sources.add(IpAddr::into(TASK), Role::Own, Origin::Interface, Duration::ZERO);
    own.expect("room");
    assert!(!advice(&story).contains("own address"));
    story.probes(10, |story| {
        story.arrive(NODE_A);
        story.note_drop(NODE_A, Dropped::SynBeforeHook, "NOT_SPECIFIED");
        story.arrive(TallyKey { slot: 4, port: PORT });
    });
    assert!(advice(&story).contains("own address"), "{}", advice(&story));
}

#[test]
fn a_kernel_that_gives_no_reasons_proves_no_drop() {
    let mut story = Story::new();
    story.probes(40, |story| {
        story.drop(NODE_A, crate::domain::reason::UNKNOWN.0);
        story.serve(NODE_B);
    });
    assert_eq!(story.conclusions(), []);
    assert_eq!(story.verdict(&[]).state, State::Inconclusive);
}

#[test]
fn drops_of_an_xdp_program_are_not_filed_anew_when_it_goes() {
    let mut story = Story::new();
    story.sample.foreign_xdp = Some("id 7".to_owned());
    let dropped = |story: &mut Story| {
        story.note_drop(NODE_A, Dropped::SynUnplaced, "NOT_SPECIFIED");
        story.serve(NODE_B);
    };
    story.probes(40, dropped);
    assert_eq!(story.conclusions(), [(Code::BpfDrop, Confidence::Proven, nodes(&[A]))]);
    story.sample.foreign_xdp = None;
    story.probes(30, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    assert_eq!(story.conclusions(), []);
}

#[test]
fn a_cpu_that_cannot_keep_up_is_not_blamed_on_an_xdp_program() {
    let mut story = Story::new();
    story.sample.foreign_xdp = Some("id 7".to_owned());
    story.probes(40, |story| {
        story.note_drop(NODE_A, Dropped::SynBeforeHook, "CPU_BACKLOG");
        story.serve(NODE_B);
    });
    assert_eq!(story.conclusions(), [(Code::HostDrop, Confidence::Proven, nodes(&[A]))]);
}

#[test]
fn two_proofs_of_one_thing_are_one_finding() {
    let mut story = Story::new();
    story.sample.foreign_xdp = Some("id 7".to_owned());
    story.probes(40, |story| {
        story.drop(NODE_A, "TC_INGRESS");
        story.note_drop(NODE_B, Dropped::SynBeforeHook, "XDP");
    });
    assert_eq!(story.conclusions(), [(Code::BpfDrop, Confidence::Proven, nodes(&[A, B]))]);
}

#[test]
fn one_drop_in_many_is_a_note() {
    let mut story = Story::new();
    story.pass(40, |story, second| {
        (0..20).for_each(|_| story.serve(CLIENTS));
        if second.is_multiple_of(10) {
            story.serve(NODE_A);
            story.serve(NODE_B);
        }
        if second == 30 {
            story.drop(CLIENTS, "NETFILTER_DROP");
        }
    });
    let findings = story.findings();
    assert_eq!((findings.len(), findings[0].severity), (1, Severity::Note));
    assert_eq!(story.verdict(&[]).state, State::Healthy);
}

#[test]
fn what_hits_one_node_does_not_explain_what_hits_another() {
    let mut story = Story::new();
    story.probes(40, |story| {
        story.drop(NODE_A, "NETFILTER_DROP");
        story.arrive(NODE_B);
        story.count(|host| &mut host.out_no_routes, 1);
        story.count(|host| &mut host.listen_drops, 1);
    });
    story.pass(2, |_, _| {});
    let codes: Vec<_> = story.findings().iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::HostFirewall, Code::NoReturnRoute, Code::ClientsMissing]);
}

#[test]
fn a_rule_that_drops_every_other_syn_does_not_flap() {
    let mut story = Story::new();
    story.pass(60, |story, second| {
        if second % 10 == 0 {
            story.serve(NODE_B);
            if second % 20 == 0 { story.drop(NODE_A, "NETFILTER_DROP") } else { story.serve(NODE_A) }
        }
        if second > 20 {
            assert_eq!(
                story.conclusions(),
                [(Code::HostFirewall, Confidence::Proven, nodes(&[A]))],
                "{second}"
            );
        }
    });
}

#[test]
fn a_repaired_firewall_clears_after_two_intervals() {
    let mut story = Story::new();
    let good = |story: &mut Story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    };
    story.probes(40, |story| {
        story.drop(NODE_A, "NETFILTER_DROP");
        story.serve(NODE_B);
    });
    story.probes(15, good);
    assert_eq!(story.conclusions().len(), 1);
    story.probes(15, good);
    assert_eq!(story.conclusions(), []);
}

#[test]
fn duplicate_syns_of_a_handshake_under_way_are_no_drops() {
    let mut story = Story::new();
    story.probes(40, |story| {
        for node in [NODE_A, NODE_B] {
            story.serve(node);
            // The SYN again, the SYN-ACK again: the first one was slow.
            story.arrive(node);
            story.note_drop(node, Dropped::DuplicateSyn, "NOT_SPECIFIED");
            story.tally(node).synacks += 1;
            story.tally(node).synack_retransmits += 1;
        }
    });
    assert_eq!(story.conclusions(), []);
}

fn other(hook: Hook, id: u32, name: Option<&str>) -> OtherProgram {
    OtherProgram { hook, id: Some(id), name: name.map(str::to_owned) }
}

/// The finding about drops of the first node in this way, with these programs on the interface.
fn dropped_beside(others: &[OtherProgram], how: impl Fn(&mut Story)) -> Finding {
    let mut story = Story::new();
    story.sample.other_programs = others.to_vec();
    story.probes(40, |story| {
        how(story);
        story.serve(NODE_B);
    });
    let findings = story.findings();
    findings.into_iter().find(|finding| finding.sources == [A]).expect("the first node is hit")
}

fn programs(finding: &Finding) -> Option<String> {
    let fact = finding.evidence.iter().find(|fact| fact.name == "programs");
    fact.map(|fact| format!("{:?}", fact.value))
}

#[test]
fn whoever_is_attached_where_a_program_dropped_is_named() {
    let guard = other(Hook::Xdp, 7, Some("guard"));
    let (meter, shaper) = (other(Hook::TcxIngress, 8, None), other(Hook::ClsactEgress, 9, Some("shaper")));
    let all = [guard, meter, shaper];
    let found = dropped_beside(&all, |story| story.note_drop(NODE_A, Dropped::SynBeforeHook, "XDP"));
    assert_eq!((found.code, programs(&found)), (Code::BpfDrop, Some("Text(\"xdp id 7, guard\")".to_owned())));
    assert!(
        found.advice.starts_with("Ask whoever attached xdp id 7, guard what it is for"),
        "{}",
        found.advice
    );
    assert!(found.advice.contains("bpftool prog show id 7"), "{}", found.advice);
    let found = dropped_beside(&all, |story| story.drop(NODE_A, "TC_INGRESS"));
    assert_eq!(
        (found.code, programs(&found)),
        (Code::BpfDrop, Some("Text(\"tcx ingress id 8\")".to_owned()))
    );
    // In front of the hook and gone by now: who it was is remembered.
    let found =
        dropped_beside(&all, |story| story.note_drop(NODE_A, Dropped::SynBeforeHook, "NOT_SPECIFIED"));
    let summary = &found.summary;
    assert!(summary.contains("by a program that is detached by now (xdp id 7, guard) in"), "{summary}");
    let two = [other(Hook::TcxIngress, 8, None), other(Hook::ClsactIngress, 9, Some("meter"))];
    let found = dropped_beside(&two, |story| story.drop(NODE_A, "TC_INGRESS"));
    let advice = &found.advice;
    assert!(advice.contains("One of these drops: tcx ingress id 8; clsact ingress id 9, meter"), "{advice}");
}

#[test]
fn a_program_that_drops_replies_is_named() {
    let shaper = [other(Hook::Xdp, 7, Some("guard")), other(Hook::ClsactEgress, 9, Some("shaper"))];
    let drop_reply = |reason| {
        move |story: &mut Story| {
            story.arrive(NODE_A);
            story.tally(NODE_A).synacks += 1;
            story.note_drop(NODE_A, Dropped::SynAck, reason);
        }
    };
    let found = dropped_beside(&shaper, drop_reply("TC_EGRESS"));
    let named = Some("Text(\"clsact egress id 9, shaper\")".to_owned());
    assert_eq!((found.code, programs(&found)), (Code::ReplyDropped, named));
    let advice = &found.advice;
    assert!(
        advice.contains("clsact egress id 9, shaper what it is for, and let replies from tcp/8080"),
        "{advice}"
    );
    // And not where something else drops them.
    let found = dropped_beside(&shaper, drop_reply("NEIGH_FAILED"));
    assert_eq!((found.code, programs(&found)), (Code::ReplyDropped, None));
    let found = dropped_beside(&[], drop_reply("TC_EGRESS"));
    assert!(programs(&found).is_none() && found.advice.starts_with("See which program"), "{}", found.advice);
}

#[test]
fn a_program_that_cannot_have_dropped_is_not_named() {
    let guard = [other(Hook::Xdp, 7, Some("guard"))];
    let found = dropped_beside(&guard, |story| story.drop(NODE_A, "TC_INGRESS"));
    assert_eq!((found.code, programs(&found)), (Code::BpfDrop, None));
    let found = dropped_beside(&guard, |story| story.drop(NODE_A, "NETFILTER_DROP"));
    assert_eq!((found.code, programs(&found)), (Code::HostFirewall, None));
    let found =
        dropped_beside(&guard, |story| story.note_drop(NODE_A, Dropped::SynBeforeHook, "CPU_BACKLOG"));
    assert_eq!((found.code, programs(&found)), (Code::HostDrop, None));
    // Attached, and nothing is dropped.
    let mut story = Story::new();
    story.sample.other_programs = guard.to_vec();
    story.probes(40, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    assert_eq!(story.conclusions(), []);
}
