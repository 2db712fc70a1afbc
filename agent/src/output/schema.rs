//! Holds what the renderers make against the schema that users are given, `docs/schema/agent-lines.schema.json`.

use std::{fs, path::Path, sync::LazyLock};

use serde_json::{Value, json};

use crate::domain::{
    class::SourceClass,
    finding::{Code, Confidence, FactOrigin, Severity},
    ledger::State as FindingState,
    stage::{Place, Stage},
    verdict::State as VerdictState,
};

const FILE: &str = "docs/schema/agent-lines.schema.json";

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../docs/schema/agent-lines.schema.json")).expect("JSON")
});

static VALIDATOR: LazyLock<jsonschema::Validator> =
    LazyLock::new(|| jsonschema::validator_for(&SCHEMA).expect("a schema"));

/// What is wrong with a line, one complaint per line of text; empty when nothing is.
pub fn complaints(line: &Value) -> String {
    let errors = VALIDATOR.iter_errors(line);
    errors.map(|error| format!("at {:?}: {error}\n", error.instance_path().to_string())).collect()
}

/// # Panics
///
/// When the line is not as the schema says.
#[track_caller]
pub fn hold(line: &Value) {
    let complaints = complaints(line);
    assert!(complaints.is_empty(), "{line}\nis not as {FILE} says:\n{complaints}");
}

/// Whether the words of an enumeration of the schema are these. A word that the schema has and the program lacks is
/// allowed only where the contract is ahead of the program.
#[track_caller]
fn lists(definition: &str, words: &[&str], may_be_ahead: bool) {
    let listed = SCHEMA["$defs"][definition]["enum"].as_array().expect("an enumeration");
    let listed: Vec<&str> = listed.iter().filter_map(Value::as_str).collect();
    for word in words {
        assert!(listed.contains(word), "{word} is not in {FILE}: add it to $defs.{definition}.enum");
    }
    let more = listed.iter().find(|word| !words.contains(word));
    assert!(
        may_be_ahead || more.is_none(),
        "{FILE}: $defs.{definition}.enum has {more:?}, the program does not"
    );
}

#[test]
fn the_schema_is_a_schema() {
    assert!(jsonschema::meta::is_valid(&SCHEMA));
}

#[test]
fn the_schema_has_the_words_of_the_contract() {
    // The codes are fixed by the design, the program is on its way there.
    lists("code", &Code::ALL.map(Code::name), true);
    lists("stage", &Stage::ALL.map(Stage::name), false);
    let places = [
        Place::BeforeThisHost,
        Place::HostFirewall,
        Place::HostNetwork,
        Place::Listener,
        Place::ReturnPath,
        Place::Application,
    ];
    lists("place", &places.map(Place::name), false);
    let classes = [
        SourceClass::NlbProbe,
        SourceClass::Client,
        SourceClass::ClientViaNlb,
        SourceClass::NlbUndecided,
        SourceClass::Other,
    ];
    lists("class", &classes.map(SourceClass::name), false);
    lists("severity", &[Severity::Note, Severity::Fault].map(Severity::name), false);
    let confidences = [Confidence::Suspected, Confidence::Inferred, Confidence::Proven];
    lists("confidence", &confidences.map(Confidence::name), false);
    let states = [FindingState::Opened, FindingState::Ongoing, FindingState::Cleared];
    lists("finding_state", &states.map(FindingState::name), false);
    let verdicts =
        [VerdictState::Healthy, VerdictState::Fault, VerdictState::Inconclusive, VerdictState::CannotObserve];
    lists("verdict", &verdicts.map(VerdictState::name), false);
    let origins = &SCHEMA["$defs"]["finding"]["properties"]["evidence_origins"]["items"]["enum"];
    for origin in [
        FactOrigin::Hook,
        FactOrigin::Netstat,
        FactOrigin::SocketTable,
        FactOrigin::Interface,
        FactOrigin::Settings,
    ] {
        let name = origin.name();
        let listed = origins.as_array().expect("an enumeration");
        assert!(listed.contains(&json!(name)), "{name} is not in {FILE}: add it to evidence_origins");
    }
}

/// Evidence is made where it is concluded, all over the diagnosis: so its sources are read rather than its values.
#[test]
fn every_name_of_evidence_is_in_the_schema_with_its_type() {
    let mut seen = 0;
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/domain"), &mut |path, text| {
        for (constructor, wanted) in [
            ("Fact::count(", json!({"$ref": "#/$defs/count"})),
            ("Fact::seconds(", json!({"$ref": "#/$defs/seconds"})),
            ("Fact::text(", json!({"type": "string"})),
        ] {
            for (start, _) in text.match_indices(constructor) {
                let argument = text[start + constructor.len()..].trim_start();
                let name = argument.strip_prefix('"').and_then(|rest| rest.split('"').next());
                let name = name.unwrap_or_else(|| {
                    panic!("{}: write the name in {constructor}...) as a literal, so that it can be held against {FILE}", path.display())
                });
                seen += 1;
                let listed = &SCHEMA["$defs"]["evidence"]["properties"][name];
                assert_eq!(
                    listed,
                    &wanted,
                    "{}: evidence {name:?} is not in {FILE}: add it to $defs.evidence.properties as {wanted}",
                    path.display()
                );
            }
        }
    });
    assert!(seen > 30, "only {seen} facts were found: does this test still read what it should?");
}

fn visit(path: &Path, look: &mut impl FnMut(&Path, &str)) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a directory") {
            visit(&entry.expect("an entry").path(), look);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        look(path, &fs::read_to_string(path).expect("a source file"));
    }
}

#[test]
fn what_the_schema_does_not_know_is_refused() {
    let good = json!({
        "schema": 1, "time": "2026-11-25T16:00:00.000Z", "kind": "loss", "interface": "eth0", "drops": 0, "elsewhere": 0, "strays": 0, "probes": 0,
        "recursion_misses": 0, "sources": 0, "output_lines": 0, "shipping_lines": 0,
    });
    hold(&good);
    for (member, value) in [
        ("surprise", json!(1)),
        ("drops", json!(-1)),
        ("drops", json!("many")),
        ("schema", json!(2)),
        ("time", json!("yesterday")),
        ("kind", json!("lost")),
        ("interface", Value::Null),
    ] {
        let mut bad = good.clone();
        bad[member] = value;
        assert!(!complaints(&bad).is_empty(), "{bad}");
    }
    let mut bad = good;
    bad.as_object_mut().expect("an object").remove("elsewhere");
    assert!(!complaints(&bad).is_empty(), "{bad}");
}
