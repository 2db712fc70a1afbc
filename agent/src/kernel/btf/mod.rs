//! Reads the running kernel's type information, as much of it as the programs need.
//!
//! Only an index of where each type begins is kept; the crates that read BTF build every type (measured: 211 ms and
//! 85 MB resident for a 6.18 kernel, against 15 ms and the file itself here). See docs/decisions/0002.
//!
//! Format: Documentation/bpf/btf.rst, v6.12.

mod kinds;

use std::path::Path;

use kinds::Kind;

/// Where kernels built with `CONFIG_DEBUG_INFO_BTF` show it.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Bounds the walk through nested anonymous structs and chains of typedefs.
const MAX_DEPTH: usize = 16;

/// Bounds the same walk where anonymous structs hold one another many times over. The largest struct of a 6.18 kernel has
/// a few hundred members.
const MAX_MEMBERS: u32 = 100_000;

/// Why type information is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// It cannot be read.
    #[error("reading the kernel's type information from {path}: {source}")]
    Read {
        /// File.
        path: String,
        /// Cause.
        source: std::io::Error,
    },
    /// It is cut short or not BTF.
    #[error("the kernel's type information is malformed at byte {offset}")]
    Malformed {
        /// Offset into the file.
        offset: usize,
    },
}

/// The type information of one kernel.
pub struct Btf {
    bytes: Vec<u8>,
    /// Where the strings begin.
    strings: usize,
    /// Offset of each type; type ids begin at 1, and id 0 is `void`.
    types: Vec<u32>,
}

impl Btf {
    /// Reads a file such as [`VMLINUX`].
    ///
    /// # Errors
    ///
    /// When it cannot be read or is not BTF in this machine's byte order.
    pub fn from_file(path: &Path) -> Result<Self, BtfError> {
        let bytes = std::fs::read(path)
            .map_err(|source| BtfError::Read { path: path.display().to_string(), source })?;
        Self::from_bytes(bytes)
    }

