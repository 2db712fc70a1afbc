//! The ECS task metadata endpoint, version 4: who the task is, with no rights at all.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use ipnet::IpNet;
use serde::Deserialize;

use crate::{
    discover::{
        clean,
        http::{HttpError, Request, Url},
    },
    domain::identity::Identity,
};

/// ECS puts the endpoint's address here in every container (container agent 1.39.0 or later).
pub const VARIABLE: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// Time for the answer; the endpoint is on the same host.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Longest answer: a task has at most ten containers of about a kilobyte each, with labels of any length.
const MAX_BYTES: usize = 512 * 1024;

/// Why nothing is known.
#[derive(Debug, thiserror::Error)]
pub enum EcsError {
    /// It cannot be asked.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It answers something else.
    #[error("the answer is no task metadata: {0}")]
    Answer(#[from] serde_json::Error),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Task {
    #[serde(default)]
    cluster: String,
    #[serde(rename = "TaskARN", default)]
    task_arn: String,
    #[serde(default)]
    family: String,
    #[serde(default)]
    revision: String,
    #[serde(default)]
    service_name: String,
    #[serde(default)]
    availability_zone: String,
    #[serde(rename = "VPCID", default)]
    vpc_id: String,
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    #[serde(rename = "Type", default)]
    kind: String,
    started_at: Option<String>,
    #[serde(default)]
    networks: Vec<Network>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Network {
    #[serde(rename = "IPv4Addresses", default)]
    v4_addresses: Vec<String>,
    #[serde(rename = "IPv6Addresses", default)]
    v6_addresses: Vec<String>,
    #[serde(rename = "IPv4SubnetCIDRBlock", default)]
    v4_subnet: String,
    #[serde(rename = "IPv6SubnetCIDRBlock", default)]
    v6_subnet: String,
}

/// Asks the endpoint for the task.
///
/// # Errors
///
/// When it does not answer in time, or not with a task.
pub fn task(endpoint: &str) -> Result<Identity, EcsError> {
    let url = Url::parse(endpoint)?.below("task");
    let request = Request { method: "GET", url: &url, headers: &[], timeout: TIMEOUT, max_bytes: MAX_BYTES };
    Ok(read(&request.perform()?, SystemTime::now())?)
}

/// Reads the endpoint's answer at this time; what does not look as expected is left out.
///
/// # Errors
///
/// When it is no task.
pub fn read(answer: &[u8], now: SystemTime) -> Result<Identity, serde_json::Error> {
    Ok(identity(serde_json::from_slice(answer)?, now))
}

fn identity(task: Task, now: SystemTime) -> Identity {
    // arn:aws:ecs:REGION:ACCOUNT:task/[CLUSTER/]ID
    let arn: Vec<&str> = task.task_arn.splitn(6, ':').collect();
    let is_task = arn.first() == Some(&"arn") && arn.get(5).is_some_and(|rest| rest.starts_with("task/"));
    let of_arn = |place: usize| arn.get(place).filter(|_| is_task).copied().unwrap_or_default();
    let containers: Vec<_> = task.containers.iter().filter(|container| container.kind == "NORMAL").collect();
    let networks = || containers.iter().flat_map(|container| &container.networks);
    let started = containers
        .iter()
        .filter_map(|container| humantime::parse_rfc3339(container.started_at.as_deref()?).ok())
        .min();
    Identity {
        cluster: clean(last_part(&task.cluster)),
        service: clean(&task.service_name),
        family: clean(&task.family),
        revision: clean(&task.revision),
        task_id: clean(last_part(of_arn(5))),
        region: clean(of_arn(3)),
        account_id: clean(of_arn(4)),
        availability_zone: clean(&task.availability_zone),
        vpc_id: clean(&task.vpc_id),
        instance_id: None,
        task_addresses: distinct(
            networks()
                .flat_map(|network| network.v4_addresses.iter().chain(&network.v6_addresses))
                .filter_map(|text| text.parse::<IpAddr>().ok()),
        ),
        subnets: distinct(
            networks()
                .flat_map(|network| [&network.v4_subnet, &network.v6_subnet])
                .filter_map(|text| text.parse::<IpNet>().ok())
                .map(|network| network.trunc()),
        ),
        vpc_networks: Vec::new(),
        task_started_at: started.map(|time| humantime::format_rfc3339_millis(time).to_string()),
        // A clock that lags behind the host's makes a task that starts in the future: it is young.
        task_age: started.map(|time| now.duration_since(time).unwrap_or_default()),
    }
}

/// The short name: what is behind the last slash of an ARN.
fn last_part(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or_default()
}

/// Each once, in order; no more than any task has.
fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for one in all {
        if found.len() < MAX_NETWORKS && !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

const MAX_NETWORKS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, now: &str) -> Identity {
        let now = humantime::parse_rfc3339(now).expect("a time");
        super::read(text.as_bytes(), now).expect("a task")
    }

    /// As the endpoint answers in awsvpc mode (ECS developer guide, task metadata endpoint version 4 examples).
    const AWSVPC: &str = r#"{
        "Cluster": "arn:aws:ecs:us-west-2:111122223333:cluster/prod",
        "TaskARN": "arn:aws:ecs:us-west-2:111122223333:task/prod/158d1c8083dd49d6b527399fd6414f5c",
        "Family": "orders", "ServiceName": "orders-api", "Revision": "26",
        "PullStartedAt": "2026-10-02T00:43:06.202617438Z",
        "AvailabilityZone": "us-west-2d", "VPCID": "vpc-1234567890abcdef0", "LaunchType": "EC2",
        "Containers": [
            {"Name": "~internal~ecs~pause", "Type": "CNI_PAUSE", "StartedAt": "2026-10-02T00:43:01.076707576Z",
             "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.2.61"]}]},
            {"Name": "agent", "Type": "NORMAL", "StartedAt": "2026-10-02T00:43:08.767535449Z", "Limits": {"CPU": 10},
             "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.2.61"], "AttachmentIndex": 0,
                           "IPv6Addresses": ["2600:1f13::61"], "IPv6SubnetCIDRBlock": "2600:1f13::/64",
                           "IPv4SubnetCIDRBlock": "10.0.2.0/24", "SubnetGatewayIpv4Address": "10.0.2.1/24"}]},
            {"Name": "app", "Type": "NORMAL", "StartedAt": "2026-10-02T00:43:06.5Z",
             "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.2.61"]}]},
            {"Name": "late", "Type": "NORMAL", "StartedAt": null}
        ]}"#;

    #[test]
    fn a_task_is_read_with_its_place_and_age() {
        let task = read(AWSVPC, "2026-10-02T00:45:06.5Z");
        let text = |text: &str| Some(text.to_owned());
        assert_eq!((task.cluster, task.service), (text("prod"), text("orders-api")));
        assert_eq!((task.family, task.revision), (text("orders"), text("26")));
        assert_eq!(task.task_id, text("158d1c8083dd49d6b527399fd6414f5c"));
        assert_eq!((task.region, task.account_id), (text("us-west-2"), text("111122223333")));
        assert_eq!(task.availability_zone, text("us-west-2d"));
        assert_eq!(task.vpc_id, text("vpc-1234567890abcdef0"));
        assert_eq!(
            task.task_addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.2.61", "2600:1f13::61"]
        );
        assert_eq!(
            task.subnets.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.2.0/24", "2600:1f13::/64"]
        );
        assert_eq!(task.task_started_at, text("2026-10-02T00:43:06.500Z"));
        assert_eq!(task.task_age, Some(Duration::from_secs(120)));
    }

    #[test]
    fn bridge_mode_has_no_subnet_and_a_lagging_clock_makes_a_young_task() {
        let task = read(
            r#"{"Cluster": "default", "TaskARN": "arn:aws:ecs:eu-west-1:1:task/9781", "Containers": [
                {"Type": "NORMAL", "StartedAt": "2026-10-02T00:43:06Z",
                 "Networks": [{"NetworkMode": "bridge", "IPv4Addresses": ["172.17.0.3"]}]}]}"#,
            "2026-10-02T00:43:00Z",
        );
        assert_eq!((task.cluster.as_deref(), task.task_id.as_deref()), (Some("default"), Some("9781")));
        assert_eq!((task.service, task.subnets.len(), task.task_addresses.len()), (None, 0, 1));
        assert_eq!(task.task_age, Some(Duration::ZERO));
    }

    #[test]
    fn nonsense_is_left_out() {
        let task = read(
            r#"{"Cluster": "a\u001b[31mb", "TaskARN": "nonsense", "Family": "", "Containers": [
                {"Type": "NORMAL", "StartedAt": "yesterday", "Networks": [
                    {"IPv4Addresses": ["here"], "IPv4SubnetCIDRBlock": "10.0.2.0/99"}]}]}"#,
            "2026-10-02T00:43:00Z",
        );
        assert!(task.is_empty(), "{task:?}");
        assert!(serde_json::from_str::<Task>("[1]").is_err());
    }
}
