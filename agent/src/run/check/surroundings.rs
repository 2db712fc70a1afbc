//! What the platform offers: metadata, names, credentials. Nothing here is needed to observe.

use crate::{
    discover::{Discovered, Endpoints, names},
    domain::check::{Check, State},
    run::check::home::Home,
    settings::Settings,
};

/// Marks of a source of AWS credentials in the environment, as the official SDKs look for them.
const CREDENTIALS: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_PROFILE",
];

/// Everything about the surroundings.
pub fn checks(settings: &Settings, endpoints: &Endpoints, discovered: &Discovered, home: Home) -> Vec<Check> {
    let mut checks = vec![ecs(endpoints, discovered, home), imds(endpoints, discovered)];
    checks.extend(settings.names().iter().map(|name| resolved(name)));
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let variable = CREDENTIALS.into_iter().find(is_set);
    checks.push(credentials(settings.cloudwatch.is_some(), variable, endpoints.imds.is_some(), home));
    checks
}

fn note<'a>(discovered: &'a Discovered, of: &str) -> Option<&'a str> {
    discovered.notes.iter().find(|note| note.starts_with(of)).map(String::as_str)
}

fn ecs(endpoints: &Endpoints, discovered: &Discovered, home: Home) -> Check {
    let id = "ecs_metadata";
    if let Some(note) = note(discovered, "ECS task metadata") {
        let fix = "look whether the ECS container agent (1.39.0 or later) runs on the instance: systemctl status ecs";
        return Check::lacks(State::Warn, id, note, fix);
    }
    match (endpoints.ecs.is_some(), home) {
        (true, _) => Check::pass(id, discovered.identity.lines().into_iter().next().unwrap_or_default()),
        (false, Home::Ecs) => Check::lacks(
            State::Warn,
            id,
            "ECS_CONTAINER_METADATA_URI_V4 is not set: the task's age, address and zone are not known",
            "update the ECS container agent on the instance to 1.39.0 or later",
        ),
        (false, _) => Check::pass(id, "not on ECS: nobody to ask"),
    }
}

fn imds(endpoints: &Endpoints, discovered: &Discovered) -> Check {
    let id = "instance_metadata";
    if let Some(note) = note(discovered, "instance metadata") {
        let instance = discovered.identity.instance_id.as_deref().unwrap_or("INSTANCE_ID");
        let fix = format!(
            "aws ec2 modify-instance-metadata-options --instance-id {instance} --http-tokens required \
             --http-put-response-hop-limit 2; and ECS_AWSVPC_BLOCK_IMDS must not be true on the instance"
        );
        return Check::lacks(State::Warn, id, note, fix);
    }
    if endpoints.imds.is_none() {
        return Check::pass(id, "not on EC2, or turned off: nobody to ask");
    }
    let networks: Vec<_> = discovered.identity.vpc_networks.iter().map(ToString::to_string).collect();
    Check::pass(id, format!("the VPC's prefixes: {}", networks.join(", ")))
}

fn resolved(name: &str) -> Check {
    match names::resolve(name) {
        Ok(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            Check::pass("nlb_name", format!("{name} has the addresses {}", addresses.join(", ")))
        }
        Err(error) => Check::lacks(
            State::Fail,
            "nlb_name",
            error.to_string(),
            "copy the DNS name from: aws elbv2 describe-load-balancers --query 'LoadBalancers[].DNSName'",
        ),
    }
}

/// `is_sent`: lines go to CloudWatch Logs directly; `variable` is the first mark of a source of credentials.
fn credentials(is_sent: bool, variable: Option<&str>, has_instance: bool, home: Home) -> Check {
    let id = "credentials";
    match (is_sent, variable) {
        (false, _) => Check::pass(id, "none needed: nothing is sent to CloudWatch Logs directly"),
        (true, Some(name)) => {
            Check::pass(id, format!("{name} is set; whether it may write shows when it does"))
        }
        (true, None) if has_instance => {
            Check::pass(id, "none in the environment; the instance's role is tried")
        }
        (true, None) => Check::lacks(
            State::Warn,
            id,
            "no source of AWS credentials in the environment: CloudWatch Logs will refuse the lines",
            home.credentials(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_missed_only_where_lines_are_sent() {
        let state =
            |is_sent, variable, has_instance| credentials(is_sent, variable, has_instance, Home::Ecs).state;
        assert_eq!(state(false, None, false), State::Pass);
        assert_eq!(state(true, Some("AWS_PROFILE"), false), State::Pass);
        assert_eq!(state(true, None, true), State::Pass);
        assert_eq!(state(true, None, false), State::Warn);
        let fix = credentials(true, None, false, Home::Ecs).fix;
        assert!(fix.is_some_and(|fix| fix.contains("taskRoleArn")));
    }
}
