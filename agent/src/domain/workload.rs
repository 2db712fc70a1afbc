//! Who lives in a network namespace, as the orchestrator names it.

/// A task or a pod, and the container in it that was looked at. What is not known is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// ECS task: its ARN where the container agent tells it, else its id.
    pub task: Option<String>,
    /// Family of the task definition.
    pub family: Option<String>,
    /// Uid of the Kubernetes pod.
    pub pod: Option<String>,
    /// Container: its name in the task definition where that is known, else its id.
    pub container: Option<String>,
}

/// As many digits of an id as Docker shows.
const SHORT: usize = 12;

impl Workload {
    /// Id of the task, the last part of its ARN.
    pub fn task_id(&self) -> Option<&str> {
        self.task.as_deref().and_then(|task| task.rsplit('/').next())
    }

    /// Name of the task's cluster, where the ARN has it: `arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID`.
    pub fn cluster(&self) -> Option<&str> {
        let (_, path) = self.task.as_deref()?.split_once(":task/")?;
        path.split_once('/').map(|(cluster, _)| cluster)
    }

    /// One phrase for people, such as `task 0123abcd (orders), container web`; `None` when nothing is known.
    pub fn phrase(&self) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(id) = self.task_id() {
            let family = self.family.as_ref().map(|family| format!(" ({family})")).unwrap_or_default();
            parts.push(format!("task {id}{family}"));
        }
        parts.extend(self.pod.as_ref().map(|pod| format!("pod {pod}")));
        parts.extend(self.container.as_ref().map(|container| {
            let is_id = container.len() == 64 && container.bytes().all(|byte| byte.is_ascii_hexdigit());
            format!("container {}", if is_id { &container[..SHORT] } else { container })
        }));
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_short_ids_and_names() {
        assert_eq!(Workload::default().phrase(), None);
        let by_id = Workload {
            task: Some("0123abcd".to_owned()),
            container: Some("ab".repeat(32)),
            ..Workload::default()
        };
        assert_eq!(by_id.phrase().as_deref(), Some("task 0123abcd, container abababababab"));
        let named = Workload {
            task: Some("arn:aws:ecs:eu-west-1:111122223333:task/main/0123abcd".to_owned()),
            family: Some("orders".to_owned()),
            container: Some("web".to_owned()),
            pod: None,
        };
        assert_eq!(named.phrase().as_deref(), Some("task 0123abcd (orders), container web"));
        assert_eq!((named.cluster(), named.task_id()), (Some("main"), Some("0123abcd")));
        assert_eq!((by_id.cluster(), by_id.task_id()), (None, Some("0123abcd")));
        let old = Workload { task: Some("arn:aws:ecs:eu-west-1:1:task/0123abcd".to_owned()), ..by_id };
        assert_eq!(
            (old.cluster(), old.task_id()),
            (None, Some("0123abcd")),
            "ARNs before 2018 name no cluster"
        );
    }
}
