//! Where a target lives, in AWS and on its host: what the commands in an advice are filled in with. Everything is optional.

use ipnet::IpNet;

use crate::domain::{identity::Identity, workload::Workload};

/// What is known. Names hold nothing that a shell would not take for part of a word, because people paste commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// AWS region.
    pub region: Option<String>,
    /// ECS cluster.
    pub cluster: Option<String>,
    /// ECS service.
    pub service: Option<String>,
    /// Task definition, `FAMILY:REVISION`.
    pub task_definition: Option<String>,
    /// VPC.
    pub vpc_id: Option<String>,
    /// EC2 instance.
    pub instance_id: Option<String>,
    /// CIDRs of the task's subnet.
    pub subnets: Vec<IpNet>,
    /// The watched interface.
    pub interface: Option<String>,
}

impl Site {
    /// What the platform says of a task, and the container agent of one that was found on the node.
    pub fn new(identity: &Identity, workload: &Workload, interface: &str) -> Self {
        let known = |name: &Option<String>| name.as_deref().and_then(word);
        let region_of_arn =
            || workload.task.as_deref()?.strip_prefix("arn:")?.split(':').nth(2).and_then(word);
        let task_definition = identity.family.as_deref().zip(identity.revision.as_deref());
        Self {
            region: known(&identity.region).or_else(region_of_arn),
            cluster: workload.cluster().and_then(word).or_else(|| known(&identity.cluster)),
            service: known(&identity.service),
            task_definition: task_definition
                .map(|(family, revision)| format!("{family}:{revision}"))
                .or_else(|| workload.family.clone())
                .as_deref()
                .and_then(word),
            vpc_id: known(&identity.vpc_id),
            instance_id: known(&identity.instance_id),
            subnets: identity.subnets.clone(),
            interface: word(interface),
        }
    }
}

/// A name, if it can stand in a command as it is. Those of a task's own namespace are whatever its owner likes.
pub fn word(name: &str) -> Option<String> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_.:/@".contains(character);
    let is_word = !name.is_empty() && !name.starts_with('-') && name.chars().all(is_plain);
    is_word.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_on_the_node_is_placed_by_its_arn() {
        let workload = Workload {
            task: Some("arn:aws:ecs:eu-west-1:111122223333:task/main/0123abcd".to_owned()),
            family: Some("orders".to_owned()),
            ..Workload::default()
        };
        let site = Site::new(&Identity::default(), &workload, "eth0");
        assert_eq!((site.region.as_deref(), site.cluster.as_deref()), (Some("eu-west-1"), Some("main")));
        assert_eq!((site.task_definition.as_deref(), site.service), (Some("orders"), None));
        assert_eq!(Site::new(&Identity::default(), &Workload::default(), ""), Site::default());
    }

    #[test]
    fn what_a_shell_would_take_for_more_than_a_word_is_not_known() {
        assert_eq!(word("eth0.104").as_deref(), Some("eth0.104"));
        for name in ["", "a b", "$(reboot)", "a;b", "`id`", "a'b", "-rf", "a\nb", "a>b"] {
            assert_eq!(word(name), None, "{name}");
        }
        let identity = Identity { service: Some("$(reboot)".to_owned()), ..Identity::default() };
        assert_eq!(Site::new(&identity, &Workload::default(), "eth0; id"), Site::default());
    }
}
