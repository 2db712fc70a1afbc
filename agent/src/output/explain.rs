//! What a finding means and what to change: the text of `docs/findings.md`, whole or by section.

use crate::domain::finding::Code;

/// The catalogue. One text for the documentation and the program, so that they cannot differ.
pub const CATALOGUE: &str = include_str!("../../../docs/findings.md");

/// The section of a code.
pub fn section(code: Code) -> Option<&'static str> {
    let heading = format!("## {}\n", code.name());
    let start = CATALOGUE.find(&heading)?;
    let rest = &CATALOGUE[start + heading.len()..];
    let end = rest.find("\n## ").map_or(CATALOGUE.len(), |length| start + heading.len() + length + 1);
    Some(CATALOGUE[start..end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: [&str; 6] = [
        "**Meaning.**",
        "**Proof.**",
        "**What else it could be.**",
        "**Change in AWS.**",
        "**Change on the host.**",
        "**In API Gateway.**",
    ];

    #[test]
    fn every_code_has_a_section_with_every_part_in_order_and_none_is_left_over() {
        for code in Code::ALL {
            let section = section(code).unwrap_or_else(|| panic!("{} has no section", code.name()));
            let places: Vec<_> = PARTS.iter().map(|part| section.find(part)).collect();
            assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{}: {places:?}", code.name());
        }
        assert_eq!(CATALOGUE.matches("\n## ").count(), Code::ALL.len());
    }

    #[test]
    fn what_to_change_in_aws_is_said_in_the_terms_of_console_and_command_line() {
        for code in Code::ALL {
            let section = section(code).expect("a section");
            let (_, change) = section.split_once("**Change in AWS.**").expect("the part");
            let (change, _) = change.split_once("**Change on the host.**").expect("the next part");
            let change = change.split_whitespace().collect::<Vec<_>>().join(" ");
            let lower = change.to_lowercase();
            let says_where = lower.contains("console:") && change.contains("`aws ");
            let is_elsewhere = change.starts_with("Nothing") || lower.contains("as for `");
            assert!(says_where || is_elsewhere, "{}: {change}", code.name());
        }
    }

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let text = section(Code::ProbesMissing).expect("a section");
        assert!(text.starts_with("## probes_missing\n") && !text.contains("## probes_stopped"));
        let last = section(Code::SharedSource).expect("a section");
        assert!(CATALOGUE.trim_end().ends_with(last));
    }
}
