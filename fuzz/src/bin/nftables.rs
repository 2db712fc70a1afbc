//! One rule of nftables in an answer over netlink.
#![no_main]

use agent::kernel::nftables::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // A rule that cannot be read is none.
    let _rule = parse(bytes);
});
