//! SYNs that netfilter dropped, and why.

use super::*;

const LIMIT: u64 = 1000;

/// A table that is full from the start and has dropped nothing yet.
fn full_table() -> Story {
    let mut story = Story::new();
    story.sample.conntrack = Some(Conntrack { entries: LIMIT, limit: LIMIT, drops: 0 });
    story.pass(1, |_, _| {});
    story
}

/// A SYN that netfilter dropped, and that the table counted.
fn drop_by_table(story: &mut Story, key: TallyKey) {
    story.drop(key, "NETFILTER_DROP");
    story.sample.conntrack.as_mut().expect("a table").drops += 1;
}

fn codes(story: &Story) -> Vec<(Code, Confidence)> {
    story.conclusions().into_iter().map(|(code, confidence, _)| (code, confidence)).collect()
}

#[test]
fn a_full_table_is_named_in_place_of_the_firewall() {
    let mut story = full_table();
    story.probes(40, |story| {
        drop_by_table(story, NODE_A);
        drop_by_table(story, NODE_B);
    });
    assert_eq!(story.conclusions(), [(Code::ConntrackFull, Confidence::Proven, nodes(&[A, B]))]);
    let finding = &story.findings()[0];
    assert!(
        finding.summary.contains("8 of 8 SYNs") && finding.summary.contains("1000 of 1000"),
        "{}",
        finding.summary
    );
    assert!(finding.advice.contains("nf_conntrack_max=2000"), "{}", finding.advice);
    assert_eq!(story.verdict(&[]).state, State::Fault);
}

#[test]
fn a_table_that_is_counted_late_is_named_all_the_same() {
    let mut story = full_table();
    story.pass(39, |story, second| match second % 10 {
        0 => {
            story.drop(NODE_A, "NETFILTER_DROP");
            story.serve(NODE_B);
        }
        // The table was read before the tallies: the next reading has it.
        1 if second > 10 => story.sample.conntrack.as_mut().expect("a table").drops += 1,
        _ => {}
    });
    assert_eq!(codes(&story), [(Code::ConntrackFull, Confidence::Proven)]);
}

#[test]
fn a_full_table_that_drops_nothing_is_not_blamed_for_a_rule() {
    let mut story = full_table();
    story.probes(40, |story| {
        story.drop(NODE_A, "NETFILTER_DROP");
        story.serve(NODE_B);
    });
    assert_eq!(codes(&story), [(Code::HostFirewall, Confidence::Proven)]);
}

#[test]
fn a_table_that_drops_and_is_not_full_is_not_blamed_either() {
    let mut story = Story::new();
    story.sample.conntrack = Some(Conntrack { entries: LIMIT - 1, limit: LIMIT, drops: 0 });
    story.probes(40, |story| {
        drop_by_table(story, NODE_A);
        story.serve(NODE_B);
    });
    assert_eq!(codes(&story), [(Code::HostFirewall, Confidence::Proven)]);
}

#[test]
fn a_full_table_that_drops_others_packets_only_is_nobodys_fault() {
    let mut story = full_table();
    story.probes(40, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
        story.sample.conntrack.as_mut().expect("a table").drops += 5;
    });
    assert_eq!(codes(&story), []);
}

#[test]
fn a_table_that_dropped_fewer_is_suspected_beside_the_rule() {
    let mut story = full_table();
    let mut number = 0;
    story.probes(40, |story| {
        number += 1;
        if number == 1 {
            drop_by_table(story, NODE_A)
        } else {
            story.drop(NODE_A, "NETFILTER_DROP")
        }
        story.serve(NODE_B);
    });
    story.pass(1, |_, _| {});
    assert_eq!(
        codes(&story),
        [(Code::ConntrackFull, Confidence::Suspected), (Code::HostFirewall, Confidence::Proven)]
    );
}

#[test]
fn a_rule_that_dropped_before_the_table_filled_is_still_named() {
    let mut story = Story::new();
    story.sample.conntrack = Some(Conntrack { entries: 5, limit: LIMIT, drops: 0 });
    story.probes(20, |story| {
        story.drop(NODE_A, "NETFILTER_DROP");
        story.serve(NODE_B);
    });
    story.sample.conntrack.as_mut().expect("a table").entries = LIMIT;
    story.probes(10, |story| {
        drop_by_table(story, NODE_A);
        drop_by_table(story, NODE_B);
    });
    assert_eq!(
        story.conclusions(),
        [
            (Code::ConntrackFull, Confidence::Proven, nodes(&[A, B])),
            (Code::HostFirewall, Confidence::Proven, nodes(&[A]))
        ]
    );
}

