//! For each code, in which settings a row finds it: family, health check, client addresses. A cell without a row has a reason.

use std::collections::BTreeSet;

use agent::domain::finding::Code;
use lab::{nlb::Speech, plan::Family};

use crate::{
    coverage::{BY_HAND, WITHOUT_ROWS, all, shows},
    row::{ClientPath, Kind, Row},
};

/// One of the settings of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Setting {
    Ipv4,
    Ipv6,
    OverTcp,
    /// HTTPS, too: the same inside.
    OverHttp,
    /// Clients keep their addresses, also where none comes.
    Kept,
    Translated,
    Proxied,
}

use Setting::{Ipv4, Ipv6, Kept, OverHttp, OverTcp, Proxied, Translated};

const SETTINGS: [Setting; 7] = [Ipv4, Ipv6, OverTcp, OverHttp, Kept, Translated, Proxied];

const BEHIND_THE_HANDSHAKE: &str =
    "the header comes behind the handshake, and this is told before: the same as with translated addresses";

const A_FREE_PORT: &str =
    "a node that puts its own address in the place of a client's takes a port that is free";

const KNOWN_BY_ITS_HEADER: &str = "a health check says in its header that it is one (the command LOCAL), so no client is taken for one: as over HTTP";

/// A code, settings in which it has no row, and why.
type Reason = (Code, &'static [Setting], &'static str);

/// Cells without a near miss, and why.
const NOT_APPROACHED: &[Reason] = &[
    (Code::ConntrackFull, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::BpfDrop, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::BadChecksum, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::ReversePathFilter, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::ReversePathFilter, &[Ipv6], "there is none"),
    (Code::SlowStart, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::NoListener, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::ListenerElsewhere, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::SynCookies, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::ReplyLost, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::PortTranslated, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::ProbesOtherPort, &[Proxied], BEHIND_THE_HANDSHAKE),
    (
        Code::Hairpin,
        &[Proxied],
        "a node that puts a header in front has connections of its own, as with translated addresses",
    ),
    (Code::DuplicateTuple, &[Translated, Proxied], A_FREE_PORT),
    (
        Code::ProbesMissing,
        &[Kept],
        "where clients keep their addresses, all that comes from a node is a health check: none can be overlooked",
    ),
    (Code::ProbesMissing, &[Proxied], KNOWN_BY_ITS_HEADER),
    (Code::ProbesStopped, &[Proxied], KNOWN_BY_ITS_HEADER),
    (Code::ProbesWithdrawn, &[Proxied], KNOWN_BY_ITS_HEADER),
    (Code::ProbesPartial, &[Proxied], KNOWN_BY_ITS_HEADER),
    (
        Code::AppNotAccepting,
        &[OverTcp],
        "a TCP health check passes whether anybody accepts or not; what it leaves in the queue is looked at in the same way",
    ),
    (
        Code::AppNotAccepting,
        &[Proxied],
        "the header is what a deferred accept waits for, and it comes with every connection",
    ),
    (Code::ProbeHttpStatus, &[OverTcp], "a TCP health check asks for nothing, so it gets no status"),
    (Code::ProbeTimeout, &[OverTcp], "a TCP health check waits for no answer"),
    (
        Code::ProxyProtocolMismatch,
        &[Translated],
        "no header comes there: software::nginx_wants_proxy_protocol_that_the_nlb_does_not_send",
    ),
    (Code::SharedSource, &[Translated, Proxied], "it says that they are, and it is true"),
];

