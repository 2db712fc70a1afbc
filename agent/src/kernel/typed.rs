//! BTF tracepoints: the kernel tells its verifier the types of the arguments, so that members of its structures are loaded
//! by one instruction, where a raw tracepoint's program calls a helper for each (decision 0012).

use aya::{
    Btf, BtfError, Endianness,
    programs::{BtfTracePoint, ProgramError},
};

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: u32 = 24;
const KIND_FORWARD: u32 = 7;
const KIND_TYPEDEF: u32 = 8;

/// Loads a program and hooks it up to the tracepoint whose arguments the kernel describes in its type of this number.
///
/// # Errors
///
/// When the kernel refuses.
pub fn hook_up(program: &mut BtfTracePoint, tracepoint: &str, type_id: u32) -> Result<(), ProgramError> {
    program.load(tracepoint, &with_one_name(tracepoint, type_id)?)?;
    program.attach().map(|_link_stays_with_the_program| ())
}

/// Type information in which only the tracepoint has a name, at the number that the kernel gave it. aya looks for the number,
/// and to read all that the kernel knows a second time would take it longer than all else at the start (measured:
/// docs/decisions/0002).
fn with_one_name(tracepoint: &str, type_id: u32) -> Result<Btf, BtfError> {
    let strings = format!("\0btf_trace_{tracepoint}\0");
    let types = (1..type_id).map(|_| (0, KIND_FORWARD)).chain([(1, KIND_TYPEDEF)]);
    let mut bytes = Vec::new();
    bytes.extend(MAGIC.to_ne_bytes());
    // Version and flags.
    bytes.extend([1, 0]);
    let types_bytes = type_id * 12;
    for word in [HEADER_BYTES, 0, types_bytes, types_bytes, strings.len() as u32] {
        bytes.extend(word.to_ne_bytes());
    }
    for (name, kind) in types {
        for word in [name, kind << 24, 0] {
            bytes.extend(u32::to_ne_bytes(word));
        }
    }
    bytes.extend(strings.bytes());
    Btf::parse(&bytes, Endianness::default())
}
