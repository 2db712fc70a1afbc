//! Facts of the running kernel for the programs, and the names of its drop reasons.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use agent_common::{
    config::{ABSENT, Target},
    drop::REASON_UNKNOWN,
};

use crate::{
    domain::reason::{self, Reason},
    kernel::{
        btf::{Btf, BtfError},
        formats::with_records,
    },
};

const REASON_ENUM: &str = "skb_drop_reason";
const REASON_PREFIX: &str = "SKB_DROP_REASON_";
/// With several enums of drop reasons in one number, the upper half says which (include/net/dropreason.h, v6.6).
const SUBSYSTEM_SHIFT: u32 = 16;

/// What the tracepoint programs need to know of the running kernel.
#[derive(Clone, Debug, Default)]
pub struct KernelFacts {
    /// Offsets and arguments; `None` where the kernel shows no type information.
    offsets: Option<Target>,
    /// Number of the type that describes the arguments of `kfree_skb`.
    drop_type: Option<u32>,
    /// The same of `tcp_conn_request`.
    request_type: Option<u32>,
    /// Shared by all targets.
    reasons: Arc<BTreeMap<u32, Reason>>,
}

/// Which tracepoint programs can run with these facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usable {
    /// `kfree_skb`: drops.
    pub drops: bool,
    /// Its arguments have types, described by the kernel's type of this number.
    pub drop_type: Option<u32>,
    /// Drops come with a reason.
    pub reasons: bool,
    /// `inet_sock_set_state` and `tcp_retransmit_synack`: sockets.
    pub sockets: bool,
    /// Number of the type that describes `tcp_conn_request`, and the members of a listener are known: full accept queues.
    pub request_type: Option<u32>,
}

