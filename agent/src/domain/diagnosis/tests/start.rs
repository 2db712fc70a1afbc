//! Health checks that came before the application listened, and nodes that were seen once.

use super::*;

fn refuse(story: &mut Story, key: TallyKey) {
    story.drop(key, "NO_SOCKET");
    story.tally(key).refused += 1;
}

fn severities(story: &Story) -> Vec<(Code, Severity)> {
    let findings = story.findings().into_iter();
    findings
        .map(|finding| (finding.code, finding.severity))
        .filter(|told| *told != (Code::ClientsMissing, Severity::Note))
        .collect()
}

#[test]
fn an_application_that_starts_after_two_health_checks_is_late_until_it_serves_one() {
    let mut story = Story::new();
    let listeners = story.sample.listeners.take();
    story.sample.listeners = Some(Vec::new());
    story.probes(20, |story| {
        refuse(story, NODE_A);
        refuse(story, NODE_B);
    });
    assert_eq!(severities(&story)[0], (Code::NoListener, Severity::Fault));
    story.sample.listeners = listeners;
    story.pass(1, |_, _| {});
    assert_eq!(severities(&story), [(Code::SlowStart, Severity::Fault)]);
    story.probes(10, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    assert_eq!(severities(&story), [(Code::SlowStart, Severity::Note)]);
    story.probes(60, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    assert_eq!(severities(&story), []);
}

#[test]
fn one_refused_health_check_makes_no_target_unhealthy() {
    let mut story = Story::new();
    let listeners = story.sample.listeners.replace(Vec::new());
    story.probes(10, |story| {
        refuse(story, NODE_A);
        refuse(story, NODE_B);
    });
    story.sample.listeners = listeners;
    story.pass(1, |_, _| {});
    assert_eq!(severities(&story), [(Code::SlowStart, Severity::Note)]);
}

#[test]
fn an_application_that_was_served_before_has_not_started_late() {
    let mut story = Story::new();
    story.probes(20, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    let listeners = story.sample.listeners.replace(Vec::new());
    story.probes(20, |story| refuse(story, NODE_A));
    story.sample.listeners = listeners;
    story.probes(10, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    assert!(severities(&story).iter().all(|(code, _)| *code != Code::SlowStart), "{:?}", story.findings());
}

#[test]
fn a_node_seen_once_that_falls_silent_while_another_goes_on() {
    let mut story = Story::new();
    // Nobody said how often: the other node's rhythm says it after four intervals.
    story.history.watch.health_interval = None;
    story.probes(10, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    story.probes(30, |story| story.serve(NODE_B));
    assert_eq!(story.conclusions(), [], "not yet for three intervals");
    story.probes(20, |story| story.serve(NODE_B));
    assert_eq!(story.conclusions(), [(Code::ProbesPartial, Confidence::Inferred, nodes(&[A]))]);
}

/// A task that was so old when it began to be watched is told to stop after a minute of health checks, and what is said then of
/// a slow start.
fn stopped(age: Option<u64>, mut check: impl FnMut(&mut Story)) -> Vec<Finding> {
    let mut story = Story::new();
    story.history.watch.task_age = age.map(Duration::from_secs);
    story.probes(60, &mut check);
    assert!(story.findings().iter().all(|finding| finding.code != Code::SlowStart), "not before it is told");
    story.history.stop();
    story.pass(1, |_, _| {});
    story.findings().into_iter().filter(|finding| finding.code == Code::SlowStart).collect()
}

fn nobody_listens(story: &mut Story) {
    story.sample.listeners = Some(Vec::new());
    refuse(story, NODE_A);
}

/// Still warming up: the application says so.
fn unavailable(story: &mut Story) {
    let tally = story.tally(NODE_A);
    tally.arrived += 1;
    tally.synacks += 1;
    tally.established += 1;
    tally.unserved += 1;
    tally.probes_unserved += 1;
    tally.answers.probes_bad_status += 1;
    tally.answers.bad_status = 503;
}

#[test]
fn a_task_that_is_told_to_stop_before_it_served_a_health_check_started_too_slowly() {
    for check in [nobody_listens as fn(&mut Story), unavailable] {
        let found = stopped(Some(10), check);
        assert_eq!(found.len(), 1);
        let finding = &found[0];
        assert!(finding.is_fault() && finding.sources == nodes(&[A]), "{finding:?}");
        assert!(finding.summary.contains("told to stop when it was 70 s old"), "{}", finding.summary);
        assert!(finding.advice.contains("health-check-grace-period-seconds"));
    }
}

#[test]
fn a_task_that_is_told_to_stop_is_not_always_a_slow_one() {
    // Nobody knows that a task ends with the agent, or what came before the agent.
    assert_eq!(stopped(None, nobody_listens), []);
    assert_eq!(stopped(Some(100), nobody_listens), []);
    // It served one.
    let mut number = 0;
    let served_once = |story: &mut Story| {
        number += 1;
        if number == 1 { story.serve(NODE_A) } else { unavailable(story) }
    };
    assert_eq!(stopped(Some(10), served_once), []);
    // One failed: no target is unhealthy for that.
    let mut number = 0;
    let once = |story: &mut Story| {
        number += 1;
        if number == 6 {
            nobody_listens(story)
        }
    };
    assert_eq!(stopped(Some(10), once), []);
    // What no time would have mended.
    let forbidden = |story: &mut Story| {
        unavailable(story);
        story.tally(NODE_A).answers.bad_status = 404;
    };
    assert_eq!(stopped(Some(10), forbidden), []);
    for spoil in [
        |tally: &mut Tally| tally.answers.proxy_openings += 1,
        |tally: &mut Tally| tally.answers.tls_alerts += 1,
    ] {
        let not_understood = |story: &mut Story| {
            unavailable(story);
            spoil(story.tally(NODE_A));
        };
        assert_eq!(stopped(Some(10), not_understood), []);
    }
    let shut_out = |story: &mut Story| story.drop(NODE_A, "NETFILTER_DROP");
    assert_eq!(stopped(Some(10), shut_out), []);
    let elsewhere = |story: &mut Story| {
        story.sample.listeners = Some(vec![listener(Ipv4Addr::LOCALHOST.into())]);
        refuse(story, NODE_A);
    };
    assert_eq!(stopped(Some(10), elsewhere), []);
    assert_eq!(stopped(Some(10), |_| {}), []);
}