    /// Takes the bytes of such a file.
    ///
    /// # Errors
    ///
    /// When they are cut short or not BTF in this machine's byte order.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, BtfError> {
        let malformed = |offset| BtfError::Malformed { offset };
        let word = |offset: usize| word_at(&bytes, offset).ok_or(malformed(offset));
        if bytes.get(..2) != Some(&0xeb9f_u16.to_ne_bytes()[..]) {
            return Err(malformed(0));
        }
        let header_bytes = word(4)? as usize;
        let (type_offset, type_bytes) = (word(8)? as usize, word(12)? as usize);
        let strings = header_bytes + word(16)? as usize;
        let mut at = header_bytes + type_offset;
        let end = at + type_bytes;
        if end > bytes.len() || strings > bytes.len() {
            return Err(malformed(bytes.len()));
        }
        // An average type is about 20 bytes long.
        let mut types = Vec::with_capacity(type_bytes / 20);
        while at < end {
            types.push(at as u32);
            let info = word(at + 4)?;
            at += 12 + Kind::of(info).and_then(|kind| kind.trailing_bytes(info)).ok_or(malformed(at))?;
        }
        Ok(Self { bytes, strings, types })
    }

    /// Offset in bytes of a member such as `["ns", "inum"]` of `struct net`; anonymous structs and unions on the way
    /// are looked through. `None` when this kernel has no such member.
    pub fn offset(&self, structure: &str, path: &[&str]) -> Option<u32> {
        let mut id = self.find(structure, |kind| kind == Kind::Struct)?;
        let mut bits = 0_u32;
        let mut left = MAX_MEMBERS;
        for name in path {
            let (member_bits, member_type) = self.member(id, name, MAX_DEPTH, &mut left)?;
            bits = bits.checked_add(member_bits)?;
            id = self.resolve(member_type)?;
        }
        Some(bits / 8)
    }

    /// Position of the first parameter of a tracepoint whose type is the given enum, not counting the hidden first
    /// parameter of `btf_trace_*`.
    pub fn tracepoint_argument(&self, tracepoint: &str, enumeration: &str) -> Option<u32> {
        let mut id = self.tracepoint(tracepoint)?;
        for _ in 0..MAX_DEPTH {
            if self.kind(id)? == Kind::FunctionProto {
                break;
            }
            id = self.reference(id)?;
        }
        let (start, count) = self.body(id, Kind::FunctionProto)?;
        (0..count).find_map(|index| {
            let parameter_type = self.resolve(word_at(&self.bytes, start + index * 8 + 4)?)?;
            let is_it = self.kind(parameter_type)?.is_enum() && self.name(parameter_type)? == enumeration;
            is_it.then(|| index.checked_sub(1).map(|index| index as u32))?
        })
    }

    /// Number of the type that describes a tracepoint's arguments; `None` where the kernel has no tracepoint of this name.
    pub fn tracepoint(&self, tracepoint: &str) -> Option<u32> {
        self.find(&format!("btf_trace_{tracepoint}"), |kind| kind == Kind::Typedef)
    }

    /// Number of the type that describes a function of the kernel's; `None` where it has none of this name.
    pub fn function(&self, name: &str) -> Option<u32> {
        self.find(name, |kind| kind == Kind::Function)
    }

    /// Names and values of an enum, in its order; empty when there is none.
    pub fn enumeration(&self, name: &str) -> Vec<(String, u32)> {
        let Some(id) = self.find(name, Kind::is_enum) else { return Vec::new() };
        let entry_bytes = if self.kind(id) == Some(Kind::Enum64) { 12 } else { 8 };
        let (Some(start), Some(count)) = (self.types.get(id as usize - 1), self.count(id)) else {
            return Vec::new();
        };
        let start = *start as usize + 12;
        (0..count)
            .filter_map(|index| {
                let at = start + index * entry_bytes;
                Some((self.string(word_at(&self.bytes, at)?)?.to_owned(), word_at(&self.bytes, at + 4)?))
            })
            .collect()
    }

    fn find(&self, name: &str, wanted: impl Fn(Kind) -> bool) -> Option<u32> {
        (1..=self.types.len() as u32)
            .find(|id| self.kind(*id).is_some_and(&wanted) && self.is_named(*id, name))
    }

    /// By its bytes: most types have another name, and need not be text to have one.
    fn is_named(&self, id: u32, name: &str) -> bool {
        let begin =
            self.start(id).and_then(|start| Some(self.strings + word_at(&self.bytes, start)? as usize));
        let rest = begin
            .and_then(|begin| self.bytes.get(begin..))
            .and_then(|rest| rest.strip_prefix(name.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    fn member(&self, structure: u32, name: &str, depth: usize, left: &mut u32) -> Option<(u32, u32)> {
        let kind = self.kind(structure)?;
        if depth == 0 || !(kind == Kind::Struct || kind == Kind::Union) {
            return None;
        }
        let (start, count) = self.body(structure, kind)?;
        let has_bitfields = self.info(structure)? >> 31 == 1;
        (0..count).find_map(|index| {
            *left = left.checked_sub(1)?;
            let at = start + index * 12;
            let member_name = self.string(word_at(&self.bytes, at)?)?;
            let member_type = word_at(&self.bytes, at + 4)?;
            let place = word_at(&self.bytes, at + 8)?;
            let bits = if has_bitfields { place & 0x00ff_ffff } else { place };
            if member_name == name {
                Some((bits, member_type))
            } else if member_name.is_empty() {
                let inner = self.resolve(member_type)?;
                let (inner_bits, inner_type) = self.member(inner, name, depth - 1, left)?;
                Some((bits.checked_add(inner_bits)?, inner_type))
            } else {
                None
            }
        })
    }

    /// Follows typedefs and qualifiers to the type behind them.
    fn resolve(&self, id: u32) -> Option<u32> {
        let mut id = id;
        for _ in 0..MAX_DEPTH {
            if !self.kind(id)?.is_alias() {
                return Some(id);
            }
            id = self.reference(id)?;
        }
        None
    }

    fn start(&self, id: u32) -> Option<usize> {
        self.types.get((id as usize).checked_sub(1)?).map(|start| *start as usize)
    }

    fn info(&self, id: u32) -> Option<u32> {
        word_at(&self.bytes, self.start(id)? + 4)
    }

    fn kind(&self, id: u32) -> Option<Kind> {
        Kind::of(self.info(id)?)
    }

    fn count(&self, id: u32) -> Option<usize> {
        self.info(id).map(|info| (info & 0xffff) as usize)
    }

    fn reference(&self, id: u32) -> Option<u32> {
        word_at(&self.bytes, self.start(id)? + 8)
    }

    fn body(&self, id: u32, kind: Kind) -> Option<(usize, usize)> {
        (self.kind(id)? == kind).then_some((self.start(id)? + 12, self.count(id)?))
    }

    fn name(&self, id: u32) -> Option<&str> {
        self.string(word_at(&self.bytes, self.start(id)?)?)
    }

    fn string(&self, offset: u32) -> Option<&str> {
        let rest = self.bytes.get(self.strings + offset as usize..)?;
        let length = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&rest[..length]).ok()
    }
}

fn word_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[cfg(test)]
mod tests;