#[test]
fn a_table_with_room_again_clears_the_finding() {
    let mut story = full_table();
    story.probes(40, |story| {
        drop_by_table(story, NODE_A);
        drop_by_table(story, NODE_B);
    });
    story.sample.conntrack.as_mut().expect("a table").entries = 5;
    story.probes(30, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    assert_eq!(codes(&story), []);
}

fn reject(story: &mut Story, key: TallyKey) {
    story.drop(key, "NETFILTER_DROP");
    story.tally(key).refused += 1;
}

#[test]
fn a_rule_that_refuses_is_told_from_one_that_drops() {
    let mut story = Story::new();
    story.probes(40, |story| {
        reject(story, NODE_A);
        story.drop(NODE_B, "NETFILTER_DROP");
    });
    assert_eq!(
        story.conclusions(),
        [
            (Code::FirewallReject, Confidence::Proven, nodes(&[A])),
            (Code::HostFirewall, Confidence::Proven, nodes(&[B]))
        ]
    );
    assert!(story.findings()[0].advice.contains("reject"));
}

#[test]
fn refusals_may_be_fewer_than_drops() {
    let mut story = Story::new();
    story.pass(40, |story, second| {
        (0..10).for_each(|_| story.drop(CLIENTS, "NETFILTER_DROP"));
        story.tally(CLIENTS).refused += 1;
        if second.is_multiple_of(10) {
            story.serve(NODE_A);
            story.serve(NODE_B);
        }
    });
    assert_eq!(codes(&story), [(Code::FirewallReject, Confidence::Proven)]);
}

#[test]
fn what_refuses_others_may_refuse_a_newcomer_without_a_word_at_first() {
    let mut story = Story::new();
    story.pass(1, |story, _| {
        reject(story, NODE_A);
        (0..3).for_each(|_| story.drop(CLIENTS, "NETFILTER_DROP"));
    });
    assert_eq!(story.conclusions(), [(Code::FirewallReject, Confidence::Proven, nodes(&[A]))]);
    // A second later the kernel would have sent a message, if it was a rule that refuses.
    story.pass(2, |story, _| story.drop(CLIENTS, "NETFILTER_DROP"));
    assert!(codes(&story).contains(&(Code::HostFirewall, Confidence::Proven)), "{:?}", codes(&story));
}

#[test]
fn a_few_drops_of_a_rule_explain_no_missing_route() {
    let mut story = Story::new();
    story.probes(30, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
        story.drop(CLIENTS, "NETFILTER_DROP");
        (0..200).for_each(|_| story.arrive(CLIENTS));
        story.count(|host| &mut host.listen_drops, 200);
        story.count(|host| &mut host.out_no_routes, 200);
    });
    story.pass(2, |_, _| {});
    assert!(codes(&story).contains(&(Code::NoReturnRoute, Confidence::Proven)), "{:?}", codes(&story));
}

#[test]
fn refusals_of_tcp_itself_are_no_rule() {
    let mut story = Story::new();
    story.sample.listeners = Some(Vec::new());
    story.probes(20, |story| {
        for node in [NODE_A, NODE_B] {
            story.drop(node, "NO_SOCKET");
            story.tally(node).refused += 1;
        }
    });
    assert_eq!(codes(&story), [(Code::NoListener, Confidence::Proven)]);
    // A rule that drops comes on top: no answer of its own is seen.
    story.probes(20, |story| {
        story.drop(NODE_A, "NETFILTER_DROP");
        story.drop(NODE_B, "NETFILTER_DROP");
    });
    assert!(codes(&story).contains(&(Code::HostFirewall, Confidence::Proven)), "{:?}", codes(&story));
    assert!(!codes(&story).iter().any(|(code, _)| *code == Code::FirewallReject), "{:?}", codes(&story));
}

#[test]
fn without_all_records_a_rule_that_refuses_is_inferred() {
    let mut story = Story::new();
    story.sample.loss.drops = 1;
    story.probes(40, |story| {
        reject(story, NODE_A);
        story.serve(NODE_B);
    });
    assert_eq!(codes(&story), [(Code::FirewallReject, Confidence::Inferred)]);
}

fn rule(chain: &str, handle: u64) -> Rule {
    Rule { family: "inet", table: "local".to_owned(), chain: chain.to_owned(), handle }
}

/// A story in which netfilter drops one node's probes, while the counters of two rules grow so much a probe.
fn dropped_by_rules(one: u64, two: u64) -> Story {
    let mut story = Story::new();
    let mut rules = Rules::from([(rule("input", 4), 100), (rule("other", 5), 7)]);
    story.sample.rules = Some(rules.clone());
    story.pass(1, |_, _| {});
    story.probes(40, |story| {
        story.drop(NODE_A, "NETFILTER_DROP");
        story.serve(NODE_B);
        *rules.entry(rule("input", 4)).or_default() += one;
        *rules.entry(rule("other", 5)).or_default() += two;
        story.sample.rules = Some(rules.clone());
    });
    story
}

#[test]
fn the_rule_that_counted_the_drops_is_named() {
    let finding = &dropped_by_rules(1, 3).findings()[0];
    assert!(finding.summary.ends_with("(nft table inet local, chain input)"), "{}", finding.summary);
    for wanted in [
        "nft -a list chain inet local input",
        "nft insert rule inet local input handle 4 ip saddr <subnet CIDR of the NLB> tcp dport 8080 accept",
    ] {
        assert!(finding.advice.contains(wanted), "{}", finding.advice);
    }
    assert!(finding.evidence.iter().any(|fact| fact.name == "rule_chain"));
}

#[test]
fn where_no_rule_counted_anything_it_is_a_policy_or_a_rule_without_counter() {
    let finding = &dropped_by_rules(0, 0).findings()[0];
    assert!(
        finding.summary.ends_with("(by no rule of nftables that drops and counts)"),
        "{}",
        finding.summary
    );
    assert!(finding.advice.contains("the policy of a chain"), "{}", finding.advice);
    // A rule that counted something may be one of two that drop; and without rules nothing is known.
    let finding = &dropped_by_rules(0, 3).findings()[0];
    assert!(finding.summary.ends_with(" s"), "{}", finding.summary);
    let mut story = Story::new();
    story.probes(40, |story| story.drop(NODE_A, "NETFILTER_DROP"));
    let unread = story.findings().into_iter().find(|finding| finding.code == Code::HostFirewall);
    assert!(unread.is_some_and(|finding| finding.summary.ends_with(" s")));
}

#[test]
fn rules_that_counted_something_else_are_not_named() {
    for (one, two) in [(0, 3), (2, 0), (1, 1)] {
        let finding = &dropped_by_rules(one, two).findings()[0];
        assert_eq!(finding.code, Code::HostFirewall);
        assert!(!finding.summary.contains("chain"), "{one} {two}: {}", finding.summary);
    }
}
