//! Counters of a network namespace, from `/proc/net`.
//!
//! A counter that a kernel does not have is absent, not zero.

use crate::{
    domain::{conntrack::Conntrack, host_counters::HostCounters},
    kernel::procfs::read_text,
};

/// Reads the counters of the current namespace; the interface's own are read elsewhere.
pub fn read() -> HostCounters {
    // `thread-self`, because only this thread may have entered the namespace.
    let text = |name: &str| read_text(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    parse(&text("netstat"), &text("snmp"), &text("snmp6"))
}

/// Reads the connection tracking table of the current namespace; `None` where the kernel has none.
pub fn conntrack() -> Option<Conntrack> {
    let table = read_text("/proc/thread-self/net/stat/nf_conntrack").ok()?;
    // What is below /proc/sys/net belongs to the namespace of the thread that opens it.
    let limit = read_text("/proc/sys/net/netfilter/nf_conntrack_max").ok()?;
    parse_conntrack(&table, &limit)
}

/// A line of names, then one of hexadecimal values for each CPU; `entries` is that of the whole namespace in each
/// (ct_cpu_seq_show, net/netfilter/nf_conntrack_standalone.c, v6.1).
pub fn parse_conntrack(table: &str, limit: &str) -> Option<Conntrack> {
    let mut lines = table.lines();
    let names: Vec<_> = lines.next()?.split_whitespace().collect();
    let column = |name: &str| names.iter().position(|word| *word == name);
    let (entries_column, drop_column) = (column("entries")?, column("drop")?);
    let (mut entries, mut drops) = (None, 0_u64);
    for line in lines {
        let value = |column| u64::from_str_radix(line.split_whitespace().nth(column)?, 16).ok();
        entries = Some(value(entries_column)?);
        drops = drops.wrapping_add(value(drop_column)?);
    }
    Some(Conntrack { entries: entries?, limit: limit.trim().parse().ok()?, drops })
}

/// Runs of a program that the kernel left out, from the fdinfo of its descriptor (since 5.12); `None` for other descriptors and
/// older kernels.
pub fn parse_recursion_misses(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?.trim().parse().ok()
}

/// Takes the counters out of the text of `netstat`, `snmp` and `snmp6`.
pub fn parse(netstat: &str, snmp: &str, snmp6: &str) -> HostCounters {
    let no_routes4 = from_pairs_of_lines(snmp, "Ip:", "OutNoRoutes");
    let no_routes6 = from_single_lines(snmp6, "Ip6OutNoRoutes");
    HostCounters {
        listen_overflows: from_pairs_of_lines(netstat, "TcpExt:", "ListenOverflows"),
        listen_drops: from_pairs_of_lines(netstat, "TcpExt:", "ListenDrops"),
        syncookies_sent: from_pairs_of_lines(netstat, "TcpExt:", "SyncookiesSent"),
        // A kernel without IPv6 has no second counter.
        out_no_routes: no_routes4.map(|count| count.wrapping_add(no_routes6.unwrap_or(0))),
        ..HostCounters::default()
    }
}

/// `netstat` and `snmp` give a line of names and a line of values under the same heading.
fn from_pairs_of_lines(text: &str, heading: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.split_whitespace().next() == Some(heading));
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let place = names.split_whitespace().position(|word| word == name);
        if let Some(value) = place.and_then(|place| values.split_whitespace().nth(place)) {
            return value.parse().ok();
        }
    }
    None
}

/// `snmp6` gives one name and value a line.
fn from_single_lines(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(name)).then(|| words.next()?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETSTAT: &str = "TcpExt: SyncookiesSent SyncookiesRecv ListenOverflows ListenDrops\n\
        TcpExt: 1 2 20 24\nIpExt: InNoRoutes OutNoRoutes\nIpExt: 7 8\n";

    #[test]
    fn values_are_found_by_the_names_above_them() {
        let snmp = "Ip: Forwarding OutNoRoutes\nIp: 1 4\n";
        let counters = parse(NETSTAT, snmp, "Ip6InReceives 9\nIp6OutNoRoutes 3\n");
        assert_eq!(counters.listen_overflows, Some(20));
        assert_eq!(counters.listen_drops, Some(24));
        assert_eq!(counters.syncookies_sent, Some(1));
        assert_eq!(counters.out_no_routes, Some(7));
    }

    #[test]
    fn what_is_not_there_is_absent_and_not_zero() {
        let counters = parse("TcpExt: SyncookiesSent\n", "Ip: Forwarding\nIp: 1\n", "");
        assert_eq!(counters, HostCounters::default());
    }

    #[test]
    fn counters_that_have_gone_far_wrap() {
        let snmp = format!("Ip: OutNoRoutes\nIp: {}\n", u64::MAX);
        assert_eq!(parse("", &snmp, "Ip6OutNoRoutes 3\n").out_no_routes, Some(2));
    }

    #[test]
    fn runs_left_out_are_read_from_a_programs_fdinfo() {
        let fdinfo = "pos:\t0\nprog_type:\t17\nrecursion_misses:\t12\nverified_insns:\t100\n";
        assert_eq!(parse_recursion_misses(fdinfo), Some(12));
        for text in ["", "pos:\t0\n", "recursion_misses:\n", "recursion_misses:\t-1\n"] {
            assert_eq!(parse_recursion_misses(text), None, "{text}");
        }
    }

    const CONNTRACK: &str = "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop\n\
        00040000  00000000 00000000 00000000 00000003 00000000 00000000 00000000 00000000 00000000 0000000a 00000001\n\
        00040000  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000010 00000000\n";

    #[test]
    fn the_conntrack_table_is_hexadecimal_and_its_drops_are_those_of_all_cpus() {
        let table = Conntrack { entries: 262_144, limit: 262_144, drops: 26 };
        assert_eq!(parse_conntrack(CONNTRACK, "262144\n"), Some(table));
        assert!(table.is_full());
    }

    #[test]
    fn a_conntrack_table_that_cannot_be_read_is_absent() {
        for (table, limit) in [
            ("", "262144"),
            ("entries drop\n", "262144"),
            ("entries new\n1 2\n", "262144"),
            ("entries drop\n1\n", "262144"),
            ("entries drop\n1 zz\n", "262144"),
            (CONNTRACK, ""),
            (CONNTRACK, "many"),
        ] {
            assert_eq!(parse_conntrack(table, limit), None, "{table:?} {limit:?}");
        }
    }

    #[test]
    fn without_ipv6_the_ipv4_counter_stands_alone() {
        assert_eq!(parse("", "Ip: OutNoRoutes\nIp: 4\n", "").out_no_routes, Some(4));
    }
}
