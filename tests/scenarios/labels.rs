//! What the targets of a node agent are called: by their control group, by what the container agent of ECS answers, and by
//! the host where neither knows.

use std::{process::Command, time::Duration};

use lab::{
    agent::{self, Agent, words},
    metadata::{CONTAINER_AGENT, Manner, Metadata, host_page, task_page},
    node::Node,
};
use serde_json::Value;

use crate::{row::PATIENCE, turns};

const TASK: &str = "0123456789abcdef0123456789abcdef";

/// A node agent with two tasks, one of which is in a control group of ECS; the first line of this kind about each.
fn first_lines(output: &str, kind: &str, is_named: fn(&Value) -> bool) -> [Value; 2] {
    let _turn = turns::share();
    let mut node = Node::new();
    let (ours, other) = (node.task(), node.task());
    let container = "ab".repeat(32);
    let _container_agent =
        Metadata::start_at(&node.home, CONTAINER_AGENT, host_page(TASK, &container), Manner::Answers);
    let own = task_page(node.balancer, "10.0.0.0/24", Duration::from_secs(600));
    let own = Metadata::start(&node.home, own, Manner::Answers);
    // Only the agent sees this control group: the file is laid over the real one in a mount namespace of its own.
    let script = format!(
        "mount -t tmpfs tmpfs /mnt && echo '0::/ecs/{TASK}/{container}' >/mnt/cgroup \
         && mount --bind /mnt/cgroup /proc/{}/cgroup && exec \"$@\"",
        ours.process()
    );
    let arguments = format!("trace --output {output} --all-netns --port {} --interval 400ms", node.port);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(agent::binary()).args(words(&arguments));
    command.env("ECS_CONTAINER_METADATA_URI_V4", own.ecs_uri()).env("AWS_EC2_METADATA_DISABLED", "true");
    let mut agent = Agent::spawn(&node.home, command);
    let of = |process: u32| format!("/proc/{process}/ns/net");
    let (of_ours, of_other) = (of(ours.process()), of(other.process()));
    let named = agent.wait_for("the task by its name", PATIENCE, |line| {
        line["kind"] == kind && line["netns"] == of_ours.as_str() && is_named(line)
    });
    let unnamed = agent.wait_for("the other one", PATIENCE, |line| {
        line["kind"] == kind && line["netns"] == of_other.as_str()
    });
    let ended = agent.stop();
    assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""), "{}", ended.text);
    [named, unnamed]
}

#[test]
fn lines_name_task_family_and_container() {
    let [named, unnamed] = first_lines("json", "verdict", |line| !line["family"].is_null());
    let arn = format!("arn:aws:ecs:us-west-2:111122223333:task/main/{TASK}");
    assert_eq!(
        (&named["task"], &named["family"], &named["container"]),
        (&arn.into(), &"orders".into(), &"web".into()),
        "{named}"
    );
    assert_eq!(unnamed.get("task"), None, "{unnamed}");
}

#[test]
fn metrics_go_by_the_tasks_cluster_and_family_and_else_by_the_hosts_cluster() {
    let [named, unnamed] = first_lines("emf", "metrics", |line| line["ServiceName"] == "orders");
    assert_eq!((&named["ClusterName"], &named["task"]), (&"main".into(), &TASK.into()), "{named}");
    // Not the service of the agent's own task.
    assert_eq!(
        (&unnamed["ClusterName"], &unnamed["ServiceName"]),
        (&"prod".into(), &"unknown".into()),
        "{unnamed}"
    );
}
