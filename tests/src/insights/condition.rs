//! What `filter` asks of an event.

use serde_json::{Value, json};

use super::{Row, compare, text, words::Word};

/// A condition.
pub enum Condition {
    Either(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    /// A field, the sign, the value.
    Compares(String, &'static str, Value),
    In(String, Vec<Value>),
    Like(String, String),
}

impl Condition {
    /// Whether a row is as asked. Nothing holds of a field that is not there.
    pub fn holds(&self, row: &Row) -> bool {
        match self {
            Self::Either(parts) => parts.iter().any(|part| part.holds(row)),
            Self::All(parts) => parts.iter().all(|part| part.holds(row)),
            Self::Not(part) => !part.holds(row),
            Self::Compares(field, sign, value) => row.get(field).is_some_and(|found| {
                let order = compare(Some(found), Some(value));
                match *sign {
                    "=" => order.is_eq(),
                    "!=" => order.is_ne(),
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    ">=" => order.is_ge(),
                    other => panic!("{other} compares nothing"),
                }
            }),
            Self::In(field, values) => row
                .get(field)
                .is_some_and(|found| values.iter().any(|value| compare(Some(found), Some(value)).is_eq())),
            Self::Like(field, part) => row.get(field).is_some_and(|found| text(found).contains(part)),
        }
    }
}

/// Reads a condition: `or` binds least, then `and`, then `not`.
pub fn parse(words: &[Word]) -> Condition {
    let mut rest = words;
    let condition = either(&mut rest);
    assert!(rest.is_empty(), "{rest:?} follows a condition");
    condition
}

fn next(rest: &mut &[Word]) -> Word {
    let (first, others) = rest.split_first().expect("a condition goes on");
    *rest = others;
    first.clone()
}

fn take(rest: &mut &[Word], wanted: &Word) -> bool {
    let is_it = rest.first() == Some(wanted);
    if is_it {
        *rest = &rest[1..];
    }
    is_it
}

fn joined(rest: &mut &[Word], by: &str, part: fn(&mut &[Word]) -> Condition) -> Vec<Condition> {
    let mut parts = vec![part(rest)];
    while take(rest, &Word::Name(by.to_owned())) {
        parts.push(part(rest));
    }
    parts
}

fn either(rest: &mut &[Word]) -> Condition {
    Condition::Either(joined(rest, "or", all))
}

fn all(rest: &mut &[Word]) -> Condition {
    Condition::All(joined(rest, "and", one))
}

fn one(rest: &mut &[Word]) -> Condition {
    if take(rest, &Word::Name("not".to_owned())) {
        return Condition::Not(Box::new(one(rest)));
    }
    if take(rest, &Word::Sign("(")) {
        let inner = either(rest);
        assert!(take(rest, &Word::Sign(")")), "a bracket is not closed before {rest:?}");
        return inner;
    }
    let field = next(rest).name().to_owned();
    match next(rest) {
        Word::Sign(sign) => Condition::Compares(field, sign, value(next(rest))),
        Word::Name(word) if word == "like" => Condition::Like(field, text(&value(next(rest)))),
        Word::Name(word) if word == "in" => {
            assert!(take(rest, &Word::Sign("[")), "a list follows in");
            let mut values = vec![value(next(rest))];
            while take(rest, &Word::Sign(",")) {
                values.push(value(next(rest)));
            }
            assert!(take(rest, &Word::Sign("]")), "a list is not closed before {rest:?}");
            Condition::In(field, values)
        }
        other => panic!("{other:?} compares nothing"),
    }
}

fn value(word: Word) -> Value {
    match word {
        Word::Text(text) => json!(text),
        Word::Number(number, unit) if unit.is_empty() => json!(number),
        other => panic!("{other:?} is no value"),
    }
}