/// Cells without a row, and why.
const EMPTY: &[Reason] = &[
    (Code::BadChecksum, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::ConntrackFull, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::NothingArrives, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::PortTranslated, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::ProbesOtherPort, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::ProbesWithdrawn, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::ReversePathFilter, &[Proxied], BEHIND_THE_HANDSHAKE),
    (Code::SlowStart, &[Proxied], BEHIND_THE_HANDSHAKE),
    (
        Code::ProbesPartial,
        &[Translated, Proxied],
        "while its clients go on to come, two connections may only have looked like health checks: it is no more than suspected \
         (partial.rs); once there is a rhythm, it is `probes_stopped` (absence.rs, proxied.rs)",
    ),
    (Code::ReversePathFilter, &[Ipv6], "there is none"),
    (Code::DuplicateTuple, &[Translated, Proxied], A_FREE_PORT),
    (
        Code::Hairpin,
        &[Translated, Proxied],
        "the target's own address does not come back to it: \
         near_misses::a_client_on_the_target_is_served_through_a_node_that_translates",
    ),
    (Code::SharedSource, &[Kept], "it says that they are not"),
    (Code::ProbeHttpStatus, &[OverTcp], "a TCP health check asks for nothing, so it gets no status"),
    (Code::ProbeTimeout, &[OverTcp], "a TCP health check waits for no answer"),
    (
        Code::TlsMismatch,
        &[OverTcp],
        "a TCP health check begins no TLS: software::nginx_serves_tls_over_tcp_checks",
    ),
    (
        Code::ProxyProtocolMismatch,
        &[Translated],
        "where no header comes and the application wants one, it is `app_reset`: \
         software::nginx_wants_proxy_protocol_that_the_nlb_does_not_send",
    ),
];

const fn family(family: Family) -> Setting {
    match family {
        Family::V4 => Ipv4,
        Family::V6 => Ipv6,
    }
}

/// The other two settings of a row.
const fn settings(row: &Row) -> [Setting; 2] {
    let speech = match row.speech {
        Speech::Tcp => OverTcp,
        Speech::Http | Speech::Https => OverHttp,
    };
    let clients = match row.clients {
        ClientPath::Preserved | ClientPath::Elsewhere => Kept,
        ClientPath::Translated => Translated,
        ClientPath::Proxied => Proxied,
    };
    [speech, clients]
}

/// The settings in which a row finds the code.
fn filled(code: Code) -> BTreeSet<Setting> {
    let mut filled = BTreeSet::new();
    for (_, families, row) in all() {
        for one in families.iter().filter(|one| shows(row, &[**one], code)) {
            filled.insert(family(*one));
            filled.extend(settings(row));
        }
    }
    for hand in BY_HAND.iter().filter(|hand| hand.code == Some(code) && hand.row.kind() == Kind::Fault) {
        filled.insert(family(hand.family));
        filled.extend(settings(&hand.row));
    }
    filled
}

/// The settings in which a row looks like the code and does not find it.
fn approached(code: Code) -> BTreeSet<Setting> {
    let mut approached = BTreeSet::new();
    for (_, families, row) in all().filter(|(_, _, row)| row.near.contains(&code)) {
        approached.extend(families.iter().map(|one| family(*one)));
        approached.extend(settings(row));
    }
    for hand in BY_HAND.iter().filter(|hand| hand.row.near.contains(&code)) {
        approached.insert(family(hand.family));
        approached.extend(settings(&hand.row));
    }
    approached
}

/// Every code in every setting: where it is neither in a row nor excused, or both.
fn wrong(rows: fn(Code) -> BTreeSet<Setting>, excuses: &[&[Reason]]) -> Vec<String> {
    let mut wrong = Vec::new();
    for code in Code::ALL {
        if WITHOUT_ROWS.iter().any(|(without, _)| *without == code) {
            continue;
        }
        let rows = rows(code);
        for setting in SETTINGS {
            let mut reasons = excuses.iter().flat_map(|list| list.iter());
            let is_excused = reasons.any(|(of, settings, _)| *of == code && settings.contains(&setting));
            match (rows.contains(&setting), is_excused) {
                (false, false) => {
                    wrong.push(format!("{} {setting:?}: neither a row nor a reason", code.name()))
                }
                (true, true) => wrong.push(format!("{} {setting:?}: a row and a reason", code.name())),
                (true, false) | (false, true) => {}
            }
        }
    }
    wrong
}

#[test]
fn every_cell_has_a_row_or_a_reason() {
    let wrong = wrong(filled, &[EMPTY]);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_cell_of_near_misses_has_a_row_or_a_reason() {
    let wrong = wrong(approached, &[NOT_APPROACHED]);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_reason_is_given() {
    assert!([EMPTY, NOT_APPROACHED].iter().flat_map(|list| list.iter()).all(|(_, _, why)| !why.is_empty()));
}
