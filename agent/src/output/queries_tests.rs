//! The queries that `docs/cloudwatch.md` offers ask for members that the lines of their kinds have, and for words that these
//! members may hold. Nothing outside of AWS runs Logs Insights.

use std::collections::BTreeSet;

use serde_json::Value;

const WORDS: &[&str] = &[
    "fields", "filter", "stats", "sort", "limit", "by", "as", "and", "or", "not", "in", "like", "desc", "asc",
];

fn queries() -> Vec<&'static str> {
    let (_, rest) = include_str!("../../../docs/cloudwatch.md")
        .split_once("## Logs Insights queries")
        .expect("a chapter");
    let (chapter, _) = rest.split_once("\n## ").expect("another chapter");
    chapter.split("```text\n").skip(1).map(|part| part.split("```").next().expect("an end")).collect()
}

/// The members of one definition of the schema, with their own schemas.
fn members(schema: &Value, definition: &str, found: &mut Vec<(String, Value)>) {
    let definition = &schema["$defs"][definition];
    for (name, value) in definition["properties"].as_object().into_iter().flatten() {
        found.push((name.clone(), value.clone()));
    }
    for part in definition["allOf"].as_array().into_iter().flatten() {
        if let Some(name) = part["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
            members(schema, name, found);
        }
    }
}

/// What a piece of a query is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Name(String),
    Function(String),
    Text(String),
    Other(char),
}

fn pieces(query: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = query.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '/' => {
                let length = rest[1..].find(first).expect("a closing mark") + 2;
                pieces.push(Piece::Text(rest[1..length - 1].to_owned()));
                length
            }
            '@' | 'a'..='z' | 'A'..='Z' | '_' => {
                let is_part = |letter: char| letter.is_ascii_alphanumeric() || "@_.".contains(letter);
                let length = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
                let name = rest[..length].to_owned();
                let is_function = rest[length..].starts_with('(');
                pieces.push(if is_function { Piece::Function(name) } else { Piece::Name(name) });
                length
            }
            '0'..='9' => rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len()),
            other => {
                pieces.push(Piece::Other(other));
                1
            }
        };
        rest = rest[length..].trim_start();
    }
    pieces
}

/// The texts that a member is compared with, by `=` or `in [...]`.
fn compared(pieces: &[Piece]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let Piece::Name(name) = piece else { continue };
        let is_list = pieces.get(at + 1) == Some(&Piece::Name("in".to_owned()));
        let texts = pieces[at + 1..].iter().skip(1).filter(|piece| **piece != Piece::Other('['));
        let until_end = texts.take_while(|piece| matches!(piece, Piece::Text(_) | Piece::Other(',')));
        if is_list || pieces.get(at + 1) == Some(&Piece::Other('=')) {
            found.extend(until_end.filter_map(|piece| match piece {
                Piece::Text(text) => Some((name.clone(), text.clone())),
                _ => None,
            }));
        }
    }
    found
}

/// What is wrong with a query.
fn complaints(schema: &Value, query: &str) -> Vec<String> {
    let pieces = pieces(query);
    let compared = compared(&pieces);
    let kinds: Vec<&str> =
        compared.iter().filter(|(name, _)| name == "kind").map(|(_, kind)| kind.as_str()).collect();
    let mut known = Vec::new();
    for kind in &kinds {
        members(schema, if *kind == "verdict" { "verdict_line" } else { kind }, &mut known);
    }
    let made: BTreeSet<&str> =
        query.split(" as ").skip(1).filter_map(|rest| rest.split([' ', ',', '\n']).next()).collect();
    let mut wrong = Vec::new();
    if kinds.is_empty() {
        wrong.push("it names no kind of line".to_owned());
    }
    for piece in &pieces {
        match piece {
            Piece::Name(name) => {
                let is_known = name.starts_with('@')
                    || WORDS.contains(&name.as_str())
                    || made.contains(name.as_str())
                    || known.iter().any(|(member, _)| member == name);
                if !is_known {
                    wrong.push(format!("lines of the kinds {kinds:?} have no member {name}"));
                }
            }
            Piece::Function(name) => {
                if !["count", "sum", "max", "min", "bin", "earliest", "in"].contains(&name.as_str()) {
                    wrong.push(format!("{name} is no function of Logs Insights that is used here"));
                }
            }
            Piece::Text(_) | Piece::Other(_) => {}
        }
    }
    for (name, text) in compared.iter().filter(|(name, _)| name != "kind") {
        let Some((_, member)) = known.iter().find(|(member, _)| member == name) else { continue };
        let definition = member["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
        let allowed = &definition.map_or(member, |definition| &schema["$defs"][definition])["enum"];
        if allowed.as_array().is_some_and(|allowed| !allowed.contains(&text.as_str().into())) {
            wrong.push(format!("{name} is never {text}"));
        }
    }
    wrong
}

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../docs/schema/agent-lines.schema.json")).expect("JSON")
}

#[test]
fn every_query_asks_for_what_lines_of_its_kinds_have() {
    let (schema, queries) = (schema(), queries());
    assert!(queries.len() >= 8, "{}", queries.len());
    for query in queries {
        let wrong = complaints(&schema, query);
        assert!(wrong.is_empty(), "{query}\n{wrong:#?}");
    }
}

#[test]
fn this_test_refuses_what_would_find_nothing() {
    let schema = schema();
    for (query, part) in [
        ("filter kind = \"finding\" | stats count(*) by ServiceName", "no member ServiceName"),
        ("filter kind = \"finding\" and severity = \"error\"", "severity is never error"),
        ("filter kind in [\"finding\", \"verdict\"] and state = \"open\"", "state is never open"),
        ("filter severity = \"fault\"", "names no kind"),
        ("filter kind = \"report\" | stats median(arrived) as arrived by source", "median is no function"),
    ] {
        let wrong = complaints(&schema, query);
        assert!(wrong.iter().any(|one| one.contains(part)), "{query}: {wrong:?}");
    }
}
