//! The kinds of BTF types and how long each is (include/uapi/linux/btf.h, v6.12).

/// Kind of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `struct`
    Struct,
    /// `union`
    Union,
    /// `enum` of up to 32 bits
    Enum,
    /// `enum` of 64 bits
    Enum64,
    /// `typedef`
    Typedef,
    /// `const`, `volatile`, `restrict`, a type tag: the same type with a remark
    Qualifier,
    /// Pointer
    Pointer,
    /// Function
    Function,
    /// Signature of a function
    FunctionProto,
    /// Any other, with its number
    Other(u32),
}

impl Kind {
    /// From the `info` word of a type; `None` for a number this format does not have.
    pub fn of(info: u32) -> Option<Self> {
        Some(match (info >> 24) & 0x1f {
            2 => Self::Pointer,
            4 => Self::Struct,
            5 => Self::Union,
            6 => Self::Enum,
            8 => Self::Typedef,
            9..=11 | 18 => Self::Qualifier,
            12 => Self::Function,
            13 => Self::FunctionProto,
            19 => Self::Enum64,
            number @ (1 | 3 | 7 | 14..=17) => Self::Other(number),
            _ => return None,
        })
    }

    /// Bytes behind the 12 that every type has.
    pub fn trailing_bytes(self, info: u32) -> Option<usize> {
        let count = (info & 0xffff) as usize;
        Some(match self {
            Self::Struct | Self::Union | Self::Enum64 => count * 12,
            Self::Enum | Self::FunctionProto => count * 8,
            Self::Typedef | Self::Qualifier | Self::Pointer | Self::Function => 0,
            // Integer, variable, declaration tag.
            Self::Other(1 | 14 | 17) => 4,
            // Array.
            Self::Other(3) => 12,
            // Forward declaration, float.
            Self::Other(7 | 16) => 0,
            // Data section.
            Self::Other(15) => count * 12,
            Self::Other(_) => return None,
        })
    }

    /// An enum of either width.
    pub fn is_enum(self) -> bool {
        self == Self::Enum || self == Self::Enum64
    }

    /// Another name for a type.
    pub fn is_alias(self) -> bool {
        self == Self::Typedef || self == Self::Qualifier
    }
}
