//! Where the agent runs, and how one says there what it lacks.

use std::path::Path;

use crate::discover::ecs;

/// Where the agent runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// A container of an ECS task.
    Ecs,
    /// A pod.
    Kubernetes,
    /// A systemd service.
    Systemd,
    /// Started by hand, or by something else.
    Shell,
}

impl Home {
    /// As the environment says: each of them leaves its mark there.
    pub fn find() -> Self {
        let has = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if has(ecs::VARIABLE) || has("ECS_CONTAINER_METADATA_URI") {
            Self::Ecs
        } else if has("KUBERNETES_SERVICE_HOST") {
            Self::Kubernetes
        } else if has("INVOCATION_ID") && Path::new("/run/systemd/system").exists() {
            Self::Systemd
        } else {
            Self::Shell
        }
    }

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ecs => "a container of an ECS task",
            Self::Kubernetes => "a Kubernetes pod",
            Self::Systemd => "a systemd service",
            Self::Shell => "started by hand: neither ECS, Kubernetes nor systemd shows",
        }
    }

    /// Gives the capabilities that loading and hooking up take. ECS knows neither BPF nor PERFMON (KernelCapabilities, ECS
    /// API reference).
    pub const fn capabilities(self) -> &'static str {
        match self {
            Self::Ecs => {
                r#"in the agent's container definition (EC2; Fargate does not allow it): "user": "0", "linuxParameters": {"capabilities": {"add": ["SYS_ADMIN", "NET_ADMIN", "SYS_RESOURCE"]}}"#
            }
            Self::Kubernetes => {
                "in the container: securityContext: {runAsUser: 0, capabilities: {add: [BPF, PERFMON, NET_ADMIN]}}"
            }
            Self::Systemd => {
                "in [Service]: AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN, and the same in CapabilityBoundingSet where it is set"
            }
            Self::Shell => "start it as root: sudo agent ...",
        }
    }

    /// Lets other network namespaces be entered.
    pub const fn joining(self) -> &'static str {
        match self {
            Self::Ecs => {
                r#"in the agent's container definition: "linuxParameters": {"capabilities": {"add": ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"]}}, and "pidMode": "host" in the task definition"#
            }
            Self::Kubernetes => {
                "in the pod: hostPID: true, and in the container: securityContext: {capabilities: {add: [SYS_ADMIN, SYS_PTRACE, NET_ADMIN]}}"
            }
            Self::Systemd => {
                "in [Service]: AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN CAP_SYS_ADMIN CAP_SYS_PTRACE, the same in CapabilityBoundingSet, and RestrictNamespaces=net (deploy/systemd/node.conf)"
            }
            Self::Shell => "start it as root: sudo agent ...",
        }
    }

    /// Raises the limit of locked memory.
    pub const fn memlock(self) -> &'static str {
        match self {
            Self::Ecs => {
                r#"in the agent's container definition: "ulimits": [{"name": "memlock", "softLimit": -1, "hardLimit": -1}]"#
            }
            Self::Kubernetes => "in the container: securityContext: {capabilities: {add: [SYS_RESOURCE]}}",
            Self::Systemd => "in [Service]: LimitMEMLOCK=infinity",
            Self::Shell => "ulimit -l unlimited",
        }
    }

    /// Gives credentials for sending to CloudWatch Logs.
    pub const fn credentials(self) -> &'static str {
        match self {
            Self::Ecs => {
                r#"in the task definition: "taskRoleArn": "arn:aws:iam::ACCOUNT:role/ROLE", a role that may logs:CreateLogStream and logs:PutLogEvents"#
            }
            Self::Kubernetes => {
                "aws eks create-pod-identity-association --cluster-name CLUSTER --namespace NAMESPACE --service-account ACCOUNT --role-arn ROLE"
            }
            Self::Systemd => {
                "give the instance a role (instance profile), or in [Service]: Environment=AWS_PROFILE=NAME"
            }
            Self::Shell => "aws configure, and export AWS_PROFILE=NAME",
        }
    }

    /// Brings a kernel with type information.
    pub const fn btf(self) -> &'static str {
        match self {
            Self::Ecs => {
                "use the ECS-optimized Amazon Linux 2023 or Bottlerocket image for the container instances; their kernels have it"
            }
            Self::Kubernetes => {
                "use nodes whose kernel has CONFIG_DEBUG_INFO_BTF=y (Amazon Linux 2023, Bottlerocket), and leave /sys mounted"
            }
            Self::Systemd | Self::Shell => {
                "boot a kernel with CONFIG_DEBUG_INFO_BTF=y, and mount sysfs on /sys"
            }
        }
    }
}
