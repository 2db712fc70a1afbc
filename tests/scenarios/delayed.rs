//! A long way: answers of a healthy service arrive late, and in time.

use std::time::{Duration, Instant};

use agent::domain::finding::Code;
use lab::{
    nlb::{Speech, connect},
    topology::Topology,
    wait,
};

use crate::{
    expected::Expected,
    row::{ClientPath, HEALTHY, PATIENCE, Row, rows},
};

const LATE: Duration = Duration::from_millis(150);
const HALF: Duration = Duration::from_millis(75);

/// A handshake does, so answers are late.
fn takes_at_least(lab: &Topology, time: Duration) {
    let began = Instant::now();
    let from = lab.plan.client.addresses[3];
    lab.client.run(|| connect(from, lab.plan.target(), PATIENCE)).expect("a connection");
    assert!(began.elapsed() >= time * wait::pace(), "{:?} is not late", began.elapsed());
}

rows! {
    answers_arrive_150_ms_late => Row {
        near: &[Code::ReplyLost],
        answers_late_by: Some(LATE),
        after: Some(|lab| takes_at_least(lab, LATE)),
        ..HEALTHY
    };

    /// Twice as long for a health check: its handshake and its answer.
    answers_arrive_75_ms_late_over_http [ipv4] => Row {
        near: &[Code::ReplyLost, Code::ProbeTimeout],
        clients: ClientPath::Translated,
        speech: Speech::Http,
        answers_late_by: Some(HALF),
        after: Some(|lab| takes_at_least(lab, HALF)),
        expected: |plan| vec![Expected::shared(plan)],
        ..HEALTHY
    };
}
