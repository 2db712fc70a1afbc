//! SYN cookies.

use super::*;

/// A SYN that is answered with a cookie.
fn bake(story: &mut Story, key: TallyKey) {
    story.arrive(key);
    let tally = story.tally(key);
    tally.synacks += 1;
    tally.cookies += 1;
    story.count(|host| &mut host.syncookies_sent, 1);
}

/// The same, and the handshake is finished and the connection served.
fn serve_with_a_cookie(story: &mut Story, key: TallyKey) {
    bake(story, key);
    let tally = story.tally(key);
    tally.established += 1;
    tally.served += 1;
}

fn severities(story: &Story) -> Vec<Severity> {
    let findings = story.findings().into_iter().filter(|finding| finding.code == Code::SynCookies);
    findings.map(|finding| finding.severity).collect()
}

#[test]
fn cookies_whose_connections_are_served_are_a_note() {
    let mut story = Story::new();
    story.probes(40, |story| {
        serve_with_a_cookie(story, NODE_A);
        story.serve(NODE_B);
    });
    story.pass(2, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::SynCookies, Confidence::Proven, nodes(&[A]))]);
    assert_eq!(severities(&story), [Severity::Note]);
    assert_eq!(story.verdict(&[]).state, State::Healthy);
}

#[test]
fn cookies_after_which_no_handshake_is_finished_are_a_fault() {
    let mut story = Story::new();
    story.probes(40, |story| {
        bake(story, NODE_A);
        serve_with_a_cookie(story, NODE_B);
    });
    story.pass(2, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::SynCookies, Confidence::Proven, nodes(&[A]))]);
    assert_eq!(severities(&story), [Severity::Fault]);
    assert_eq!(story.verdict(&[]).state, State::Fault);
}

#[test]
fn a_cookie_lost_now_and_then_is_no_fault() {
    let mut story = Story::new();
    story.probes(40, |story| {
        bake(story, NODE_A);
        serve_with_a_cookie(story, NODE_A);
        story.serve(NODE_B);
    });
    story.pass(2, |_, _| {});
    assert_eq!(severities(&story), [Severity::Note]);
}

#[test]
fn a_single_cookie_of_this_moment_is_no_fault() {
    let mut story = Story::new();
    story.probes(10, |story| {
        bake(story, NODE_A);
        story.serve(NODE_B);
    });
    assert_eq!(severities(&story), [Severity::Note]);
    story.pass(3, |_, _| {});
    assert_eq!(severities(&story), [Severity::Note]);
}

#[test]
fn replies_without_a_socket_are_no_cookies_unless_the_kernel_counted_some() {
    for counter in [Some(0), None] {
        let mut story = Story::new();
        story.probes(40, |story| {
            story.serve(NODE_A);
            story.serve(NODE_B);
            story.tally(NODE_A).cookies += 1;
            story.sample.host.syncookies_sent = counter;
        });
        assert_eq!(story.conclusions(), [], "{counter:?}");
    }
}

#[test]
fn cookies_of_another_port_are_not_ours() {
    let mut story = Story::new();
    story.probes(40, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
        story.count(|host| &mut host.syncookies_sent, 100);
    });
    assert_eq!(story.conclusions(), []);
}

#[test]
fn a_full_accept_queue_outranks_the_cookies_that_came_of_it() {
    let mut story = Story::new();
    story.sample.listeners =
        Some(vec![Listener { backlog: 3, backlog_limit: 2, ..listener(Ipv4Addr::UNSPECIFIED.into()) }]);
    story.probes(40, |story| {
        for node in [NODE_A, NODE_B] {
            bake(story, node);
            story.count(|host| &mut host.listen_overflows, 1);
            story.count(|host| &mut host.listen_drops, 1);
        }
    });
    story.pass(2, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::AcceptQueueFull, Confidence::Proven, nodes(&[A, B]))]);
}