impl KernelFacts {
    /// Reads them, once: the running kernel does not change, and reading it all takes some 15 ms and some megabytes (decision 0002).
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is malformed.
    pub fn read(path: &Path) -> Result<Self, BtfError> {
        static KNOWN: Mutex<Option<(PathBuf, KernelFacts)>> = Mutex::new(None);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, facts)) = known.as_ref().filter(|(of, _)| of == path) {
            return Ok(facts.clone());
        }
        let facts = Self::read_anew(path)?;
        *known = Some((path.to_owned(), facts.clone()));
        Ok(facts)
    }

    fn read_anew(path: &Path) -> Result<Self, BtfError> {
        let btf = Btf::from_file(path)?;
        let reasons = reason_names(&btf);
        let number = |name: &str| {
            reasons.iter().find(|(_, reason)| reason.0 == name).map_or(ABSENT, |(number, _)| *number)
        };
        let at = |structure: &str, path: &[&str]| btf.offset(structure, path).unwrap_or(ABSENT);
        let offsets = Target {
            reason_argument: btf.tracepoint_argument("kfree_skb", REASON_ENUM).unwrap_or(ABSENT),
            reason_not_specified: number("NOT_SPECIFIED"),
            reasons_before_hook: [number("XDP"), number("CPU_BACKLOG"), ABSENT, ABSENT],
            skb_dev: at("sk_buff", &["dev"]),
            skb_sk: at("sk_buff", &["sk"]),
            skb_head: at("sk_buff", &["head"]),
            skb_data: at("sk_buff", &["data"]),
            skb_network_header: at("sk_buff", &["network_header"]),
            skb_refdst: at("sk_buff", &["_skb_refdst"]),
            skb_iif: at("sk_buff", &["skb_iif"]),
            dev_net: at("net_device", &["nd_net", "net"]),
            net_inode: at("net", &["ns", "inum"]),
            dst_dev: at("dst_entry", &["dev"]),
            sock_net: at("sock_common", &["skc_net", "net"]),
            sock_family: at("sock_common", &["skc_family"]),
            sock_local_port: at("sock_common", &["skc_num"]),
            sock_own_port: at("inet_sock", &["inet_sport"]),
            sock_peer_port: at("sock_common", &["skc_dport"]),
            sock_peer4: at("sock_common", &["skc_daddr"]),
            sock_peer6: at("sock_common", &["skc_v6_daddr"]),
            sock_error: at("sock", &["sk_err"]),
            sock_ack_backlog: at("sock", &["sk_ack_backlog"]),
            sock_max_ack_backlog: at("sock", &["sk_max_ack_backlog"]),
            tcp_bytes_received: at("tcp_sock", &["bytes_received"]),
            tcp_bytes_sent: at("tcp_sock", &["bytes_sent"]),
            ..Target::UNKNOWN_KERNEL
        };
        Ok(Self {
            offsets: Some(with_records(offsets)),
            drop_type: btf.tracepoint("kfree_skb"),
            request_type: btf.function("tcp_conn_request"),
            reasons: Arc::new(reasons),
        })
    }

    /// The read-only data of the programs; target-specific fields still have their defaults.
    pub fn target(&self) -> Target {
        self.offsets.unwrap_or(Target::UNKNOWN_KERNEL)
    }

    /// Which tracepoint programs can run.
    pub fn usable(&self) -> Usable {
        let Some(facts) = self.offsets else {
            return Usable {
                drops: false,
                drop_type: None,
                reasons: false,
                sockets: false,
                request_type: None,
            };
        };
        let known = |offsets: &[u32]| offsets.iter().all(|offset| *offset != ABSENT);
        let namespace = [facts.net_inode, facts.dev_net, facts.sock_net];
        let packet = [
            facts.skb_dev,
            facts.skb_sk,
            facts.skb_head,
            facts.skb_data,
            facts.skb_network_header,
            facts.skb_refdst,
            facts.skb_iif,
            facts.dst_dev,
        ];
        let socket = [
            facts.sock_family,
            facts.sock_local_port,
            facts.sock_own_port,
            facts.sock_peer_port,
            facts.sock_peer4,
            facts.sock_peer6,
            facts.sock_error,
            facts.tcp_bytes_received,
            facts.tcp_bytes_sent,
        ];
        let listener = [facts.sock_local_port, facts.sock_ack_backlog, facts.sock_max_ack_backlog];
        let has_listener = known(&namespace) && known(&packet) && known(&listener);
        Usable {
            request_type: self.request_type.filter(|_| has_listener),
            drops: known(&namespace) && known(&packet),
            drop_type: self.drop_type,
            reasons: known(&[facts.reason_argument, facts.reason_not_specified]),
            sockets: known(&namespace) && known(&socket),
        }
    }

    /// Whether the reason itself says that the packet was dropped in front of tc ingress.
    pub fn is_before_hook(&self, reason: u32) -> bool {
        self.target().reasons_before_hook.contains(&reason) && reason != ABSENT
    }

    /// The name of a drop reason; an unknown number keeps its number.
    pub fn reason(&self, number: u32) -> Reason {
        if number == REASON_UNKNOWN {
            return reason::UNKNOWN;
        }
        // A number without a name gets the same one each time.
        self.reasons.get(&number).copied().unwrap_or_else(|| interned(format!("reason {number}")))
    }
}

/// Reasons are compared and copied everywhere: their names live as long as the process, each once.
fn interned(name: String) -> Reason {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name.as_str()) {
        return Reason(known);
    }
    let name: &'static str = Box::leak(name.into_boxed_str());
    names.insert(name);
    Reason(name)
}

fn reason_names(btf: &Btf) -> BTreeMap<u32, Reason> {
    btf.enumeration(REASON_ENUM)
        .into_iter()
        .filter(|(_, number)| number >> SUBSYSTEM_SHIFT == 0)
        .filter_map(|(name, number)| Some((number, interned(name.strip_prefix(REASON_PREFIX)?.to_owned()))))
        .collect()
}

/// Name of this host, as `hostname` prints it.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Release of the running kernel, such as `6.1.0-40-cloud-amd64`.
pub fn release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}
