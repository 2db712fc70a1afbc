//! The files of `deploy/`, filled in as Terraform and `envsubst` do.

use std::path::PathBuf;

use lab::aws::moto::{ACCOUNT, REGION};
use serde_json::Value;

/// A file below `deploy/`.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

/// Its text.
///
/// # Panics
///
/// When there is none.
#[track_caller]
pub fn text(name: &str) -> String {
    let path = path(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

/// A file with its places filled in.
///
/// # Panics
///
/// When a place is left, or it is no JSON then.
#[track_caller]
pub fn filled(name: &str, log_group: &str) -> Value {
    let text = filled_text(name, log_group);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name} is no JSON: {error}"))
}

/// The text of a file with its places filled in.
///
/// # Panics
///
/// When a place is left.
#[track_caller]
pub fn filled_text(name: &str, log_group: &str) -> String {
    let places = [
        ("partition", "aws"),
        ("region", REGION),
        ("account", ACCOUNT),
        ("log_group", log_group),
        ("cluster", "prod"),
        ("service", "orders"),
        ("agents", "2"),
        ("topic", "arn:aws:sns:eu-west-1:123456789012:on-call"),
        ("retention_days", "30"),
        ("name", "orders"),
        ("execution_role", "ecsTaskExecutionRole"),
        ("image", "registry.example/health-check-tracer:0.1.0"),
        ("service_image", "registry.example/orders:7"),
        ("port", "8080"),
        ("nlb", "orders-0123456789abcdef.elb.eu-west-1.amazonaws.com"),
    ];
    let mut text = text(name);
    for (place, value) in places {
        text = text.replace(&format!("${{{place}}}"), value);
    }
    assert!(!text.contains("${"), "a place is left in {name}: {text}");
    text
}

/// The actions that a policy allows.
pub fn actions(policy: &Value) -> Vec<String> {
    let statements = policy["Statement"].as_array().into_iter().flatten();
    let actions = statements.flat_map(|statement| statement["Action"].as_array().into_iter().flatten());
    actions.filter_map(|action| Some(action.as_str()?.to_owned())).collect()
}
