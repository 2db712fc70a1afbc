//! An answer of a metadata service: HTTP, whole or cut short, and the container agent's, with the JSON in it.
#![no_main]

use std::time::Duration;

use agent::discover::{
    http::{Request, Url},
    introspection::{self, Containers},
};
use agent::domain::workload::Workload;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const MAX_BYTES: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(body) = introspection::body(bytes.to_vec()) {
        assert!(bytes.ends_with(&body));
        name_all(&body);
    }
    let url = Url::parse("http://169.254.170.2/v4").expect("an address");
    let timeout = Duration::from_secs(1);
    let request = Request { method: "GET", url: &url, headers: &[], timeout, max_bytes: MAX_BYTES };
    let early = request.answer(bytes, false);
    let ended = request.answer(bytes, true);
    // The limit holds, an end is an end, and what was complete before it stays so.
    assert!(!matches!(ended, Ok(None)));
    let Ok(Some(body)) = ended else { return };
    assert!(body.len() <= MAX_BYTES);
    if let Ok(Some(complete)) = early {
        assert_eq!(complete, body);
    }
    name_all(&body);
});

/// Names all containers of an answer; what is said of them goes onto terminals.
fn name_all(body: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    let containers = Containers::from_json(&value);
    let tasks = value["Tasks"].as_array().into_iter().flatten();
    for container in tasks.filter_map(|task| task["Containers"].as_array()).flatten() {
        let id = container["DockerId"].as_str().filter(|id| id.bytes().all(|byte| byte.is_ascii_graphic()));
        let named = containers.name(&Workload { container: id.map(str::to_owned), ..Workload::default() });
        let phrase = named.phrase().unwrap_or_default();
        assert!(!phrase.chars().any(char::is_control), "{phrase:?}");
        let _of_an_arn = (named.task_id(), named.cluster());
    }
}
