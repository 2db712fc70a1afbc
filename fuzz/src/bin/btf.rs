//! Type information of a kernel.
#![no_main]

use agent::kernel::btf::Btf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(btf) = Btf::from_bytes(bytes.to_vec()) else { return };
    for path in [&["x"][..], &["b"], &["in", "deep"], &["gone"]] {
        let _absent_or_there = btf.offset("outer", path);
    }
    let _absent_or_there = btf.tracepoint_argument("event", "reason");
    assert!(btf.enumeration("reason").len() <= usize::from(u16::MAX));
    let _absent_or_there = btf.tracepoint("event");
});
