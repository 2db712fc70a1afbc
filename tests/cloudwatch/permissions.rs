//! The shipped policies are enough, and nothing in them is too much.

use std::{collections::BTreeSet, time::Duration};

use lab::aws::moto::{Key, Moto};
use serde_json::{Value, json};

use crate::{
    deploy, lines,
    shipping::{Plan, Shipped, Shipping},
};

const SHIPPING: &str = "iam/shipping.json";
const CREATE: &str = "iam/shipping-create.json";

/// The policies as one, as the double can check it: it asks about resource `*` only, so narrower ones are widened here and
/// held against what they have to be in a test of their own. `without` takes one action away.
fn policy(files: &[&str], without: Option<&str>) -> Value {
    let allowed = files.iter().flat_map(|file| deploy::actions(&deploy::filled(file, "/g")));
    let allowed: Vec<String> = allowed.filter(|action| Some(action.as_str()) != without).collect();
    json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": allowed, "Resource": "*" }],
    })
}

/// Ships three lines with this key; nothing in front, because a signature has to hold.
fn ship(moto: &Moto, key: &Key, group: &str, create: bool) -> Shipped {
    let mut plan = Plan::new(group, &format!("http://{}", moto.address()));
    plan.environment.truncate(1);
    let mut plan = plan.with_key(key);
    plan.create = create;
    plan.last_calls = Duration::from_secs(4);
    let mut shipping = Shipping::start(&plan);
    shipping.write(&lines(0, 3));
    shipping.finish()
}

#[test]
fn the_policies_are_enough_and_each_action_in_them_is_needed() {
    let moto = Moto::start();
    // Without and with the right to make the group.
    let mut cases = Vec::new();
    for (files, create) in [(&[SHIPPING][..], false), (&[SHIPPING, CREATE][..], true)] {
        let actions = deploy::actions(&policy(files, None));
        assert_eq!(actions.len(), if create { 4 } else { 2 });
        for without in actions.iter().map(|action| Some(action.clone())).chain([None]) {
            let name = format!("case-{}", cases.len());
            let key = moto.user(&name, &policy(files, without.as_deref()));
            let group = format!("/{name}");
            if !create {
                moto.create_group(&group);
            }
            cases.push((key, group, create, without));
        }
    }
    moto.enforce(true);
    let ended: Vec<_> =
        cases.iter().map(|(key, group, create, _)| ship(&moto, key, group, *create)).collect();
    moto.enforce(false);
    for ((_, group, create, without), shipped) in cases.iter().zip(ended) {
        let stored = moto.messages(group, "lines");
        let what = format!("{group} without {without:?}: {}", shipped.errors);
        match without.as_deref() {
            None => {
                assert_eq!((stored, shipped.lost, shipped.errors.as_str()), (lines(0, 3), 0, ""), "{what}");
                assert_eq!(moto.retention(group), create.then_some(30), "{what}");
            }
            Some("logs:PutRetentionPolicy") => {
                assert_eq!((stored, shipped.lost), (lines(0, 3), 0), "{what}");
                assert_eq!(moto.retention(group), None, "{what}");
                is_one_sentence(&shipped.errors, "logs:PutRetentionPolicy");
            }
            Some(action) => {
                assert_eq!((stored.len(), shipped.lost), (0, 3), "{what}");
                is_one_sentence(&shipped.errors, action);
            }
        }
    }
}

/// Exactly one action is named as missing, in one line.
#[track_caller]
fn is_one_sentence(errors: &str, action: &str) {
    let about: Vec<_> = errors.lines().filter(|line| line.contains("not allowed")).collect();
    assert_eq!(about.len(), 1, "{errors}");
    assert!(about[0].contains(&format!("not allowed {action}:")), "{errors}");
}

#[test]
fn a_key_that_is_not_known_is_no_missing_permission_of_a_policy_that_is_right() {
    let moto = Moto::start();
    moto.create_group("/g");
    let mut key = moto.user("somebody", &policy(&[SHIPPING], None));
    key.secret.push('x');
    moto.enforce(true);
    let shipped = ship(&moto, &key, "/g", false);
    assert_eq!(shipped.lost, 3);
    assert!(shipped.errors.contains("403"), "{}", shipped.errors);
}

#[test]
fn the_policies_reach_no_further_than_the_one_log_group() {
    for file in [SHIPPING, CREATE] {
        let policy = deploy::filled(file, "/ecs/orders");
        for statement in policy["Statement"].as_array().expect("statements") {
            assert_eq!(statement["Resource"], "arn:aws:logs:eu-west-1:123456789012:log-group:/ecs/orders:*");
            assert_eq!(statement["Effect"], "Allow");
        }
    }
}

/// The commands that findings and `check` print are all that has to be looked up; those that change something are the
/// operator's.
#[test]
fn the_discovery_policy_allows_the_reading_commands_of_findings_and_check_and_no_others() {
    let catalogue = agent::output::explain::CATALOGUE;
    let check = include_str!("../../agent/src/run/check/surroundings.rs");
    let words: Vec<&str> = catalogue.split(['`', ' ', '\n']).chain(check.split(' ')).collect();
    let read: BTreeSet<String> = words
        .windows(3)
        .filter(|window| {
            window[0] == "aws" && ["describe-", "get-"].iter().any(|verb| window[2].starts_with(verb))
        })
        .map(|window| match window[1] {
            // API Gateway has rights by the method of HTTP.
            "apigatewayv2" => "apigateway:GET".to_owned(),
            command => format!("{}:{}", service(command), operation(window[2])),
        })
        .collect();
    let policy = deploy::filled("iam/discovery.json", "");
    let allowed: BTreeSet<String> = deploy::actions(&policy).into_iter().collect();
    assert_eq!(allowed, read);
}

/// The prefix of its actions.
fn service(command: &str) -> &str {
    if command == "elbv2" { "elasticloadbalancing" } else { command }
}

/// `describe-target-health` is `DescribeTargetHealth`.
fn operation(command: &str) -> String {
    let part = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
    command.split('-').map(part).collect()
}
