//! The texts of `/proc/net/netstat`, `snmp`, `snmp6` and `stat/nf_conntrack`, the limit of connection tracking, the control groups
//! of a process and the fdinfo of a program, with a zero byte between them.
#![no_main]

use agent::{
    discover::workload::of_cgroup,
    kernel::counters::{parse, parse_conntrack, parse_recursion_misses},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.splitn(7, '\0');
    let mut next = || parts.next().unwrap_or_default();
    let (netstat, snmp, snmp6) = (next(), next(), next());
    let counters = parse(netstat, snmp, snmp6);
    if let Some(table) = parse_conntrack(next(), next()) {
        assert!(text.contains(&table.limit.to_string()));
    }
    let cgroup = next();
    let workload = of_cgroup(cgroup);
    // Ids are digits and dashes: they go into labels and onto terminals.
    for id in [&workload.task, &workload.pod, &workload.container].into_iter().flatten() {
        assert!(id.len() >= 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'), "{id}");
    }
    let _for_people = workload.phrase();
    let fdinfo = next();
    assert!(parse_recursion_misses(fdinfo).is_none() || fdinfo.contains("recursion_misses:"));
    // A counter that is not named is absent.
    assert!(counters.listen_drops.is_none() || netstat.contains("ListenDrops"));
    assert!(counters.out_no_routes.is_none() || snmp.contains("OutNoRoutes"));
});
