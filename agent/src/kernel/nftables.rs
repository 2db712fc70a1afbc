//! Rules of nftables that drop and count, by netlink: an empty image has no `nft`. iptables-nft makes such rules, too; those of
//! iptables-legacy are not among them.

use std::{
    io,
    thread::{self, JoinHandle},
};

use netlink_packet_core::{
    DecodeError, NLA_HEADER_SIZE, NetlinkDeserializable, NetlinkHeader, NetlinkPayload, NetlinkSerializable,
    NlasIterator,
};
use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};

use crate::{
    domain::rules::{Rule, Rules},
    kernel::netlink::{self, Kind},
};

// include/uapi/linux/netfilter/nfnetlink.h and nf_tables.h, v6.1.
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_GETRULE: u16 = 7;
const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_HANDLE: u16 = 3;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_COUNTER_PACKETS: u16 = 2;
const NFTA_IMMEDIATE_DREG: u16 = 1;
const NFTA_IMMEDIATE_DATA: u16 = 2;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFT_REG_VERDICT: u32 = 0;
const NF_DROP: u32 = 0;
/// `struct nfgenmsg`: family, version, resource.
const GENERIC_HEADER_BYTES: usize = 4;

/// What was read of the rules.
pub struct Dump {
    /// The rules; an error when there is no nftables, or not the right to read it.
    pub rules: io::Result<Rules>,
    /// What is still going on afterwards; until it has finished, the namespace is kept alive.
    pub closing: Option<JoinHandle<()>>,
}

/// All rules of the current namespace that count what they match, and drop or refuse it.
pub fn dropping_rules() -> Dump {
    let socket = match netlink::open(NETLINK_NETFILTER) {
        Ok(socket) => socket,
        Err(error) => return Dump { rules: Err(error), closing: None },
    };
    let answers = netlink::request_over(&socket, Kind::Dump, Message(None));
    let rules = answers.map(|answers| answers.into_iter().filter_map(|answer| answer.0).collect());
    Dump { rules, closing: close_aside(socket) }
}

/// Closing such a socket waits for the change to the rules that somebody is making (`nft_rcv_nl_event` in
/// net/netfilter/nf_tables_api.c, v6.1, takes the namespace's commit mutex): 5 to 20 s were seen on a busy machine. Nothing
/// else may wait for that.
fn close_aside(socket: Socket) -> Option<JoinHandle<()>> {
    thread::Builder::new().name("agent-close".to_owned()).spawn(move || drop(socket)).ok()
}

/// The request for all rules, and an answer as far as it is of interest.
struct Message(Option<(Rule, u64)>);

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE
    }

    fn buffer_len(&self) -> usize {
        GENERIC_HEADER_BYTES
    }

    /// Of all families (NFPROTO_UNSPEC, zero).
    fn serialize(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

impl NetlinkDeserializable for Message {
    type Error = DecodeError;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self(parse(payload)))
    }
}

impl From<Message> for NetlinkPayload<Message> {
    fn from(message: Message) -> Self {
        Self::InnerMessage(message)
    }
}

/// A rule that counts and drops, with the packets it counted; `None` for any other, and for what is malformed.
pub fn parse(payload: &[u8]) -> Option<(Rule, u64)> {
    let (header, attributes) = payload.split_at_checked(GENERIC_HEADER_BYTES)?;
    let expressions = find(attributes, NFTA_RULE_EXPRESSIONS)?;
    let (mut packets, mut drops) = (None, false);
    for element in NlasIterator::new(expressions) {
        let element = element.ok()?;
        let expression = element.value();
        let data = find(expression, NFTA_EXPR_DATA).unwrap_or_default();
        match text(find(expression, NFTA_EXPR_NAME)?)?.as_str() {
            "counter" => {
                packets = Some(u64::from_be_bytes(find(data, NFTA_COUNTER_PACKETS)?.try_into().ok()?))
            }
            "immediate" => drops |= is_drop(data),
            // `target` is iptables-nft's: REJECT, and whatever else cannot be told here; equal counts will tell.
            "reject" | "target" => drops = true,
            _ => {}
        }
    }
    let rule = Rule {
        family: family(header[0]),
        table: text(find(attributes, NFTA_RULE_TABLE)?)?,
        chain: text(find(attributes, NFTA_RULE_CHAIN)?)?,
        handle: u64::from_be_bytes(find(attributes, NFTA_RULE_HANDLE)?.try_into().ok()?),
    };
    drops.then_some((rule, packets?))
}

