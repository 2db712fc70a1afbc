//! What should arrive and does not.

use super::*;

#[test]
fn a_node_that_was_never_seen_is_suspected_after_one_interval_and_inferred_after_three() {
    let mut story = Story::new();
    let only_b = |story: &mut Story| story.serve(NODE_B);
    story.probes(9, only_b);
    assert_eq!(story.conclusions(), []);
    story.probes(2, only_b);
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Suspected, nodes(&[A]))]);
    story.probes(20, only_b);
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Inferred, nodes(&[A]))]);
}

/// With one node known to be the own zone's, that is the one to miss; the other keeps the verdict from being healthy.
#[test]
fn of_nodes_that_were_never_seen_only_the_own_zones_is_a_fault_where_the_zone_is_known() {
    let story = |own_zone: usize| {
        let mut sources = SourceTable::new(100);
        for (number, node) in [A, B].into_iter().enumerate() {
            let name = "us-west-2d.nlb.elb.us-west-2.amazonaws.com".to_owned();
            let origin = if number == own_zone { Origin::OwnZone(name) } else { Origin::Dns(name) };
            let node = node.parse::<IpAddr>().expect("an address").into();
            sources.add(node, Role::Node, origin, Duration::ZERO).expect("room");
        }
        Story::with(sources)
    };
    let mut missing_own = story(0);
    missing_own.probes(60, |story| story.serve(NODE_B));
    assert_eq!(missing_own.conclusions(), [(Code::ProbesMissing, Confidence::Inferred, nodes(&[A]))]);
    assert!(!missing_own.findings()[0].advice.contains("Cross-zone"));
    let mut missing_other = story(1);
    missing_other.probes(29, |story| story.serve(NODE_B));
    assert_eq!(missing_other.conclusions(), []);
    missing_other.probes(31, |story| story.serve(NODE_B));
    assert_eq!(missing_other.conclusions(), [(Code::ProbesPartial, Confidence::Inferred, nodes(&[A]))]);
    let partial = missing_other.findings().into_iter().find(|finding| finding.code == Code::ProbesPartial);
    assert_eq!(partial.map(|finding| finding.severity), Some(Severity::Note));
    assert_eq!(missing_other.verdict(&[]).state, State::Inconclusive);
    // Once seen, its silence is a fault as any other's.
    missing_other.probes(10, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    assert_eq!(missing_other.conclusions(), []);
    missing_other.probes(31, |story| story.serve(NODE_B));
    assert_eq!(missing_other.conclusions(), [(Code::ProbesStopped, Confidence::Inferred, nodes(&[A]))]);
    assert_eq!(missing_other.verdict(&[]).state, State::Fault);
}

/// With cross-zone load balancing off, a node of another zone may have no reason to come.
#[test]
fn where_no_zone_is_known_another_zone_is_among_the_candidates_for_a_node_that_never_came() {
    let mut story = Story::new();
    story.probes(60, |story| story.serve(NODE_B));
    let advice = |story: &Story, code| {
        let found = story.findings().into_iter().find(|finding| finding.code == code);
        found.expect("the finding").advice
    };
    let said = advice(&story, Code::ProbesMissing);
    assert!(
        said.contains("3. Cross-zone load balancing is off")
            && said.contains("describe-load-balancer-attributes")
    );
    // One that came had a reason.
    let mut story = Story::new();
    story.probes(60, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    story.probes(60, |story| story.serve(NODE_B));
    assert!(!advice(&story, Code::ProbesStopped).contains("Cross-zone"));
    // What all nodes share is no matter of zones.
    let mut story = Story::new();
    story.probes(60, |story| story.serve(CLIENTS));
    assert!(!advice(&story, Code::ProbesMissing).contains("Cross-zone"));
}

/// Its target may not be registered yet: 180 s is the age, wherever in the task's life the agent began to watch.
#[test]
fn absence_in_a_young_task_is_no_more_than_suspected() {
    let mut story = Story::new();
    story.history.watch.task_age = Some(Duration::from_secs(100));
    let only_b = |story: &mut Story| story.serve(NODE_B);
    story.probes(79, only_b);
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Suspected, nodes(&[A]))]);
    let finding = &story.findings()[0];
    assert!(finding.summary.ends_with("the task is 179 s old and may not be registered yet"), "{finding:?}");
    assert_eq!(story.verdict(&[]).state, State::Inconclusive);
    story.probes(1, only_b);
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Inferred, nodes(&[A]))]);
    assert!(!story.findings()[0].summary.contains("registered"));
}

