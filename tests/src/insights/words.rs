//! The words of a query.

/// One word.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// A field, a command, an operator or a function.
    Name(String),
    /// A text between quotes, or a pattern between slashes.
    Text(String),
    /// A number, and what follows it as a unit: `1m`.
    Number(f64, String),
    /// `|`, a comma, a bracket, a comparison.
    Sign(&'static str),
}

/// Longer ones first.
const SIGNS: &[&str] = &["!=", "<=", ">=", "=", "<", ">", "|", ",", "(", ")", "[", "]", "*"];

/// Splits a query.
///
/// # Panics
///
/// At what is none of the words.
pub fn words(query: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = query.trim();
    while let Some(first) = rest.chars().next() {
        let end_of = |is_part: fn(char) -> bool| rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
        let length = if matches!(first, '"' | '/') {
            let length = rest[1..].find(first).expect("a closing mark") + 1;
            words.push(Word::Text(plain(&rest[1..length], first).to_owned()));
            length + 1
        } else if first.is_ascii_digit() {
            let (number, unit) =
                (end_of(|letter| letter.is_ascii_digit()), end_of(|letter| letter.is_ascii_alphanumeric()));
            words.push(Word::Number(rest[..number].parse().expect("digits"), rest[number..unit].to_owned()));
            unit
        } else if first.is_ascii_alphabetic() || first == '@' || first == '_' {
            let length = end_of(|letter| letter.is_ascii_alphanumeric() || "@_.".contains(letter));
            words.push(Word::Name(rest[..length].to_owned()));
            length
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.unwrap_or_else(|| panic!("{rest:?} begins with nothing that is known here"));
            words.push(Word::Sign(sign));
            sign.len()
        };
        rest = rest[length..].trim_start();
    }
    words
}

/// Patterns are searched for as they stand, so those with operators of a regular expression are none of ours.
fn plain(text: &str, mark: char) -> &str {
    assert!(
        mark == '"' || !text.contains(['.', '*', '+', '?', '^', '$', '\\', '[', '(', '|']),
        "/{text}/ is not plain"
    );
    text
}

impl Word {
    /// The name, of one that is.
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            other => panic!("{other:?} is no name"),
        }
    }

    /// The number, of one that is and has no unit.
    pub fn number(&self) -> f64 {
        match self {
            Self::Number(number, unit) if unit.is_empty() => *number,
            other => panic!("{other:?} is no number"),
        }
    }
}
