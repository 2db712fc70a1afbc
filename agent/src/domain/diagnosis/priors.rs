//! What the operator said of the health check and what is seen of it, where the two differ. What is seen holds.

use std::time::Duration;

use crate::domain::{
    class::{ClientIp, Role, SourceClass},
    diagnosis::{Case, list},
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    health::Protocol,
    sample::TallyKey,
    stage::{Place, Stage},
    track::{ENOUGH, Track},
};

/// What was given and does not hold, a sentence each.
pub fn corrections(case: &Case<'_>) -> Vec<String> {
    let given = &case.history.watch;
    let overturned = given.health_interval.filter(|_| case.history.is_interval_overturned());
    let interval = overturned.and_then(|given| wrong_interval(case, given));
    let protocol = given.health_protocol.and_then(|given| wrong_protocol(case, given));
    let port = case.history.overturned_health_port().map(|(given, seen)| {
        format!(
            "--health-port {given} was given, but no node comes there and health checks come to port {seen}: conclusions rest \
             on what is seen"
        )
    });
    let others = [no_nlb(case), interval, protocol, port, own_addresses(case)];
    others.into_iter().flatten().collect()
}

/// The name is that of another kind of load balancer. Its nodes probe alike, come and go, and speak for clients themselves.
fn no_nlb(case: &Case<'_>) -> Option<String> {
    let name = case.sources.name_of_no_nlb()?;
    Some(format!(
        "--nlb {name} is the name of an ALB or a Classic Load Balancer (an NLB's is NAME-ID.elb.REGION.amazonaws.com): its nodes come \
         and go, and open connections of their own for clients, which so have the nodes' addresses whatever --client-ip says; \
         where advice names the NLB or its security group, it is that load balancer's"
    ))
}

/// Clients were said to carry the nodes' addresses, and named ones came with their own.
fn own_addresses(case: &Case<'_>) -> Option<String> {
    let came = |(key, track): &(TallyKey, &Track)| {
        case.sources.role(key.slot) == Role::Client && track.total.established > 0
    };
    let came: Vec<_> = case.history.tracks().filter(came).collect();
    let connections: u64 = came.iter().map(|(_, track)| track.total.established).sum();
    if case.history.watch.priors.client_ip != ClientIp::Translated || connections < ENOUGH {
        return None;
    }
    let mut sources: Vec<_> = came.iter().map(|(key, _)| case.sources.label(key.slot)).collect();
    sources.dedup();
    Some(format!(
        "--client-ip translated was given, but {connections} connections came from {} with addresses of their own: client IP \
         preservation is on, or they do not come through the NLB; conclusions rest on what is seen",
        list(&sources)
    ))
}

/// Why nobody can be sure that the health checks that are seen are the ones that count.
pub fn doubt(case: &Case<'_>) -> Option<String> {
    let (given, seen) = case.history.overturned_health_port()?;
    (!case.history.is_seen_health_port_said(case.sources)).then(|| {
        format!(
            "no SYN from any NLB node to --health-port {given}, and connections like TCP health checks to port {seen}; a node's \
             connectivity tests for a TLS listener look like that, too: say with --health-port {seen} that they are the health \
             checks"
        )
    })
}

/// Adds that the health check port is not the one that was given: to what is said of the addresses that health checks and
/// clients share there, or for itself.
pub fn examine(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let Some((given, seen)) = case.history.overturned_health_port() else { return };
    let is_probed = |(key, track): &(TallyKey, &Track)| {
        key.port == seen && case.sources.role(key.slot) == Role::Node && track.total.probes() > 0
    };
    let probed: Vec<_> = case.history.tracks().filter(is_probed).collect();
    let Some((first, _)) = probed.first() else { return };
    let sources: Vec<_> = probed.iter().map(|(key, _)| case.sources.label(key.slot)).collect();
    let probes = probed.iter().map(|(_, track)| track.total.probes()).sum();
    let evidence = [
        Fact::count("health_port_given", given.into(), FactOrigin::Settings),
        Fact::count("health_port_seen", seen.into(), FactOrigin::Hook),
    ];
    let is_shared = |finding: &&mut Finding| (finding.code, finding.port) == (Code::SharedSource, Some(seen));
    if let Some(shared) = findings.iter_mut().find(is_shared) {
        shared.summary.push_str(&format!(", although --health-port {given} was given, where none comes"));
        shared.evidence.extend(evidence);
        return;
    }
    let is_said = case.history.is_seen_health_port_said(case.sources);
    findings.push(Finding {
        code: Code::SharedSource,
        severity: Severity::Note,
        confidence: if is_said { Confidence::Proven } else { Confidence::Inferred },
        class: case.history.class(*first, case.sources),
        port: Some(seen),
        stage: Stage::Arrived,
        place: Place::BeforeThisHost,
        summary: format!(
            "health checks come from {} to port {seen}, {probes} so far, although --health-port {given} was given, where none \
             comes",
            list(&sources),
        ),
        advice: case.facts().health_port(given, seen),
        evidence: [Fact::count("probe_connections", probes, FactOrigin::Hook)].into_iter().chain(evidence).collect(),
        sources,
    });
}

/// Sources of nothing but health checks of which something is told, and what is told of the first.
fn told<T>(case: &Case<'_>, tell: impl Fn(TallyKey, &Track) -> Option<T>) -> Option<(String, T)> {
    let groups = case.groups().into_iter().filter(|group| group.class == SourceClass::NlbProbe);
    let checkers = groups.flat_map(|group| group.members);
    let (labels, all): (Vec<_>, Vec<_>) =
        checkers.filter_map(|(key, track)| Some((case.sources.label(key.slot), tell(key, track)?))).unzip();
    Some((list(&labels), all.into_iter().next()?))
}

fn wrong_interval(case: &Case<'_>, given: Duration) -> Option<String> {
    let (labels, seen) = told(case, |key, _| case.history.pace(key, case.sources))?;
    Some(format!(
        "--health-interval {} was given, but health checks of {labels} come every {:.1} s: conclusions rest on what is seen",
        humantime::format_duration(given),
        seen.as_secs_f64()
    ))
}

fn wrong_protocol(case: &Case<'_>, given: Protocol) -> Option<String> {
    let (labels, seen) = told(case, |_, track| spoken(track).filter(|seen| *seen != given))?;
    let what = match seen {
        Protocol::Tcp => "open a connection and close it without a word",
        Protocol::Http => "are HTTP in the clear",
        Protocol::Https => "are encrypted",
    };
    let given = given.name();
    Some(format!(
        "--health-protocol {given} was given, but health checks of {labels} {what}: conclusions rest on what is seen"
    ))
}

/// What the health checks of a source speak, once enough have ended.
fn spoken(track: &Track) -> Option<Protocol> {
    let total = &track.total;
    let answers = &total.answers;
    let in_clear = answers.http_answers + answers.probes_given_up;
    if total.tls_openings >= ENOUGH {
        Some(Protocol::Https)
    } else if in_clear >= ENOUGH {
        Some(Protocol::Http)
    } else {
        // One that is cut before it was answered may have been any of them.
        let is_bare = total.tls_openings + in_clear + answers.probes_cut + answers.tls_alerts == 0;
        (is_bare && total.probes_served >= ENOUGH).then_some(Protocol::Tcp)
    }
}
