//! The texts of `/proc/net/netstat`, `snmp`, `snmp6` and `stat/nf_conntrack`, and the limit of connection tracking, with a zero
//! byte between them.
#![no_main]

use agent::kernel::counters::{parse, parse_conntrack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.splitn(5, '\0');
    let mut next = || parts.next().unwrap_or_default();
    let (netstat, snmp, snmp6) = (next(), next(), next());
    let counters = parse(netstat, snmp, snmp6);
    if let Some(table) = parse_conntrack(next(), next()) {
        assert!(text.contains(&table.limit.to_string()));
    }
    // A counter that is not named is absent.
    assert!(counters.listen_drops.is_none() || netstat.contains("ListenDrops"));
    assert!(counters.out_no_routes.is_none() || snmp.contains("OutNoRoutes"));
});
