//! The image that is shipped, run from its own bare root. `cargo xtask dist --try` builds it first and runs these.

mod container;
mod sidecar;

use std::process::Output;

use lab::{
    Netns,
    agent::{Agent, words},
    plan::{Family, Plan},
    topology::Topology,
    witness::attached,
};
use rustix::thread::CapabilitySet;

use container::{Image, User};

/// What ECS can name for a sidecar.
const ECS: CapabilitySet =
    CapabilitySet::SYS_ADMIN.union(CapabilitySet::NET_ADMIN).union(CapabilitySet::SYS_RESOURCE);

/// The least, where the runtime knows their names.
const LEAST: CapabilitySet = CapabilitySet::BPF.union(CapabilitySet::PERFMON).union(CapabilitySet::NET_ADMIN);

fn output(image: &Image, arguments: &str) -> Output {
    let mut command = image.command(User::Nobody, CapabilitySet::empty(), &words(arguments));
    command.output().expect("the image's program starts")
}

#[test]
#[ignore = "needs an image: cargo xtask dist --try"]
fn alone_in_its_root_and_without_any_right_it_starts_and_explains_itself() {
    let image = Image::unpack();
    let version = output(&image, "--version");
    assert_eq!(String::from_utf8_lossy(&version.stdout).trim(), concat!("agent ", env!("CARGO_PKG_VERSION")));
    let page = output(&image, "explain host_firewall");
    assert!(page.status.success() && page.stdout.len() > 200, "{page:?}");
    let refused = output(&image, "trace --port 8080 --interface lo");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!((refused.status.code(), said.contains("CAP_BPF")), (Some(3), true), "{said}");
}

#[test]
#[ignore = "needs an image: cargo xtask dist --try"]
fn shipping_is_built_in_and_looks_for_credentials() {
    let image = Image::unpack();
    // Where nobody can hand out any. A build without shipping refuses the log group and checks nothing.
    let home = Netns::new();
    let text = "check --port 80 --interface lo --cloudwatch-log-group g --output json";
    let ended =
        Agent::spawn(&home, image.command(User::Nobody, CapabilitySet::empty(), &words(text))).wait_end();
    assert!(!ended.errors.contains("built without"), "{}", ended.errors);
    let check = ended.lines.iter().find(|line| line["id"] == "credentials");
    let check = check.unwrap_or_else(|| panic!("nothing about credentials: {}{}", ended.text, ended.errors));
    let found = check["found"].as_str().unwrap_or_default();
    assert_eq!(check["state"], "warn", "{check}");
    assert!(
        found.contains("nothing can be sent to CloudWatch Logs") && found.contains("credentials"),
        "{check}"
    );
}

#[test]
#[ignore = "needs an image: cargo xtask dist --try"]
fn what_check_names_is_enough_for_root_on_ecs_and_for_nobody_elsewhere() {
    let image = Image::unpack();
    for (user, capabilities) in [(User::Root, ECS), (User::Nobody, LEAST)] {
        let lab = Topology::new(Plan::draw(Family::V4));
        let check = image.command(user, capabilities, &words("check --port 80 --output json"));
        let ended = Agent::spawn(&lab.task, check).wait_end();
        assert_eq!(ended.status.code(), Some(0), "{user:?}: {}{}", ended.text, ended.errors);
        let failed: Vec<_> = ended.lines.iter().filter(|line| line["state"] == "fail").collect();
        assert!(failed.is_empty(), "{user:?}: {failed:?}");
        let text = "trace --port 80 --nlb 10.255.0.1 --output json --interval 200ms";
        let mut agent = Agent::spawn(&lab.task, image.command(user, capabilities, &words(text)));
        let start = agent.wait_for("the agent to watch", lab::agent::START, |line| line["kind"] == "start");
        assert_eq!(start["hooks"].as_array().map(Vec::len), Some(7), "{user:?}: {start}");
        assert_eq!(start["blind_spots"], serde_json::json!([]), "{user:?}: {start}");
        let ended = agent.stop();
        assert_eq!((ended.status.code(), ended.errors.as_str()), (Some(0), ""), "{user:?}");
        assert_eq!(attached(&lab.task), [""; 0]);
    }
}

#[test]
#[ignore = "needs an image: cargo xtask dist --try"]
fn each_capability_of_the_least_set_is_needed() {
    let image = Image::unpack();
    let home = Netns::new();
    for missing in LEAST.iter() {
        let text = "trace --port 80 --interface lo --attach clsact --output json --duration 200ms";
        let ended =
            Agent::spawn(&home, image.command(User::Nobody, LEAST - missing, &words(text))).wait_end();
        assert_eq!(ended.status.code(), Some(3), "without {missing:?}: {}{}", ended.text, ended.errors);
    }
}