#[test]
fn nothing_at_all_in_a_young_task_is_no_more_than_suspected() {
    for (age, confidence) in [(0, Confidence::Suspected), (200, Confidence::Inferred)] {
        let mut story = Story::new();
        story.history.watch.task_age = Some(Duration::from_secs(age));
        story.pass(60, |_, _| {});
        let found = story.findings();
        let nothing = found.iter().find(|finding| finding.code == Code::NothingArrives);
        assert_eq!(nothing.map(|finding| finding.confidence), Some(confidence), "{found:?}");
    }
}

#[test]
fn what_stopped_had_been_registered_however_young_the_task_is() {
    let mut story = Story::new();
    story.history.watch.task_age = Some(Duration::ZERO);
    story.probes(40, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    story.probes(40, |story| story.serve(NODE_B));
    assert_eq!(story.conclusions(), [(Code::ProbesStopped, Confidence::Inferred, nodes(&[A]))]);
}

#[test]
fn absence_means_nothing_while_the_interface_receives_nothing() {
    let mut story = Story::new();
    story.pass(60, |story, _| story.sample.host.interface_packets = Some(0));
    assert_eq!(story.conclusions(), []);
    let mut story = Story::new();
    story.pass(60, |story, _| story.sample.host.interface_packets = None);
    assert_eq!(story.conclusions(), []);
}

#[test]
fn an_xdp_program_of_somebody_else_may_be_the_cause() {
    let mut story = Story::new();
    story.sample.foreign_xdp = Some("id 7".to_owned());
    story.probes(60, |story| story.serve(NODE_B));
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Suspected, nodes(&[A]))]);
    assert!(story.findings()[0].advice.contains("XDP program on the interface (id 7)"));
}

#[test]
fn a_tc_program_in_front_of_the_agents_may_be_the_cause() {
    let mut story = Story::new();
    story.sample.foreign_tc = Some("id 9, other".to_owned());
    story.probes(60, |story| story.serve(NODE_B));
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Suspected, nodes(&[A]))]);
    assert!(
        story.findings()[0]
            .advice
            .contains("First look at the tc program in front of the agent's (id 9, other)")
    );
    story.probes(60, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    assert_eq!(story.verdict(&[]).state, State::Healthy);
}

#[test]
fn what_is_in_front_may_be_the_cause_when_nothing_arrives_at_all() {
    let mut story = Story::new();
    story.sample.foreign_tc = Some("id 9, other".to_owned());
    story.pass(31, |_, _| {});
    let found = story.findings();
    assert_eq!((found[0].code, found[0].confidence), (Code::NothingArrives, Confidence::Suspected));
    assert!(
        found[0].advice.contains("look at the tc program in front of the agent's (id 9, other)"),
        "{}",
        found[0].advice
    );
}

#[test]
fn syns_that_were_dropped_in_front_of_the_hook_did_arrive() {
    let mut story = Story::new();
    story.sample.foreign_xdp = Some("id 7".to_owned());
    story.probes(60, |story| {
        story.note_drop(NODE_A, Dropped::SynBeforeHook, "XDP");
        story.serve(NODE_B);
    });
    assert_eq!(story.conclusions(), [(Code::BpfDrop, Confidence::Proven, nodes(&[A]))]);
}

#[test]
fn with_a_health_check_port_client_traffic_of_a_node_is_no_probe() {
    let mut story = Story::new();
    story.history.watch.priors.health_port = Some(9000);
    story.history.watch.ports.push(9000);
    let probe = |key: TallyKey| TallyKey { port: 9000, ..key };
    story.probes(60, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
        story.serve(probe(NODE_B));
    });
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Inferred, nodes(&[A]))]);
    story.probes(60, |story| {
        story.serve(probe(NODE_A));
        story.serve(probe(NODE_B));
    });
    assert_eq!(story.conclusions(), []);
}

#[test]
fn a_slow_rhythm_that_was_learned_is_not_taken_for_silence() {
    let mut story = Story::new();
    story.history.watch.health_interval = None;
    let mut verdicts = Vec::new();
    story.pass(1200, |story, second| {
        if second.is_multiple_of(120) {
            story.serve(NODE_A);
            story.serve(NODE_B);
        }
        // The first pauses are longer than anything AWS does unasked: they are learned, then.
        if second > 700 {
            verdicts.push((story.conclusions(), story.verdict(&[]).state));
        }
    });
    verdicts.dedup();
    assert_eq!(verdicts, [(vec![], State::Healthy)]);
}

