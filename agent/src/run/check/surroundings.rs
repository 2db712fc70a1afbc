//! What the platform offers: metadata, names, credentials. Nothing here is needed to observe.

use std::time::Duration;

use crate::{
    discover::{Discovered, Endpoints, names},
    domain::check::{Check, State},
    run::check::home::Home,
    settings::Settings,
    ship::cloudwatch,
};

/// How long to look for credentials: the instance may not answer.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything about the surroundings.
pub fn checks(settings: &Settings, endpoints: &Endpoints, discovered: &Discovered, home: Home) -> Vec<Check> {
    let mut checks = vec![ecs(endpoints, discovered, home), imds(endpoints, discovered)];
    checks.extend(settings.names().iter().map(|name| resolved(name)));
    let looked = settings.cloudwatch.is_some().then(|| cloudwatch::credentials(CREDENTIALS_TIMEOUT));
    checks.push(credentials(looked, home));
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

/// `looked`: what was found, where lines go to CloudWatch Logs directly.
fn credentials(looked: Option<Result<String, String>>, home: Home) -> Check {
    let id = "credentials";
    match looked {
        None => Check::pass(id, "none needed: nothing is sent to CloudWatch Logs directly"),
        Some(Ok(found)) => Check::pass(id, found),
        Some(Err(error)) => Check::lacks(
            State::Warn,
            id,
            format!("nothing can be sent to CloudWatch Logs: {error}"),
            home.credentials(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_missed_only_where_lines_are_sent() {
        let state = |looked| credentials(looked, Home::Ecs).state;
        assert_eq!(state(None), State::Pass);
        assert_eq!(state(Some(Ok("there are".to_owned()))), State::Pass);
        assert_eq!(state(Some(Err("there are none".to_owned()))), State::Warn);
        let fix = credentials(Some(Err(String::new())), Home::Ecs).fix;
        assert!(fix.is_some_and(|fix| fix.contains("taskRoleArn")));
    }
}
