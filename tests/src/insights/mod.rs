//! CloudWatch Logs Insights in small: runs a query over lines as a log group would hold them.
//!
//! Nothing outside of AWS runs that language whole. This does the part that `docs/cloudwatch.md` uses, by the language's
//! reference (CloudWatch Logs User Guide, "CloudWatch Logs Insights query language": pages on `fields`, `filter`, `stats`,
//! `sort`, `limit`), and panics at anything else, so that a query which it takes means what it says.

mod condition;
mod stats;
mod words;

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

pub use words::{Word, words};

/// A row of a result, or an event with what Logs Insights discovers in it: fields by name.
pub type Row = Map<String, Value>;

/// A line of the agent as an event of a log stream: `@timestamp` (here milliseconds since 1970), `@logStream`, `@message`
/// and the members of the line. Lists and objects are not looked into.
pub fn event(line: &str, log_stream: &str, time_milliseconds: i64) -> Row {
    let mut row: Row = serde_json::from_str(line).expect("a line is a JSON object");
    row.insert("@message".to_owned(), json!(line));
    row.insert("@logStream".to_owned(), json!(log_stream));
    row.insert("@timestamp".to_owned(), json!(time_milliseconds));
    row
}

/// What a query gives for these events, each row with the fields in the order of the query.
///
/// # Panics
///
/// When the query has something that is not known here.
pub fn run(query: &str, events: &[Row]) -> Vec<Row> {
    let words = words(query);
    let mut rows = events.to_vec();
    let mut shown: Option<Vec<String>> = None;
    for command in words.split(|word| *word == Word::Sign("|")) {
        let (name, rest) = command.split_first().expect("a command between two bars");
        match name.name() {
            "fields" => shown.get_or_insert_default().extend(names(rest)),
            "filter" => {
                let condition = condition::parse(rest);
                rows.retain(|row| condition.holds(row));
            }
            "stats" => {
                let stats = stats::parse(rest);
                rows = stats.of(&rows);
                shown = Some(stats.columns());
            }
            "sort" => sort(&mut rows, rest),
            "limit" => rows.truncate(rest[0].number() as usize),
            other => panic!("{other} is no command that is known here"),
        }
    }
    let shown = shown.unwrap_or_else(|| vec!["@timestamp".to_owned(), "@message".to_owned()]);
    rows.iter().map(|row| select(row, &shown)).collect()
}

/// A field that a row does not have is left out of the result, as AWS does it.
fn select(row: &Row, shown: &[String]) -> Row {
    shown.iter().filter_map(|name| Some((name.clone(), row.get(name)?.clone()))).collect()
}

/// Names with commas between them.
fn names(words: &[Word]) -> impl Iterator<Item = String> + '_ {
    words.split(|word| *word == Word::Sign(",")).map(|part| {
        assert_eq!(part.len(), 1, "{part:?} is no field alone");
        part[0].name().to_owned()
    })
}

fn sort(rows: &mut [Row], words: &[Word]) {
    let (field, order) = match words {
        [field] => (field.name(), "asc"),
        [field, order] => (field.name(), order.name()),
        _ => panic!("{words:?}: one field is sorted by here"),
    };
    rows.sort_by(|one, other| {
        let order_up = compare(one.get(field), other.get(field));
        match order {
            "asc" => order_up,
            "desc" => order_up.reverse(),
            other => panic!("{other} is neither asc nor desc"),
        }
    });
}

/// Numbers by their size, everything else as text; what is not there comes first.
fn compare(one: Option<&Value>, other: Option<&Value>) -> Ordering {
    match (one.and_then(Value::as_f64), other.and_then(Value::as_f64)) {
        (Some(one), Some(other)) => one.total_cmp(&other),
        _ => one.map(text).cmp(&other.map(text)),
    }
}

/// A value as it is shown and compared: a text without its quotes.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<Row> {
        let lines = [
            r#"{"kind":"report","source":"a","arrived":3,"class":"nlb_probe"}"#,
            r#"{"kind":"report","source":"b","arrived":12,"class":"client"}"#,
            r#"{"kind":"report","source":"a","arrived":4,"class":"nlb_probe"}"#,
            r#"{"kind":"verdict","verdict":"fault"}"#,
        ];
        lines.iter().enumerate().map(|(at, line)| event(line, "task/1", 30_000 * at as i64)).collect()
    }

    fn rows(query: &str) -> Value {
        json!(run(query, &events()))
    }

    #[test]
    fn filters_compare_numbers_texts_lists_and_patterns() {
        assert_eq!(
            rows("fields source | filter arrived > 3 and class = \"client\""),
            json!([{ "source": "b" }])
        );
        assert_eq!(
            rows("fields source | filter arrived > 11 or arrived = 3 | sort arrived desc | limit 1"),
            json!([{ "source": "b" }])
        );
        assert_eq!(
            rows("fields kind | filter kind in [\"verdict\", \"stop\"]"),
            json!([{ "kind": "verdict" }])
        );
        assert_eq!(
            rows("fields arrived | filter class like /nlb/ | sort arrived desc"),
            json!([{ "arrived": 4 }, { "arrived": 3 }])
        );
        assert_eq!(
            rows("fields kind | filter (arrived > 1 or kind = \"verdict\") and not class like \"l\""),
            json!([{ "kind": "verdict" }])
        );
        // What is not there is not equal to anything, and no smaller.
        assert_eq!(rows("fields kind | filter arrived < 3"), json!([]));
    }

    #[test]
    fn statistics_are_by_group_and_show_what_they_name() {
        let sums = rows(
            "filter kind = \"report\" | stats sum(arrived) as all, count(*) as lines, max(arrived) as most by source | sort all asc",
        );
        assert_eq!(
            sums,
            json!([
                { "all": 7.0, "lines": 2, "most": 4, "source": "a" },
                { "all": 12.0, "lines": 1, "most": 12, "source": "b" },
            ])
        );
        let minutes = rows("stats count(*) as lines, earliest(kind) as first by bin(1m)");
        assert_eq!(
            minutes,
            json!([
                { "lines": 2, "first": "report", "bin(1m)": 0 },
                { "lines": 2, "first": "report", "bin(1m)": 60_000 },
            ])
        );
    }

    #[test]
    #[should_panic(expected = "dedup is no command")]
    fn what_is_not_known_is_not_passed_over() {
        rows("dedup source");
    }
}
