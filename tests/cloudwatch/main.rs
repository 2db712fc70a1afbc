//! Shipping to CloudWatch Logs, against a double of AWS on loopback. `cargo xtask cloudwatch` runs it.
//!
//! Only `end_to_end` needs root.

mod bad_days;
mod deploy;
mod end_to_end;
mod kubernetes;
mod outages;
mod permissions;
mod shipping;
mod terraform;
mod tls;
mod twins;

use lab::aws::{front::Front, moto::Moto};

/// The double, and the server in front of it.
fn aws() -> (Moto, Front) {
    let moto = Moto::start();
    let front = Front::before(moto.address());
    (moto, front)
}

/// Lines that are told apart, so many, from this number on.
fn lines(from: usize, count: usize) -> Vec<String> {
    (from..from + count).map(|number| format!(r#"{{"kind":"report","number":{number}}}"#)).collect()
}