#[test]
fn a_node_that_was_resolved_late_is_not_missed_before_its_time() {
    let mut story = Story::new();
    let both = |story: &mut Story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    };
    story.probes(100, both);
    let new = "10.0.3.5/32".parse().expect("a prefix");
    story.sources.add(new, Role::Node, Origin::Dns("nlb".into()), Duration::from_secs(100)).expect("room");
    story.probes(9, both);
    assert_eq!(story.conclusions(), []);
    story.probes(11, both);
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Suspected, nodes(&["10.0.3.5"]))]);
}

#[test]
fn a_dual_stack_name_is_expected_in_the_family_that_probes() {
    let mut sources = SourceTable::new(100);
    for prefix in ["10.0.1.23/32", "fd00::23/128"] {
        let origin = Origin::Dns("nlb".into());
        sources.add(prefix.parse().expect("a prefix"), Role::Node, origin, Duration::ZERO).expect("room");
    }
    let mut story = Story::with(sources);
    story.probes(100, |story| story.serve(NODE_A));
    assert_eq!(story.conclusions(), []);
}

#[test]
fn nobody_at_all_is_one_finding_and_not_two() {
    let mut story = Story::new();
    // Nobody waits for the target itself.
    story.sources.add(TASK.into(), Role::Own, Origin::Interface, Duration::ZERO).expect("room");
    story.pass(31, |_, _| {});
    assert_eq!(
        story.conclusions(),
        [(Code::NothingArrives, Confidence::Inferred, nodes(&[A, B, CLIENT_PREFIX]))]
    );
    story.pass(5, |story, _| story.serve(CLIENTS));
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Inferred, nodes(&[A, B]))]);
}

#[test]
fn clients_that_must_come_are_missed_while_health_checks_arrive() {
    let both = |story: &mut Story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    };
    let mut story = Story::new();
    story.probes(60, both);
    assert_eq!(story.conclusions(), [], "nobody said that clients must come");
    let mut story = Story::new();
    story.history.watch.expect_clients = true;
    story.probes(35, both);
    assert_eq!((story.conclusions(), story.verdict(&[]).state), (vec![], State::Inconclusive));
    story.probes(2, both);
    assert_eq!(story.conclusions(), [(Code::ClientsMissing, Confidence::Inferred, nodes(&[CLIENT_PREFIX]))]);
    assert_eq!(story.verdict(&[]).state, State::Fault);
    story.probes(10, |story| {
        both(story);
        story.serve(CLIENTS);
    });
    assert_eq!((story.conclusions(), story.verdict(&[]).state), (vec![], State::Healthy));
}

#[test]
fn clients_that_were_dropped_on_this_host_did_come() {
    let mut story = Story::new();
    story.history.watch.expect_clients = true;
    story.sample.foreign_xdp = Some("id 7".to_owned());
    story.probes(60, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
        story.note_drop(CLIENTS, Dropped::SynBeforeHook, "XDP");
    });
    assert_eq!(story.conclusions(), [(Code::BpfDrop, Confidence::Proven, nodes(&[CLIENT_PREFIX]))]);
}

#[test]
fn a_passer_by_in_the_nlbs_subnet_is_not_missed_but_a_node_is() {
    let mut sources = SourceTable::new(600);
    let subnet = "10.0.1.0/24".parse().expect("a prefix");
    sources.add(subnet, Role::Node, Origin::Flag, Duration::ZERO).expect("room");
    let node = TallyKey { slot: 1 + 23, port: PORT };
    let (second_node, passer_by) =
        (TallyKey { slot: 1 + 40, port: PORT }, TallyKey { slot: 1 + 99, port: PORT });
    let mut story = Story::with(sources);
    story.pass(1, |story, _| story.serve(passer_by));
    story.probes(100, |story| {
        story.serve(node);
        story.serve(second_node);
    });
    assert_eq!(story.conclusions(), []);
    story.probes(40, |story| story.serve(node));
    assert_eq!(story.conclusions(), [(Code::ProbesStopped, Confidence::Inferred, nodes(&["10.0.1.40"]))]);
}

#[test]
fn a_node_learned_in_a_large_prefix_stands_for_the_prefix() {
    let mut sources = SourceTable::new(100);
    let prefix = "10.0.0.0/16".parse().expect("a prefix");
    sources.add(prefix, Role::Node, Origin::Flag, Duration::ZERO).expect("room");
    let mut story = Story::with(sources);
    let shared = TallyKey { slot: 1, port: PORT };
    story.pass(1, |story, _| story.serve(shared));
    let node = "10.0.1.23/32".parse().expect("a prefix");
    story.sources.add(node, Role::Node, Origin::Learned, Duration::from_secs(1)).expect("room");
    story.probes(100, |story| story.serve(TallyKey { slot: 2, port: PORT }));
    assert_eq!(story.conclusions(), []);
}
