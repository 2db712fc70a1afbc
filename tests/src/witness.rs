//! What the agent has no part in: counts of nftables and of the kernel itself, and what is attached where.

use std::{collections::BTreeMap, fs, net::IpAddr};

use aya::programs::{SchedClassifier, TcAttachType};
use serde_json::Value;

use crate::{Netns, plan::Family, shell};

/// Counts SYNs per source in front of the routing decision, by nftables.
pub struct Witness<'a> {
    namespace: &'a Netns,
}

impl<'a> Witness<'a> {
    /// Begins to count SYNs for a port, by source.
    pub fn new(namespace: &'a Netns, family: Family, sources: &[IpAddr], port: u16) -> Self {
        let mut commands = "add table inet witness
            add chain inet witness syns { type filter hook prerouting priority -400; }
            add counter inet witness everybody\n"
            .to_owned();
        let syn = format!("tcp dport {port} tcp flags & (fin | syn | rst | ack) == syn");
        commands.push_str(&format!("add rule inet witness syns {syn} counter name everybody\n"));
        for (number, source) in sources.iter().enumerate() {
            commands.push_str(&format!(
                "add counter inet witness source{number} {{ comment \"{source}\" ; }}
                 add rule inet witness syns {} saddr {source} {syn} counter name source{number}\n",
                family.nft()
            ));
        }
        shell::nft(namespace, &commands);
        Self { namespace }
    }

    /// SYNs from each source so far, and in all under no name.
    ///
    /// # Panics
    ///
    /// When nftables does not answer as it does today.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let text =
            shell::run(self.namespace, "nft", &["-j", "list", "counters", "table", "inet", "witness"], "");
        let answer: Value = serde_json::from_str(&text).expect("nft answers in JSON");
        let entries = answer["nftables"].as_array().expect("a list of objects");
        let counters = entries.iter().filter_map(|entry| entry.get("counter"));
        counters
            .map(|counter| {
                let label = counter["comment"].as_str().unwrap_or_default().to_owned();
                (label, counter["packets"].as_u64().expect("a count of packets"))
            })
            .collect()
    }

    /// SYNs from one source so far.
    ///
    /// # Panics
    ///
    /// When that source is not counted.
    pub fn syns(&self, source: IpAddr) -> u64 {
        *self.counts().get(&source.to_string()).unwrap_or_else(|| panic!("{source} is not counted"))
    }
}

/// One counter of `/proc/net/netstat`, as `nstat` shows it: `TcpExt`, `ListenOverflows`.
///
/// # Panics
///
/// When the kernel has no such counter.
pub fn netstat(namespace: &Netns, group: &str, name: &str) -> u64 {
    let text =
        namespace.run(|| fs::read_to_string("/proc/thread-self/net/netstat")).expect("reading netstat");
    let mut lines = text.lines().filter(|line| line.starts_with(&format!("{group}:")));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let place = names.split_whitespace().position(|word| word == name).expect("the counter exists");
    values.split_whitespace().nth(place).and_then(|word| word.parse().ok()).expect("a number")
}

/// The tc programs on the interfaces of a namespace, by name: those on tcx as the kernel answers (older bpftools do not
/// know it), those on clsact as `tc` tells.
pub fn attached(namespace: &Netns) -> Vec<String> {
    let text = shell::run(namespace, "ip", &["-json", "link", "show"], "");
    let links: Value = serde_json::from_str(&text).expect("ip answers in JSON");
    let names = links.as_array().into_iter().flatten().filter_map(|link| link["ifname"].as_str());
    let mut found = Vec::new();
    for name in names {
        for (side, word) in [(TcAttachType::Ingress, "ingress"), (TcAttachType::Egress, "egress")] {
            // A kernel without tcx refuses the question.
            if let Ok((_, programs)) = namespace.run(|| SchedClassifier::query_tcx(name, side)) {
                found.extend(programs.iter().filter_map(|program| program.name_as_str().map(str::to_owned)));
            }
            let text = shell::output(namespace, "tc", &["filter", "show", "dev", name, word], "");
            let text = String::from_utf8_lossy(&text.stdout).into_owned();
            let filters = text.lines().filter_map(|line| line.split_once(" handle "));
            found.extend(filters.filter_map(|(_, rest)| rest.split_whitespace().nth(1).map(str::to_owned)));
        }
    }
    found
}

/// Queueing disciplines of a namespace that are not there by themselves.
pub fn disciplines(namespace: &Netns) -> Vec<String> {
    let text = shell::run(namespace, "tc", &["qdisc", "show"], "");
    text.lines().filter(|line| line.contains("clsact")).map(str::to_owned).collect()
}
