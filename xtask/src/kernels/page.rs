//! The tables of `docs/kernel-support.md`, from what kernels showed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::record::Record;
use crate::workspace;

const PAGE: &str = "docs/kernel-support.md";
const BEGIN: &str = "<!-- written by `cargo xtask kernels --write` -->\n";
const END: &str = "<!-- end -->\n";

/// The hook at the begin of a function: it tells more where a kernel lets it be traced, and is none of the tracepoints.
pub const FUNCTION: &str = "tcp_conn_request";

/// One kernel's name, what it stands in for, and what it showed.
pub struct Column {
    pub name: &'static str,
    pub stands_in_for: &'static str,
    /// Ids of the blind spots that it may have.
    pub permitted: &'static [&'static str],
    pub record: Record,
}

/// Puts the tables into the page, in place of those that were there.
pub fn write(columns: &[Column]) -> Result<()> {
    let path = workspace::root().join(PAGE);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {PAGE}"))?;
    let (before, rest) =
        text.split_once(BEGIN).with_context(|| format!("{PAGE} has no place for the tables"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PAGE}: the tables have no end"))?;
    ensure!(!columns.is_empty(), "no kernel has shown anything yet: `cargo xtask kernels`");
    fs::write(&path, format!("{before}{BEGIN}\n{}\n{END}{after}", tables(columns)))
        .with_context(|| format!("writing {PAGE}"))?;
    eprintln!("xtask: {} kernels in {PAGE}", columns.len());
    Ok(())
}

fn tables(columns: &[Column]) -> String {
    let mut text = String::from(
        "| Kernel | Release | Stands in for | On the interface | Tracepoints | Functions | Blind spots | Permitted | Rows that held |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for Column { name, stands_in_for, permitted, record } in columns {
        let (functions, hooks): (Vec<&String>, Vec<&String>) =
            record.hooks.iter().partition(|hook| *hook == FUNCTION);
        let (interface, tracepoints): (Vec<&String>, Vec<&String>) =
            hooks.into_iter().partition(|hook| hook.starts_with("tcx") || hook.starts_with("clsact"));
        let ways: BTreeSet<&str> = interface.iter().filter_map(|hook| hook.split(' ').next()).collect();
        let _ = writeln!(
            text,
            "| {name} | {} | {stands_in_for} | {} of 4 by {} | {} of 3 | {} | {} | {} | {} |",
            record.release,
            interface.len(),
            listed(ways),
            tracepoints.len(),
            listed(functions.iter().map(|name| format!("`{name}`"))),
            listed(record.blind_spots.iter().map(|id| format!("`{id}`"))),
            listed(permitted.iter().map(|id| format!("`{id}`"))),
            record.rows,
        );
    }
    text.push_str("\nRows in which each finding was made, with nothing found beside what is expected. `blind`: the agent says that it cannot be \
        made, or not for sure. -: none of the rows that ran there asks for it.\n\n| Finding |");
    for column in columns {
        let _ = write!(text, " {} |", column.name);
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(columns.len()));
    let codes: BTreeSet<&String> =
        columns.iter().flat_map(|column| column.record.found.keys().chain(&column.record.blind)).collect();
    for code in codes {
        let _ = write!(text, "\n| `{code}` |");
        for Column { record, .. } in columns {
            let cell = match record.found.get(code) {
                Some(rows) => rows.to_string(),
                None if record.blind.contains(code) => "blind".to_owned(),
                None => "-".to_owned(),
            };
            let _ = write!(text, " {cell} |");
        }
    }
    text.push('\n');
    text
}

fn listed<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> String {
    let words: Vec<T> = words.into_iter().collect();
    if words.is_empty() {
        return "none".to_owned();
    }
    words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kernel_has_a_line_and_each_finding_a_cell_for_it() {
        let old = Record {
            release: "5.10.0".into(),
            hooks: ["clsact ingress", "clsact egress", "kfree_skb", "tcp_conn_request"]
                .map(str::to_owned)
                .into(),
            blind_spots: BTreeSet::from(["drop_reasons".into()]),
            blind: BTreeSet::from(["host_firewall".into()]),
            found: [("probes_missing".to_owned(), 2)].into(),
            rows: 7,
        };
        let new = Record {
            release: "6.18.1".into(),
            hooks: ["tcx ingress"].map(str::to_owned).into(),
            found: [("host_firewall".to_owned(), 3)].into(),
            rows: 9,
            ..Record::default()
        };
        let columns = [("5.10", old), ("running", new)].map(|(name, record)| Column {
            name,
            stands_in_for: "Amazon",
            permitted: &["drop_reasons"],
            record,
        });
        let text = tables(&columns);
        for line in [
            "| 5.10 | 5.10.0 | Amazon | 2 of 4 by clsact | 1 of 3 | `tcp_conn_request` | `drop_reasons` | `drop_reasons` | 7 |",
            "| running | 6.18.1 | Amazon | 1 of 4 by tcx | 0 of 3 | none | none | `drop_reasons` | 9 |",
            "| Finding | 5.10 | running |",
            "| `host_firewall` | blind | 3 |",
            "| `probes_missing` | 2 | - |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
