//! BTF tracepoints, and the begins of functions: the kernel tells its verifier the types of the arguments, so that members of its
//! structures are loaded by one instruction, where a raw tracepoint's program calls a helper for each (decision 0012).

use aya::{
    Btf, BtfError, Endianness,
    programs::{BtfTracePoint, FEntry, ProgramError},
};
use aya_obj::btf::{BtfType, Func, FuncLinkage};

use crate::kernel::running::Link;

const MAGIC: u16 = 0xeb9f;
const VERSION_AND_FLAGS: [u8; 2] = [1, 0];
const HEADER_BYTES: u32 = 24;
const TYPE_BYTES: u32 = 12;
const KIND_SHIFT: u32 = 24;
const KIND_TYPEDEF: u32 = 8;
const KIND_FUNCTION: u32 = 12;

/// Type information in which a few types have names, at the numbers that the kernel gave them, and all others are nothing. aya
/// looks for the number of a name; to read all that the kernel knows a second time, or any type of those it counts past, would
/// take it longer than all else at the start (measured: docs/decisions/0002).
pub(super) struct Types(Btf);

impl Types {
    /// With the type of a tracepoint's arguments and that of a function, each by its name and number.
    ///
    /// # Errors
    ///
    /// When aya does not take them.
    pub(super) fn of(
        tracepoint: Option<(&str, u32)>,
        function: Option<(&str, u32)>,
    ) -> Result<Self, BtfError> {
        let last = tracepoint.map_or(0, |(_, id)| id);
        let (before, behind): (Vec<_>, Vec<_>) = function.into_iter().partition(|(_, id)| *id < last);
        let typedef = tracepoint.map(|(name, id)| (format!("btf_trace_{name}"), id, KIND_TYPEDEF));
        let before = before.into_iter().map(|(name, id)| (name.to_owned(), id, KIND_FUNCTION));
        let mut types = parsed(&before.chain(typedef).collect::<Vec<_>>())?;
        for (name, id) in behind {
            let described = Func::new(types.add_string(name), 0, FuncLinkage::Static);
            for _ in last + 1..id {
                types.add_type(BtfType::Unknown);
            }
            types.add_type(BtfType::Func(described));
        }
        Ok(Self(types))
    }

    /// Loads a program and hooks it up to the tracepoint.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, or describes no such tracepoint.
    pub(super) fn hook_up(
        &self,
        program: &mut BtfTracePoint,
        tracepoint: &str,
    ) -> Result<Link, ProgramError> {
        program.load(tracepoint, &self.0)?;
        let link = program.attach()?;
        Ok(Box::new(program.take_link(link)?))
    }

    /// The same where a function of the kernel's begins.
    ///
    /// # Errors
    ///
    /// When the kernel refuses: some have no trampolines, and some let nobody trace functions.
    pub(super) fn hook_up_function(
        &self,
        program: &mut FEntry,
        function: &str,
    ) -> Result<Link, ProgramError> {
        program.load(function, &self.0)?;
        let link = program.attach()?;
        Ok(Box::new(program.take_link(link)?))
    }
}

/// Types with a name, a number and a kind each, in order, and nothing between them. In bytes: aya lets nobody else make a typedef.
fn parsed(named: &[(String, u32, u32)]) -> Result<Btf, BtfError> {
    let (mut strings, mut types) = (vec![0], Vec::new());
    for (name, id, kind) in named {
        let place = strings.len() as u32;
        strings.extend(name.bytes().chain([0]));
        types.resize(((id - 1) * TYPE_BYTES) as usize, 0);
        types.extend([place, kind << KIND_SHIFT, 0].into_iter().flat_map(u32::to_ne_bytes));
    }
    let types_bytes = types.len() as u32;
    let header = [HEADER_BYTES, 0, types_bytes, types_bytes, strings.len() as u32];
    let mut bytes = [MAGIC.to_ne_bytes(), VERSION_AND_FLAGS].concat();
    bytes.extend(header.into_iter().flat_map(u32::to_ne_bytes));
    Btf::parse(&[bytes, types, strings].concat(), Endianness::default())
}

#[cfg(test)]
mod tests {
    use aya_obj::btf::BtfKind;

    use super::Types;

    #[test]
    fn each_name_has_the_number_that_the_kernel_gave_it() {
        for (tracepoint, function) in [(7, 40), (40, 7), (1, 2), (2, 1), (38_132, 114_148)] {
            let types = Types::of(Some(("kfree_skb", tracepoint)), Some(("tcp_conn_request", function)));
            let types = types.expect("aya takes it").0;
            let found = [("btf_trace_kfree_skb", BtfKind::Typedef), ("tcp_conn_request", BtfKind::Func)]
                .map(|(name, kind)| types.id_by_type_name_kind(name, kind).expect("it has the name"));
            assert_eq!(found, [tracepoint, function]);
        }
        let none = Types::of(None, Some(("tcp_conn_request", 3))).expect("aya takes it").0;
        assert!(none.id_by_type_name_kind("btf_trace_kfree_skb", BtfKind::Typedef).is_err());
    }
}
