//! What the platform offers: metadata, names, credentials. Nothing here is needed to observe.

use std::time::Duration;

use crate::{
    discover::{Discovered, Endpoints},
    domain::{
        check::{Check, State},
        finding::Code,
    },
    run::{
        check::home::Home,
        names::{Asked, ask_once},
    },
    settings::Settings,
    ship::cloudwatch,
};

/// How long to look for credentials: the instance may not answer.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(5);

/// What it costs that the task's metadata is not there.
const WITHOUT_TASK: &str = "lost with it: cluster and service of metrics (they are called unknown), the interface that has \
    the task's address, the NLB's node of the own zone, and that a task is too young to be registered";

/// What it costs that the instance's metadata is not there.
const WITHOUT_INSTANCE: &str = "lost with it: the VPC's prefixes, so that a sender with a private address outside the VPC \
    may be taken for an NLB's node where no --nlb is named, and zone and instance where no ECS task tells them";

/// What cannot be found of nodes that nobody knows.
const OF_NODES: [Code; 4] =
    [Code::ProbesMissing, Code::ProbesStopped, Code::ProbesPartial, Code::ProbesOtherPort];

/// Everything about the surroundings.
pub fn checks(settings: &Settings, endpoints: &Endpoints, discovered: &Discovered, home: Home) -> Vec<Check> {
    let mut checks = vec![ecs(endpoints, discovered, home), imds(endpoints, discovered)];
    let asked = ask_once(&settings.names(), settings.on_blind);
    checks.extend(asked.iter().map(|(name, asked)| resolved(name, asked)));
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
        return Check::lacks(State::Warn, id, format!("{note}; {WITHOUT_TASK}"), fix);
    }
    match (endpoints.ecs.is_some(), home) {
        (true, _) => Check::pass(id, discovered.identity.lines().into_iter().next().unwrap_or_default()),
        (false, Home::Ecs) => Check::lacks(
            State::Warn,
            id,
            format!("ECS_CONTAINER_METADATA_URI_V4 is not set; {WITHOUT_TASK}"),
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
        return Check::lacks(State::Warn, id, format!("{note}; {WITHOUT_INSTANCE}"), fix);
    }
    if endpoints.imds.is_none() {
        return Check::pass(id, "not on EC2, or turned off: nobody to ask");
    }
    let networks: Vec<_> = discovered.identity.vpc_networks.iter().map(ToString::to_string).collect();
    Check::pass(id, format!("the VPC's prefixes: {}", networks.join(", ")))
}

fn resolved(name: &str, asked: &Asked) -> Check {
    let lacks =
        |state, found: String, fix: &str| Check::lacks(state, "nlb_name", found, fix).blinds(&OF_NODES);
    // What it costs: absence of health checks is only seen of nodes that are known.
    let goes_on =
        "trace goes on, asks again every minute, and does not miss health checks of this NLB until then";
    let copy = "copy the DNS name from: aws elbv2 describe-load-balancers --query 'LoadBalancers[].DNSName'";
    let reach = "let the name server in /etc/resolv.conf be reached (UDP and TCP port 53), or give the NLB's addresses: --nlb ADDRESS";
    match asked {
        Asked::Found(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            Check::pass("nlb_name", format!("{name} has the addresses {}", addresses.join(", ")))
        }
        Asked::Ends(error) => lacks(State::Fail, format!("{error}; trace would end"), copy),
        Asked::Later(error) if error.is_passing() => lacks(State::Warn, format!("{error}; {goes_on}"), reach),
        Asked::Later(error) => lacks(State::Warn, format!("{error}; {goes_on}"), copy),
        Asked::Silence => {
            lacks(State::Warn, format!("resolving --nlb {name}: no name server answers; {goes_on}"), reach)
        }
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
            format!(
                "nothing can be sent to CloudWatch Logs: {error}; its lines would be lost and counted \
                 (shipping_lines), and standard output has them all the same"
            ),
            home.credentials(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::discover::names::ResolveError;

    #[test]
    fn credentials_are_missed_only_where_lines_are_sent() {
        let state = |looked| credentials(looked, Home::Ecs).state;
        assert_eq!(state(None), State::Pass);
        assert_eq!(state(Some(Ok("there are".to_owned()))), State::Pass);
        assert_eq!(state(Some(Err("there are none".to_owned()))), State::Warn);
        let lost = credentials(Some(Err(String::new())), Home::Ecs);
        assert!(lost.found.contains("lost and counted"), "{lost:?}");
        assert!(lost.fix.is_some_and(|fix| fix.contains("taskRoleArn")));
    }

    #[test]
    fn metadata_that_does_not_answer_says_what_is_lost_with_it() {
        let endpoints = Endpoints {
            ecs: Some("http://127.0.0.1:9".to_owned()),
            imds: Some("http://127.0.0.1:9".to_owned()),
        };
        let notes = ["ECS task metadata: refused", "instance metadata: refused"].map(str::to_owned).to_vec();
        let mut discovered = Discovered::nothing();
        discovered.notes = notes;
        for (check, lost) in [
            (ecs(&endpoints, &discovered, Home::Ecs), "cluster and service"),
            (ecs(&Endpoints::default(), &Discovered::nothing(), Home::Ecs), "cluster and service"),
            (imds(&endpoints, &discovered), "the VPC's prefixes"),
        ] {
            assert!(check.state == State::Warn && check.found.contains(lost), "{check:?}");
        }
    }

    #[test]
    fn a_name_fails_only_where_trace_would_end_for_it() {
        let error = |text| ResolveError { name: "nlb.example".to_owned(), source: io::Error::other(text) };
        for (asked, state, words) in [
            (Asked::Found(["10.0.1.1".parse().expect("an address")].into()), State::Pass, "10.0.1.1"),
            (Asked::Ends(error("Name or service not known")), State::Fail, "trace would end"),
            (Asked::Later(error("Name or service not known")), State::Warn, "trace goes on"),
            (Asked::Later(error("Temporary failure in name resolution")), State::Warn, "trace goes on"),
            (Asked::Silence, State::Warn, "no name server answers"),
        ] {
            let check = resolved("nlb.example", &asked);
            assert!(check.state == state && check.found.contains(words), "{check:?}");
            assert_eq!(check.blind.is_empty(), state == State::Pass, "{check:?}");
        }
    }
}
