//! What `stats` makes of the rows: aggregates, by group.

use serde_json::{Value, json};

use super::{Row, compare, words::Word};

/// The aggregates and what they are grouped by.
pub struct Stats {
    aggregates: Vec<Aggregate>,
    groups: Vec<Group>,
}

struct Aggregate {
    function: String,
    field: String,
    name: String,
}

enum Group {
    Field(String),
    /// So many milliseconds of `@timestamp`, and how the query writes it.
    Time(i64, String),
}

impl Group {
    fn name(&self) -> &str {
        match self {
            Self::Field(name) | Self::Time(_, name) => name,
        }
    }

    fn of(&self, row: &Row) -> Option<Value> {
        match self {
            Self::Field(name) => row.get(name).cloned(),
            Self::Time(length, _) => {
                let time = row["@timestamp"].as_i64().expect("an event has a time");
                Some(json!(time - time.rem_euclid(*length)))
            }
        }
    }
}

impl Stats {
    /// Names of what is shown.
    pub fn columns(&self) -> Vec<String> {
        let aggregates = self.aggregates.iter().map(|aggregate| aggregate.name.clone());
        aggregates.chain(self.groups.iter().map(|group| group.name().to_owned())).collect()
    }

    /// One row for each group, in the order in which the groups began.
    pub fn of(&self, rows: &[Row]) -> Vec<Row> {
        let mut groups: Vec<(Vec<Option<Value>>, Vec<&Row>)> = Vec::new();
        for row in rows {
            let key: Vec<Option<Value>> = self.groups.iter().map(|group| group.of(row)).collect();
            match groups.iter_mut().find(|(of, _)| *of == key) {
                Some((_, members)) => members.push(row),
                None => groups.push((key, vec![row])),
            }
        }
        let made = groups.into_iter().map(|(key, members)| {
            let values = self.aggregates.iter().filter_map(|one| Some((one.name.clone(), one.of(&members)?)));
            let names = self
                .groups
                .iter()
                .zip(key)
                .filter_map(|(group, value)| Some((group.name().to_owned(), value?)));
            values.chain(names).collect()
        });
        made.collect()
    }
}

impl Aggregate {
    /// Over the rows that have the field.
    fn of(&self, rows: &[&Row]) -> Option<Value> {
        if self.field == "*" {
            assert_eq!(self.function, "count", "only count takes *");
            return Some(json!(rows.len()));
        }
        let mut rows: Vec<&Row> = rows.iter().copied().filter(|row| row.contains_key(&self.field)).collect();
        let value = |row: &&Row| row[&self.field].clone();
        let by_value = |one: &&&Row, other: &&&Row| compare(one.get(&self.field), other.get(&self.field));
        match self.function.as_str() {
            "count" => Some(json!(rows.len())),
            "sum" => Some(json!(rows.iter().filter_map(|row| row[&self.field].as_f64()).sum::<f64>())),
            "max" => rows.iter().max_by(by_value).map(value),
            "min" => rows.iter().min_by(by_value).map(value),
            "earliest" => {
                rows.sort_by_key(|row| row["@timestamp"].as_i64());
                rows.first().map(value)
            }
            other => panic!("{other} is no aggregate that is known here"),
        }
    }
}

/// Reads what follows `stats`.
pub fn parse(words: &[Word]) -> Stats {
    let by = words.iter().position(|word| *word == Word::Name("by".to_owned()));
    let (aggregates, groups) = by.map_or((words, &[][..]), |at| (&words[..at], &words[at + 1..]));
    Stats {
        aggregates: aggregates.split(|word| *word == Word::Sign(",")).map(aggregate).collect(),
        groups: groups
            .split(|word| *word == Word::Sign(","))
            .filter(|part| !part.is_empty())
            .map(group)
            .collect(),
    }
}

fn aggregate(words: &[Word]) -> Aggregate {
    match words {
        [
            Word::Name(function),
            Word::Sign("("),
            field,
            Word::Sign(")"),
            Word::Name(word),
            Word::Name(name),
        ] if word == "as" => {
            let field = if *field == Word::Sign("*") { "*" } else { field.name() };
            Aggregate { function: function.clone(), field: field.to_owned(), name: name.clone() }
        }
        other => panic!("{other:?} is no aggregate with a name"),
    }
}

fn group(words: &[Word]) -> Group {
    match words {
        [Word::Name(field)] => Group::Field(field.clone()),
        [Word::Name(function), Word::Sign("("), Word::Number(number, unit), Word::Sign(")")]
            if function == "bin" =>
        {
            let milliseconds = match unit.as_str() {
                "s" => 1000.0,
                "m" => 60_000.0,
                other => panic!("{other:?} is no unit that is known here"),
            };
            Group::Time((number * milliseconds) as i64, format!("bin({number}{unit})"))
        }
        other => panic!("{other:?} is nothing to group by"),
    }
}
