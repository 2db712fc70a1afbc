//! What the agent reads of an interface's driver. The lab has no ENA device: the reader is held against veth's own statistics.

use agent::kernel::ethtool;
use lab::{Netns, shell};

#[test]
fn the_statistics_of_a_veth_are_read_by_name() {
    let namespace = Netns::new();
    shell::ip(&namespace, "link add here type veth peer name there\n");
    let index = |name: &str| -> u64 {
        let text = shell::run(&namespace, "ip", &["-json", "link", "show", "dev", name], "");
        let links: serde_json::Value = serde_json::from_str(&text).expect("ip answers in JSON");
        links[0]["ifindex"].as_u64().expect("an index")
    };
    let peer = |name: &str| -> Option<u64> {
        let statistics = namespace.run(|| ethtool::statistics(name)).expect("veth has statistics");
        let peer = statistics.into_iter().find(|(name, _)| name == "peer_ifindex");
        peer.map(|(_, value)| value)
    };
    assert_eq!(peer("here"), Some(index("there")));
    assert_eq!(peer("there"), Some(index("here")));
}

#[test]
fn a_veth_has_no_allowances() {
    let namespace = Netns::new();
    shell::ip(&namespace, "link add here type veth peer name there\n");
    let mut reader = ethtool::AllowanceReader::default();
    let read = namespace.run(|| reader.read(std::time::Duration::ZERO, "here"));
    assert!(read.are_absent(), "{read:?}");
}
