//! Every code has a row in which it is found, and one that only looks like it.

use std::collections::BTreeSet;

use agent::domain::finding::Code;
use lab::plan::{
    Family::{self, V4, V6},
    Plan,
};

use crate::{
    absence, application, asked, calm, delayed,
    expected::Expected,
    fallbacks, faults, more_near_misses, near_misses, over_http, partial, policy_routes, proxied, rare,
    row::{Kind, Row, Table},
    shared_faults, shared_near_misses, software, starting, translated,
};

/// All tables, by the name of their module.
const TABLES: &[(&str, &Table)] = &[
    ("absence", absence::TABLE),
    ("application", application::TABLE),
    ("delayed", delayed::TABLE),
    ("fallbacks", fallbacks::TABLE),
    ("faults", faults::TABLE),
    ("more_near_misses", more_near_misses::TABLE),
    ("near_misses", near_misses::TABLE),
    ("over_http", over_http::TABLE),
    ("policy_routes", policy_routes::TABLE),
    ("proxied", proxied::TABLE),
    ("rare", rare::TABLE),
    ("shared_faults", shared_faults::TABLE),
    ("shared_near_misses", shared_near_misses::TABLE),
    ("software", software::TABLE),
    ("translated", translated::TABLE),
];

/// A row that is a test of its own because it needs more than a table holds.
pub struct ByHand {
    /// What it finds, or is near; none where it is only calm.
    pub code: Option<Code>,
    /// Its family.
    pub family: Family,
    /// What it is, and what it finds.
    pub row: Row,
    /// The name of its test, with the module.
    pub test: &'static str,
    /// Named here so that it cannot go away unnoticed.
    _test: fn(),
}

/// The tests that show a row of a module, each with its family.
macro_rules! by_hand {
    ($($code:expr, $module:ident { $($row:ident: $family:ident $test:ident,)+ })+) => {
        &[$($(ByHand {
            code: $code,
            family: $family,
            row: $module::$row,
            test: concat!(stringify!($module), "::", stringify!($test)),
            _test: $module::$test,
        },)+)+]
    };
}

/// All of them.
pub const BY_HAND: &[ByHand] = by_hand! {
    Some(Code::BadChecksum), rare {
        CHECKSUMS_ARE_WRONG: V4 checksums_are_wrong_ipv4,
        CHECKSUMS_OF_A_NODE_ARE_WRONG: V6 checksums_are_wrong_ipv6,
        A_CHECKSUM_IS_WRONG: V4 a_checksum_is_wrong_now_and_then_ipv4,
        A_CHECKSUM_OF_A_NODE_IS_WRONG: V6 a_checksum_is_wrong_now_and_then_ipv6,
    }
    Some(Code::ProbesPartial), partial {
        IS_SEEN_TWICE: V4 a_node_that_was_seen_twice_only_is_missed_while_another_goes_on_ipv4,
        IS_SEEN_TWICE_OVER_HTTP: V6 a_node_that_was_seen_twice_only_is_missed_while_another_goes_on_ipv6,
        IS_SEEN_TWICE_BESIDE_CLIENTS: V4 a_node_that_was_seen_twice_only_is_suspected_while_its_clients_go_on_ipv4,
        GOES_ON_BESIDE_CLIENTS: V6 a_node_that_goes_on_beside_its_clients_is_not_missed_ipv6,
        GOES_ON: V4 a_node_that_goes_on_is_not_missed_ipv4,
        GOES_ON_OVER_HTTP: V6 a_node_that_goes_on_is_not_missed_ipv6,
    }
    Some(Code::SlowStart), starting {
        LISTENS_LATE: V4 an_application_that_listens_late_is_at_fault_until_it_has_served_ipv4,
        LISTENS_LATE_BEHIND_A_SHARED_ADDRESS: V6 an_application_that_listens_late_is_at_fault_until_it_has_served_ipv6,
        LISTENS_IN_TIME: V4 an_application_that_listens_in_time_is_not_ipv4,
        LISTENS_IN_TIME: V6 an_application_that_listens_in_time_is_not_ipv6,
        LISTENS_IN_TIME_BEHIND_A_SHARED_ADDRESS: V4 an_application_that_listens_in_time_behind_a_shared_address_is_not_ipv4,
    }
    Some(Code::NoListener), starting {
        STARTS_LATE: V4 an_application_that_starts_late_is_refused_and_then_served_ipv4,
        STARTS_LATE: V6 an_application_that_starts_late_is_refused_and_then_served_ipv6,
    }
    None, calm {
        OVER_HTTP: V6 an_untidy_service_with_preserved_addresses_raises_no_fault_ipv6,
        SHARED: V4 an_untidy_service_behind_shared_addresses_raises_no_fault_ipv4,
        OVER_TCP: V4 an_untidy_service_over_tcp_checks_raises_no_fault_ipv4,
        SHARED_OVER_TCP: V6 an_untidy_service_behind_shared_addresses_over_tcp_checks_raises_no_fault_ipv6,
        OVER_TLS: V6 an_untidy_service_over_tls_raises_no_fault_ipv6,
        SHARED_OVER_TLS: V4 an_untidy_service_over_tls_behind_shared_addresses_raises_no_fault_ipv4,
        PROXIED: V6 an_untidy_service_behind_proxy_protocol_raises_no_fault_ipv6,
    }
};

