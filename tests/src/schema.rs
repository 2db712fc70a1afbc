//! The schema of the agent's lines, as users are given it.

use std::sync::LazyLock;

use serde_json::Value;

static VALIDATOR: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let text = include_str!("../../docs/schema/agent-lines.schema.json");
    let schema = serde_json::from_str(text).expect("the schema is JSON");
    jsonschema::validator_for(&schema).expect("the schema is one")
});

/// What is wrong with a line; empty when nothing is.
pub fn complaints(line: &str) -> String {
    match serde_json::from_str::<Value>(line) {
        Ok(line) => {
            let errors = VALIDATOR.iter_errors(&line);
            errors.map(|error| format!("at {:?}: {error}\n", error.instance_path().to_string())).collect()
        }
        Err(error) => format!("no JSON: {error}\n"),
    }
}
