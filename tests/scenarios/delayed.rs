//! A long way: answers of a healthy service arrive late, and in time.

use std::time::Duration;

use agent::domain::finding::Code;
use lab::nlb::Speech;

use crate::{
    expected::Expected,
    row::{ClientPath, HEALTHY, Row, rows},
};

rows! {
    answers_arrive_150_ms_late => Row {
        near: &[Code::ReplyLost],
        answers_late_by: Some(Duration::from_millis(150)),
        ..HEALTHY
    };

    /// Twice as long for a health check: its handshake and its answer.
    answers_arrive_75_ms_late_over_http [ipv4] => Row {
        near: &[Code::ReplyLost, Code::ProbeTimeout],
        clients: ClientPath::Translated,
        speech: Speech::Http,
        answers_late_by: Some(Duration::from_millis(75)),
        expected: |plan| vec![Expected::shared(plan)],
        ..HEALTHY
    };
}
