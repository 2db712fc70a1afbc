//! The EC2 instance metadata service, version 2: what only the host knows, above all the VPC's prefixes.
//!
//! A task may not reach it: its network mode, a hop limit of one or `ECS_AWSVPC_BLOCK_IMDS` may be in between. Silence is
//! as common as an answer.

use std::{
    fs,
    net::IpAddr,
    time::{Duration, Instant},
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

/// Where the official SDKs look for another address of the service.
pub const ENDPOINT_VARIABLE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

/// What makes the official SDKs leave the service alone.
pub const DISABLED_VARIABLE: &str = "AWS_EC2_METADATA_DISABLED";

/// Address of the service on every instance.
pub const ADDRESS: &str = "http://169.254.169.254";

/// Time for all questions together.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Longest answer.
const MAX_BYTES: usize = 64 * 1024;

/// Interfaces that are looked at; an instance has fifteen at most, with few exceptions.
const MAX_INTERFACES: usize = 32;

/// The token's life; it is used at once.
const TOKEN_TTL: (&str, &str) = ("X-aws-ec2-metadata-token-ttl-seconds", "60");

const TOKEN: &str = "X-aws-ec2-metadata-token";

/// Whether this machine is an EC2 instance as far as its firmware says, so that nobody else's is asked.
pub fn is_ec2() -> bool {
    let holds = |path: &str, start: &str| fs::read_to_string(path).is_ok_and(|text| text.starts_with(start));
    holds("/sys/class/dmi/id/sys_vendor", "Amazon EC2")
        || holds("/sys/class/dmi/id/board_vendor", "Amazon EC2")
        || holds("/sys/hypervisor/uuid", "ec2")
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Document {
    account_id: String,
    region: String,
    availability_zone: String,
    instance_id: String,
}

/// Asks the service about the instance and, of its interfaces, the one with an address of the task, else the first one
/// if it is in the same VPC. `task` is what is known already.
///
/// # Errors
///
/// When there is no token in time, which means that nothing else would be answered.
pub fn instance(endpoint: &str, task: &Identity) -> Result<Identity, HttpError> {
    let service = Service::open(&Url::parse(endpoint)?)?;
    Ok(read(task, |path| service.get(path)))
}

/// The same from the service's pages, by their path; `None` for one that is not there. What does not look as expected is left out.
pub fn read(task: &Identity, page: impl Fn(&str) -> Option<String>) -> Identity {
    let document = page("dynamic/instance-identity/document");
    let document: Document = document.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let mut found = Identity {
        account_id: clean(&document.account_id),
        region: clean(&document.region),
        availability_zone: clean(&document.availability_zone),
        instance_id: clean(&document.instance_id),
        ..Identity::default()
    };
    if let Some(mac) = interface_of(&task.task_addresses, &page) {
        let of_interface = |name: &str| page(&path_of(&mac, name));
        let vpc = of_interface("vpc-id").and_then(|text| clean(text.trim()));
        if task.vpc_id.is_none() || task.vpc_id == vpc {
            found.vpc_id = vpc;
            found.vpc_networks = ["vpc-ipv4-cidr-blocks", "vpc-ipv6-cidr-blocks"]
                .into_iter()
                .filter_map(of_interface)
                .flat_map(|text| networks(&text))
                .collect();
        }
    }
    found
}

/// The service, with a token.
struct Service {
    root: Url,
    token: String,
    deadline: Instant,
}

impl Service {
    fn open(endpoint: &Url) -> Result<Self, HttpError> {
        let root = endpoint.below("latest");
        let deadline = Instant::now() + TIMEOUT;
        let request = Request {
            method: "PUT",
            url: &root.below("api/token"),
            headers: &[TOKEN_TTL],
            timeout: TIMEOUT,
            max_bytes: 1024,
        };
        let token = String::from_utf8_lossy(&request.perform()?).trim().to_owned();
        // It goes into a header.
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(request.malformed("the token is no word"));
        }
        Ok(Self { root, token, deadline })
    }

    /// The text behind a path; `None` when it is not there, or time is up.
    fn get(&self, path: &str) -> Option<String> {
        let timeout = self.deadline.checked_duration_since(Instant::now())?;
        let url = self.root.below(path);
        let headers = [(TOKEN, self.token.as_str())];
        let request = Request { method: "GET", url: &url, headers: &headers, timeout, max_bytes: MAX_BYTES };
        let answer = request.perform().map_err(|error| log::debug!("instance metadata: {error}")).ok()?;
        String::from_utf8(answer).ok()
    }
}

fn path_of(mac: &str, name: &str) -> String {
    format!("meta-data/network/interfaces/macs/{mac}/{name}")
}

/// MAC of the interface that has one of these addresses, else of the instance's first one.
fn interface_of(addresses: &[IpAddr], page: impl Fn(&str) -> Option<String>) -> Option<String> {
    let has_one = |mac: &str| {
        ["local-ipv4s", "ipv6s"].into_iter().any(|name| {
            let text = page(&path_of(mac, name)).unwrap_or_default();
            text.lines().filter_map(|line| line.trim().parse().ok()).any(|held| addresses.contains(&held))
        })
    };
    let list = if addresses.is_empty() { None } else { page("meta-data/network/interfaces/macs/") };
    let macs = list.as_deref().unwrap_or_default().lines().map(|line| line.trim_end_matches('/'));
    let of_task = macs.filter(|mac| is_mac(mac)).take(MAX_INTERFACES).find(|mac| has_one(mac));
    of_task.map(str::to_owned).or_else(|| page("meta-data/mac")).filter(|mac| is_mac(mac))
}

/// It becomes part of a path.
fn is_mac(text: &str) -> bool {
    text.len() == 17 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
}

fn networks(text: &str) -> Vec<IpNet> {
    text.lines()
        .filter_map(|line| line.trim().parse::<IpNet>().ok())
        .map(|net| net.trunc())
        .take(16)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_into_a_path_is_checked() {
        assert!(is_mac("0e:10:e2:01:bd:91"));
        for text in ["", "0e:10:e2:01:bd:9", "../../../../../.", "0e:10:e2:01:bd:91/"] {
            assert!(!is_mac(text), "{text}");
        }
    }

    #[test]
    fn lists_of_prefixes_are_read_and_nonsense_is_left_out() {
        let texts: Vec<_> =
            networks("10.0.0.0/16\nnonsense\n100.64.0.9/16\n").iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.0/16", "100.64.0.0/16"]);
    }
}