fn is_drop(immediate: &[u8]) -> bool {
    let number = |bytes: Option<&[u8]>| Some(u32::from_be_bytes(bytes?.try_into().ok()?));
    let code = find(immediate, NFTA_IMMEDIATE_DATA)
        .and_then(|data| find(data, NFTA_DATA_VERDICT))
        .and_then(|verdict| number(find(verdict, NFTA_VERDICT_CODE)));
    number(find(immediate, NFTA_IMMEDIATE_DREG)) == Some(NFT_REG_VERDICT) && code == Some(NF_DROP)
}

/// The value of the first attribute of a kind.
fn find(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    let mut attributes = NlasIterator::new(attributes).map_while(Result::ok);
    let attribute = attributes.find(|attribute| attribute.kind() == kind)?;
    let length = usize::from(attribute.length());
    attribute.into_inner().get(NLA_HEADER_SIZE..length)
}

/// A name as the kernel ends it, with a zero.
fn text(bytes: &[u8]) -> Option<String> {
    Some(std::str::from_utf8(bytes.strip_suffix(&[0]).unwrap_or(bytes)).ok()?.to_owned())
}

/// The family as `nft` calls it (include/uapi/linux/netfilter.h, v6.1).
const fn family(number: u8) -> &'static str {
    match number {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn expression(name: &str, data: &[u8]) -> Vec<u8> {
        let name = attribute(NFTA_EXPR_NAME, format!("{name}\0").as_bytes());
        attribute(1, &[name, attribute(NFTA_EXPR_DATA, data)].concat())
    }

    fn counter(packets: u64) -> Vec<u8> {
        let bytes = attribute(1, &99_u64.to_be_bytes());
        expression("counter", &[bytes, attribute(NFTA_COUNTER_PACKETS, &packets.to_be_bytes())].concat())
    }

    fn verdict(code: u32) -> Vec<u8> {
        let verdict = attribute(NFTA_DATA_VERDICT, &attribute(NFTA_VERDICT_CODE, &code.to_be_bytes()));
        let register = attribute(NFTA_IMMEDIATE_DREG, &NFT_REG_VERDICT.to_be_bytes());
        expression("immediate", &[register, attribute(NFTA_IMMEDIATE_DATA, &verdict)].concat())
    }

    fn rule(expressions: &[Vec<u8>]) -> Vec<u8> {
        [
            vec![1, 0, 0, 0],
            attribute(NFTA_RULE_TABLE, b"local\0"),
            attribute(NFTA_RULE_CHAIN, b"input\0"),
            attribute(NFTA_RULE_HANDLE, &7_u64.to_be_bytes()),
            attribute(NFTA_RULE_EXPRESSIONS, &expressions.concat()),
        ]
        .concat()
    }

    #[test]
    fn a_rule_that_counts_and_drops_is_read() {
        let expected = Rule { family: "inet", table: "local".into(), chain: "input".into(), handle: 7 };
        let drops = rule(&[expression("cmp", &[]), counter(5), verdict(NF_DROP)]);
        assert_eq!(parse(&drops), Some((expected.clone(), 5)));
        assert_eq!(parse(&rule(&[counter(6), expression("reject", &[])])), Some((expected, 6)));
    }

    #[test]
    fn rules_that_do_not_count_or_do_not_drop_are_left_out() {
        for expressions in [vec![verdict(NF_DROP)], vec![counter(5)], vec![counter(5), verdict(1)], vec![]] {
            assert_eq!(parse(&rule(&expressions)), None);
        }
    }

    #[test]
    fn cut_or_changed_bytes_are_no_panic() {
        let whole = rule(&[counter(5), verdict(NF_DROP)]);
        for length in 0..whole.len() {
            let _ = parse(&whole[..length]);
        }
        for place in 0..whole.len() {
            for value in [0, 1, 3, 255] {
                let mut changed = whole.clone();
                changed[place] = value;
                let _ = parse(&changed);
            }
        }
    }
}
