//! Who the watched task is and where it lives, as the platform says. Everything is optional: the agent works without.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use serde::{Serialize, Serializer};

/// What the platform says about the task and its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// ECS cluster, its short name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// ECS service; a task that was run by hand has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Family of the task definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Revision of the task definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Task id, the last part of its ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// AWS region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// AWS account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Zone by its name, such as `eu-west-1a`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    /// VPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    /// EC2 instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The task's own addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub task_addresses: Vec<IpAddr>,
    /// CIDRs of the task's subnet.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_texts")]
    pub subnets: Vec<IpNet>,
    /// CIDRs of the VPC.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_texts")]
    pub vpc_networks: Vec<IpNet>,
    /// When the first of the task's containers started; RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_started_at: Option<String>,
    /// How long ago that was when it was asked for.
    #[serde(skip)]
    pub task_age: Option<Duration>,
}

/// What the operator calls those whose metrics these are. It goes before all that was discovered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// Cluster.
    pub cluster: Option<String>,
    /// Service.
    pub service: Option<String>,
}

impl Identity {
    /// Whether nothing is known at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What holds of every task on the same host: nothing of the agent's own task.
    pub fn of_host(&self) -> Self {
        Self {
            cluster: self.cluster.clone(),
            region: self.region.clone(),
            account_id: self.account_id.clone(),
            availability_zone: self.availability_zone.clone(),
            instance_id: self.instance_id.clone(),
            ..Self::default()
        }
    }

    /// What is known, for people: the task, its place, its networks.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(task) = &self.task_id {
            let mut line = format!("ECS task {task}");
            let mut add = |word: &str, value: &Option<String>| {
                if let Some(value) = value {
                    line.push_str(&format!(" {word} {value}"));
                }
            };
            add("of service", &self.service);
            add("in cluster", &self.cluster);
            if let (Some(family), Some(revision)) = (&self.family, &self.revision) {
                line.push_str(&format!(" ({family}:{revision})"));
            }
            if let Some(age) = self.task_age {
                line.push_str(&format!(", started {} s ago", age.as_secs()));
            }
            lines.push(line);
        }
        let place = [&self.instance_id, &self.availability_zone, &self.vpc_id, &self.account_id];
        let place: Vec<&str> = place.into_iter().flatten().map(String::as_str).collect();
        if !place.is_empty() {
            lines.push(format!("runs on {}", place.join(", ")));
        }
        let networks = |what: &str, networks: &[IpNet]| {
            let texts: Vec<_> = networks.iter().map(IpNet::to_string).collect();
            (!texts.is_empty()).then(|| format!("{what} {}", texts.join(", ")))
        };
        let parts: Vec<_> = networks("subnet", &self.subnets)
            .into_iter()
            .chain(networks("VPC", &self.vpc_networks))
            .collect();
        if !parts.is_empty() {
            lines.push(parts.join("; "));
        }
        lines
    }

    /// Adds what only `other` knows.
    pub fn complete_with(&mut self, other: Self) {
        let fill = |mine: &mut Option<String>, theirs| *mine = mine.take().or(theirs);
        fill(&mut self.cluster, other.cluster);
        fill(&mut self.service, other.service);
        fill(&mut self.family, other.family);
        fill(&mut self.revision, other.revision);
        fill(&mut self.task_id, other.task_id);
        fill(&mut self.region, other.region);
        fill(&mut self.account_id, other.account_id);
        fill(&mut self.availability_zone, other.availability_zone);
        fill(&mut self.vpc_id, other.vpc_id);
        fill(&mut self.instance_id, other.instance_id);
        fill(&mut self.task_started_at, other.task_started_at);
        self.task_age = self.task_age.or(other.task_age);
        if self.task_addresses.is_empty() {
            self.task_addresses = other.task_addresses;
        }
        if self.subnets.is_empty() {
            self.subnets = other.subnets;
        }
        if self.vpc_networks.is_empty() {
            self.vpc_networks = other.vpc_networks;
        }
    }
}

fn as_texts<S: Serializer>(networks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(networks.iter().map(IpNet::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_said_and_what_is_not_is_left_out() {
        let mut task = Identity {
            task_id: Some("158d".to_owned()),
            service: Some("orders".to_owned()),
            subnets: vec!["10.0.2.0/24".parse().expect("a prefix")],
            task_age: Some(Duration::from_secs(41)),
            ..Identity::default()
        };
        let place = Identity {
            service: Some("another".to_owned()),
            availability_zone: Some("us-west-2d".to_owned()),
            vpc_networks: vec!["10.0.0.0/16".parse().expect("a prefix")],
            ..Identity::default()
        };
        task.complete_with(place);
        assert_eq!(
            task.lines(),
            [
                "ECS task 158d of service orders, started 41 s ago",
                "runs on us-west-2d",
                "subnet 10.0.2.0/24; VPC 10.0.0.0/16"
            ]
        );
        let json = serde_json::to_value(&task).expect("texts and lists");
        assert_eq!(json["vpc_networks"], serde_json::json!(["10.0.0.0/16"]));
        assert_eq!((json.get("cluster"), json.get("task_age")), (None, None));
        assert!(Identity::default().lines().is_empty() && Identity::default().is_empty());
    }
}