/// Codes that no row can have, and why.
pub const WITHOUT_ROWS: &[(Code, &str)] = &[(
    Code::AllowanceExceeded,
    "only the driver of an ENA device counts allowances (agent/src/kernel/ethtool.rs), and no interface that can be made here \
     has such counters; fault and near miss are in agent/src/domain/diagnosis/tests/allowance.rs",
)];

/// Codes that never are a fault by themselves: in their row they are a note.
const NOTES: &[Code] = &[Code::ProbesWithdrawn, Code::PortTranslated, Code::SharedSource];

/// All rows of tables, with the families that they run on.
pub fn all() -> impl Iterator<Item = (String, &'static [Family], &'static Row)> {
    TABLES.iter().flat_map(|(module, table)| {
        table.iter().map(move |(name, families, row)| (format!("{module}::{name}"), *families, row))
    })
}

fn expected(row: &Row, families: &[Family]) -> Vec<Expected> {
    families.iter().flat_map(|family| (row.expected)(&Plan::from_seed(*family, 1))).collect()
}

fn is_fault(finding: &Expected) -> bool {
    finding.severity == "fault" && finding.confidence != "suspected"
}

/// Whether a row shows on one of these families that this code is found: as a fault that makes the verdict, or as the note that
/// it is.
pub fn shows(row: &Row, families: &[Family], code: Code) -> bool {
    let is_note = NOTES.contains(&code);
    let found = expected(row, families);
    found.iter().any(|finding| finding.code == code.name() && (is_note || is_fault(finding)))
}

#[test]
fn every_code_has_a_row_that_finds_it_and_a_near_miss() {
    let mut lacking = BTreeSet::new();
    for code in Code::ALL {
        if WITHOUT_ROWS.iter().any(|(without, _)| *without == code) {
            continue;
        }
        let by_hand =
            |kind: Kind| BY_HAND.iter().any(|hand| (hand.code, hand.row.kind()) == (Some(code), kind));
        if !by_hand(Kind::Fault) && !all().any(|(_, families, row)| shows(row, families, code)) {
            lacking.insert((code.name(), "no row in which it is found"));
        }
        if !by_hand(Kind::NearMiss) && !all().any(|(_, _, row)| row.near.contains(&code)) {
            lacking.insert((code.name(), "no near miss"));
        }
    }
    assert!(lacking.is_empty(), "{lacking:#?}");
}

#[test]
fn what_has_no_row_would_be_missed_if_it_had_one() {
    for (code, why) in WITHOUT_ROWS {
        assert!(!why.is_empty());
        assert!(!all().any(|(_, families, row)| shows(row, families, *code)), "{} has a row", code.name());
    }
}

#[test]
fn every_row_says_what_it_is_and_holds_to_it() {
    for (name, families, row) in all() {
        let found = expected(row, families);
        let has_fault = found.iter().any(is_fault);
        assert_eq!(row.verdict == "fault", has_fault, "{name}: the verdict is that of the findings");
        if row.kind() == Kind::Calm {
            assert_eq!(row.verdict, "healthy", "{name} is not healthy and near nothing");
        }
        for code in row.near {
            let mut same = found.iter().filter(|finding| finding.code == code.name());
            assert!(!same.any(is_fault), "{name} is near {} and finds it", code.name());
            // What is a note at the most must not be found at all.
            assert!(!NOTES.contains(code) || !shows(row, families, *code), "{name}: {}", code.name());
        }
    }
}

#[test]
fn every_row_states_the_exit_code_of_its_verdict() {
    for (name, families, row) in all() {
        match row.asked {
            asked::Asked::LateAs(code, exit) => {
                assert!(Code::ALL.iter().any(|known| known.name() == code), "{name}: {code}");
                let differs = exit != asked::exit_code(row.verdict);
                let is_expected = expected(row, families).iter().any(|finding| finding.code == code);
                assert!(differs || !is_expected, "{name} needs no answer of its own");
            }
            asked::Asked::Late | asked::Asked::Held => {
                assert!([0, 1, 4].contains(&asked::exit_code(row.verdict)), "{name}");
            }
        }
    }
}
