//! On type information built by hand, and on the running kernel's where it has some.
use super::*;

/// Builds BTF: types as words, names by their offset in the strings.
#[derive(Default)]
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Builder {
    fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0] }
    }

    fn name(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let offset = self.strings.len() as u32;
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        offset
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.types.extend(word.to_ne_bytes());
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for word in [24, 0, self.types.len() as u32, self.types.len() as u32, self.strings.len() as u32] {
            bytes.extend(u32::to_ne_bytes(word));
        }
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }
}

const STRUCT: u32 = 4 << 24;
const UNION: u32 = 5 << 24;
const ENUM: u32 = 6 << 24;
const TYPEDEF: u32 = 8 << 24;
const INTEGER: u32 = 1 << 24;
const POINTER: u32 = 2 << 24;
const PROTO: u32 = 13 << 24;

/// int; union { long a; int b }; struct outer { int x; <anonymous union>; inner_t in }; enum reason; a tracepoint.
fn sample() -> Builder {
    let mut btf = Builder::new();
    let names: Vec<u32> = [
        "int",
        "a",
        "b",
        "outer",
        "x",
        "in",
        "inner_t",
        "inner",
        "deep",
        "reason",
        "FIRST",
        "SECOND",
        "btf_trace_event",
    ]
    .iter()
    .map(|name| btf.name(name))
    .collect();
    let [int, a, b, outer, x, inn, inner_t, inner, deep, reason, first, second, event] = names[..] else {
        unreachable!("thirteen names");
    };
    btf.words(&[int, INTEGER, 4, 32]); // 1
    btf.words(&[0, UNION | 2, 8, a, 1, 0, b, 1, 0]); // 2
    btf.words(&[inner, STRUCT | 2, 8, x, 1, 0, deep, 1, 32]); // 3
    btf.words(&[inner_t, TYPEDEF, 3]); // 4
    btf.words(&[outer, STRUCT | 3, 24, x, 1, 0, 0, 2, 64, inn, 4, 128]); // 5
    btf.words(&[reason, ENUM | 2, 4, first, 2, second, 77]); // 6
    btf.words(&[0, PROTO | 4, 0, 0, 8, 0, 8, 0, 8, 0, 6]); // 7
    btf.words(&[0, POINTER, 7]); // 8
    btf.words(&[event, TYPEDEF, 8]); // 9
    btf
}

#[test]
fn members_are_found_through_anonymous_unions_and_typedefs() {
    let btf = Btf::from_bytes(sample().bytes()).expect("well-formed");
    assert_eq!(btf.offset("outer", &["x"]), Some(0));
    assert_eq!(btf.offset("outer", &["b"]), Some(8));
    assert_eq!(btf.offset("outer", &["in", "deep"]), Some(20));
    assert_eq!(btf.offset("outer", &["gone"]), None);
    assert_eq!(btf.offset("nothing", &["x"]), None);
}

#[test]
fn the_enum_argument_of_a_tracepoint_is_found_by_type() {
    let btf = Btf::from_bytes(sample().bytes()).expect("well-formed");
    assert_eq!(btf.tracepoint_argument("event", "reason"), Some(2));
    assert_eq!(btf.tracepoint_argument("event", "other"), None);
    assert_eq!(btf.tracepoint_argument("no_event", "reason"), None);
    assert!(btf.tracepoint("event").is_some() && btf.tracepoint("no_event").is_none());
}

#[test]
fn enums_keep_their_names_and_values() {
    let btf = Btf::from_bytes(sample().bytes()).expect("well-formed");
    assert_eq!(btf.enumeration("reason"), [("FIRST".to_owned(), 2), ("SECOND".to_owned(), 77)]);
    assert!(btf.enumeration("nothing").is_empty());
}

#[test]
fn cut_or_foreign_bytes_are_refused_and_never_a_panic() {
    let whole = sample().bytes();
    assert!(Btf::from_bytes(Vec::new()).is_err());
    assert!(Btf::from_bytes(b"\x7fELF and more than enough bytes here".to_vec()).is_err());
    for length in 0..whole.len() {
        if let Ok(btf) = Btf::from_bytes(whole[..length].to_vec()) {
            let _may_be_missing = btf.offset("outer", &["in", "deep"]);
            let _may_be_missing = btf.tracepoint_argument("event", "reason");
        }
    }
    for position in 0..whole.len() {
        let mut broken = whole.clone();
        broken[position] ^= 0xff;
        if let Ok(btf) = Btf::from_bytes(broken) {
            let _may_be_missing = btf.offset("outer", &["in", "deep"]);
            let _may_be_empty = btf.enumeration("reason");
        }
    }
}

#[test]
fn the_running_kernel_has_what_the_programs_need() {
    let path = Path::new(VMLINUX);
    if !path.exists() {
        eprintln!("skipped: this kernel shows no {VMLINUX}");
        return;
    }
    let btf = Btf::from_file(path).expect("the kernel's own type information");
    assert!(btf.offset("sk_buff", &["network_header"]).is_some_and(|offset| offset > 0));
    assert!(btf.offset("net", &["ns", "inum"]).is_some());
    assert!(btf.tracepoint("kfree_skb").is_some());
}

/// Found by the fuzz target.
#[test]
fn places_and_structs_without_end_are_no_members() {
    let mut btf = Builder::new();
    let (outer, far, inner) = (btf.name("outer"), btf.name("far"), btf.name("inner"));
    btf.words(&[0, STRUCT | 1, 4, far, 4, 8]); // 1
    btf.words(&[outer, STRUCT | 1, 4, 0, 1, u32::MAX]); // 2
    btf.words(&[inner, STRUCT | 3, 4, 0, 3, 0, 0, 3, 0, 0, 3, 0]); // 3: holds itself three times
    btf.words(&[far, INTEGER, 4, 32]); // 4
    let btf = Btf::from_bytes(btf.bytes()).expect("well-formed");
    assert_eq!(btf.offset("outer", &["far"]), None);
    assert_eq!(btf.offset("inner", &["far"]), None);
}
