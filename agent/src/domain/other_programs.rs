//! Who else is attached to the interface: programs and filters of somebody else, which may drop or change packets.

use std::fmt;

use serde::Serialize;

/// Where on the interface, in the order in which an arriving packet meets them, then one on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub enum Hook {
    /// In front of everything.
    Xdp,
    /// tcx, on the way in.
    TcxIngress,
    /// clsact, on the way in.
    ClsactIngress,
    /// tcx, on the way out.
    TcxEgress,
    /// clsact, on the way out.
    ClsactEgress,
}

impl Hook {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::TcxIngress => "tcx ingress",
            Self::ClsactIngress => "clsact ingress",
            Self::TcxEgress => "tcx egress",
            Self::ClsactEgress => "clsact egress",
        }
    }

    /// Whether one that is attached here drops with this reason of the kernel (include/net/dropreason-core.h, v6.6). XDP has none
    /// with some drivers, such as veth.
    pub fn drops_with(self, reason: &str) -> bool {
        match self {
            Self::Xdp => matches!(reason, "XDP" | "NOT_SPECIFIED"),
            Self::TcxIngress | Self::ClsactIngress => reason == "TC_INGRESS",
            Self::TcxEgress | Self::ClsactEgress => reason == "TC_EGRESS",
        }
    }
}

/// Somebody else's program or filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct OtherProgram {
    /// Where.
    pub hook: Hook,
    /// Id of its program; a filter may have none.
    pub id: Option<u32>,
    /// Name of its program where that may be known; of a filter without one, its kind.
    pub name: Option<String>,
}

impl fmt::Display for OtherProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hook = self.hook.name();
        let name = self.name.as_deref().filter(|name| !name.is_empty());
        match (self.id, name) {
            (Some(id), Some(name)) => write!(f, "{hook} id {id}, {name}"),
            (Some(id), None) => write!(f, "{hook} id {id}"),
            (None, kind) => write!(f, "{hook} filter {}", kind.unwrap_or("of some kind")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_goes_by_its_number_and_its_name_where_that_is_known() {
        let said = |hook, id, name: Option<&str>| {
            OtherProgram { hook, id, name: name.map(str::to_owned) }.to_string()
        };
        assert_eq!(said(Hook::Xdp, Some(7), Some("guard")), "xdp id 7, guard");
        assert_eq!(said(Hook::Xdp, Some(7), Some("")), "xdp id 7");
        assert_eq!(said(Hook::TcxEgress, Some(9), None), "tcx egress id 9");
        assert_eq!(said(Hook::ClsactIngress, None, Some("flower")), "clsact ingress filter flower");
        assert_eq!(said(Hook::ClsactIngress, Some(4), None), "clsact ingress id 4");
    }

    #[test]
    fn a_reason_says_where_the_program_is_that_dropped() {
        for (reason, hooks) in [
            ("XDP", vec![Hook::Xdp]),
            ("NOT_SPECIFIED", vec![Hook::Xdp]),
            ("TC_INGRESS", vec![Hook::TcxIngress, Hook::ClsactIngress]),
            ("TC_EGRESS", vec![Hook::TcxEgress, Hook::ClsactEgress]),
            ("SOCKET_FILTER", vec![]),
        ] {
            let all = [Hook::Xdp, Hook::TcxIngress, Hook::ClsactIngress, Hook::TcxEgress, Hook::ClsactEgress];
            let found: Vec<_> = all.into_iter().filter(|hook| hook.drops_with(reason)).collect();
            assert_eq!(found, hooks, "{reason}");
        }
    }
}
