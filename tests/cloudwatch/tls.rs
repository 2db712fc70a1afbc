//! AWS speaks TLS: what is shipped through it, and what is said where the certificate is none to trust.

use std::time::Duration;

use lab::{
    aws::{moto::Moto, terminator::Terminator},
    wait,
};

use crate::{
    lines,
    shipping::{Plan, Shipping},
};

const GROUP: &str = "/test/agent";
const SOON: Duration = Duration::from_secs(60);

#[test]
fn everything_arrives_through_tls_from_who_is_trusted() {
    let moto = Moto::start();
    let tls = Terminator::before(moto.address());
    moto.create_group(GROUP);
    let mut plan = Plan::new(GROUP, &tls.url());
    plan.environment.push(("SSL_CERT_FILE", tls.authority()));
    let mut shipping = Shipping::start(&plan);
    shipping.write(&lines(0, 50));
    wait::until("the first lines", SOON, || moto.messages(GROUP, "lines").len() == 50);
    shipping.write(&lines(50, 50));
    let shipped = shipping.finish();
    assert_eq!((shipped.lost, shipped.left), (0, 0), "{}", shipped.errors);
    assert_eq!(moto.messages(GROUP, "lines"), lines(0, 100), "{}", shipped.errors);
}

#[test]
fn nothing_is_sent_to_who_is_not_trusted_and_one_line_says_why() {
    let moto = Moto::start();
    let tls = Terminator::before(moto.address());
    moto.create_group(GROUP);
    let mut plan = Plan::new(GROUP, &tls.url());
    plan.last_calls = Duration::from_secs(3);
    let mut shipping = Shipping::start(&plan);
    shipping.write(&lines(0, 10));
    let shipped = shipping.finish();
    assert_eq!((shipped.lost, shipped.left), (10, 10), "{}", shipped.errors);
    assert_eq!(moto.messages(GROUP, "lines"), Vec::<String>::new());
    let said = shipped.errors.lines().filter(|line| line.contains("certificate")).count();
    assert_eq!(said, 1, "{}", shipped.errors);
}
