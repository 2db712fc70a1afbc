//! Which task, pod and container a process belongs to, from the path of its control group. No rights are needed.

use crate::domain::workload::Workload;

/// Reads `/proc/PID/cgroup`.
///
/// The forms: ECS `/ecs/TASK/CONTAINER` and, with control groups v2, `/ecstasks.slice/ecstasks-TASK.slice/docker-ID.scope`
/// (aws/amazon-ecs-agent, agent/config/config_unix.go and agent/api/task/task_linux.go); Kubernetes
/// `.../kubepods-burstable-podUID.slice/cri-containerd-ID.scope` and `.../podUID/ID`; Docker alone `/docker/ID` and
/// `docker-ID.scope`. An agent with a control group namespace of its own sees `/../` in front.
pub fn of_cgroup(text: &str) -> Workload {
    let mut found = Workload::default();
    for line in text.lines() {
        // hierarchy:controllers:path
        let Some(path) = line.splitn(3, ':').nth(2) else { continue };
        let mut before = "";
        for part in path.split('/') {
            let unit = part.strip_suffix(".slice").or_else(|| part.strip_suffix(".scope")).unwrap_or(part);
            if let Some(task) = unit.strip_prefix("ecstasks-").filter(|task| is_id(task)) {
                found.task = Some(task.to_owned());
            } else if before == "ecs" && is_id(unit) {
                found.task = Some(unit.to_owned());
            }
            if let Some(pod) = unit.rsplit("pod").next().filter(|uid| unit.contains("pod") && is_uid(uid)) {
                found.pod = Some(pod.replace('_', "-"));
            }
            let id = unit.rsplit('-').next().unwrap_or(unit);
            if id.len() == CONTAINER_ID_DIGITS && is_hex(id) {
                found.container = Some(id.to_owned());
            }
            before = part;
        }
        if found != Workload::default() {
            break;
        }
    }
    found
}

const CONTAINER_ID_DIGITS: usize = 64;

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Task ids are 32 hexadecimal digits, or a UUID in the format before 2018.
fn is_id(text: &str) -> bool {
    text.len() >= 32 && is_hex(&text.replace('-', ""))
}

/// systemd allows no dash in this place of a name, so it is `_` there.
fn is_uid(text: &str) -> bool {
    text.len() == 36 && is_hex(&text.replace(['-', '_'], ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "0123456789abcdef0123456789abcdef";
    const POD: &str = "6f1c9d3e-1111-2222-3333-0123456789ab";

    fn id() -> String {
        "ab".repeat(32)
    }

    #[test]
    fn ecs_tasks_and_containers_are_named_with_both_kinds_of_control_groups() {
        for text in [
            format!("12:memory:/ecs/{TASK}/{}\n11:cpu:/ecs/{TASK}/{}\n", id(), id()),
            format!("0::/ecstasks.slice/ecstasks-{TASK}.slice/docker-{}.scope\n", id()),
            format!("0::/../../ecstasks-{TASK}.slice/docker-{}.scope\n", id()),
        ] {
            let found = of_cgroup(&text);
            assert_eq!((found.task.as_deref(), found.container), (Some(TASK), Some(id())), "{text}");
        }
    }

    #[test]
    fn pods_are_named_whichever_driver_made_the_path() {
        for path in [
            format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice/cri-containerd-{}.scope",
                POD.replace('-', "_"),
                id()
            ),
            format!("/kubepods/besteffort/pod{POD}/{}", id()),
        ] {
            let found = of_cgroup(&format!("0::{path}\n"));
            assert_eq!((found.pod.as_deref(), found.container), (Some(POD), Some(id())), "{path}");
            assert_eq!(found.task, None);
        }
    }

    #[test]
    fn what_is_no_container_has_no_name() {
        for text in [
            "",
            "nonsense",
            "0::/",
            "0::/system.slice/sshd.service\n",
            "0::/user.slice/user-0.slice/session-1.scope\n",
            "0::/system.slice/podman.service\n",
            "0::/ecs/agent\n",
        ] {
            assert_eq!(of_cgroup(text), Workload::default(), "{text}");
        }
        assert_eq!(of_cgroup(&format!("0::/system.slice/docker-{}.scope", id())).container, Some(id()));
    }
}
