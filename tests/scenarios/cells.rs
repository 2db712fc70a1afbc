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

/// Cells without a row, and why.
const EMPTY: &[(Code, &[Setting], &str)] = &[
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
    (
        Code::DuplicateTuple,
        &[Translated, Proxied],
        "a node that puts its own address in the place of a client's takes a port that is free",
    ),
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

fn is_excused(code: Code, setting: Setting) -> bool {
    EMPTY.iter().any(|(of, settings, _)| *of == code && settings.contains(&setting))
}

#[test]
fn every_cell_has_a_row_or_a_reason() {
    let mut wrong = Vec::new();
    for code in Code::ALL {
        if WITHOUT_ROWS.iter().any(|(without, _)| *without == code) {
            continue;
        }
        let filled = filled(code);
        for setting in SETTINGS {
            match (filled.contains(&setting), is_excused(code, setting)) {
                (false, false) => wrong.push(format!("{} {setting:?}: no row finds it", code.name())),
                (true, true) => wrong.push(format!("{} {setting:?}: has a row and a reason", code.name())),
                (true, false) | (false, true) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(EMPTY.iter().all(|(_, _, why)| !why.is_empty()));
}
