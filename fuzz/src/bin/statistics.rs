//! What an interface's driver answers to ethtool: names of statistics, and their values.
#![no_main]

use agent::{
    domain::allowances::Allowances,
    kernel::ethtool::{parse_names, parse_values},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [low, high, answer @ ..] = bytes else { return };
    let count = usize::from(u16::from_le_bytes([*low, *high]));
    let words: Vec<u32> =
        answer.chunks_exact(4).map(|word| u32::from_ne_bytes(word.try_into().expect("four bytes"))).collect();
    let names = parse_names(&words, count);
    let values = parse_values(&words, count);
    for (length, bytes) in [(names.as_ref().map(Vec::len), 32), (values.as_ref().map(Vec::len), 8)] {
        // What is there was answered, and as much as was asked for.
        assert!(length.is_none_or(|length| length == count && length * bytes <= answer.len()));
    }
    let names = names.unwrap_or_default();
    assert!(names.iter().all(|name| name.chars().count() <= 32 && !name.contains('\0')), "{names:?}");
    let values = values.unwrap_or_else(|| (0..).take(names.len()).collect());
    let statistics: Vec<(String, u64)> = names.into_iter().zip(values).collect();
    let allowances = Allowances::from_statistics(&statistics);
    assert!(allowances.since(&allowances).are_absent() == allowances.are_absent());
});
