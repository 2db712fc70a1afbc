//! What every conclusion rests on, written down: JSON lines that can be replayed without a kernel.
//!
//! Each line holds one thing that is new: `watch`, `blind_spots`, `sources`, `follow` (a watched port and the local one
//! behind it, or itself once it is no longer translated), `stop` (the task was told to) or `sample`. Of a sample only what changed since the one before is written, of a tally only what is not
//! zero. The form follows the types of the domain and promises nothing to anybody but the tests of the same version.

use std::collections::BTreeMap;

use serde::{Serialize, ser::Error};
use serde_json::{Map, Value, json};

use crate::domain::sample::Sample;

/// What was written so far, so that only news is.
#[derive(Default)]
pub struct Recording {
    latest: BTreeMap<&'static str, Value>,
    sample: Map<String, Value>,
}

impl Recording {
    /// The line about something, unless it is as it was.
    ///
    /// # Errors
    ///
    /// When it has no form in JSON.
    pub fn note(&mut self, what: &'static str, value: &impl Serialize) -> serde_json::Result<Option<String>> {
        let value = serde_json::to_value(value)?;
        if self.latest.get(what) == Some(&value) {
            return Ok(None);
        }
        let line = format!("{}\n", json!({ what: &value }));
        self.latest.insert(what, value);
        Ok(Some(line))
    }

    /// The line about one look at the kernel.
    ///
    /// # Errors
    ///
    /// When it has no form in JSON.
    pub fn sample(&mut self, sample: &Sample) -> serde_json::Result<String> {
        let Value::Object(mut now) = serde_json::to_value(sample)? else {
            return Err(serde_json::Error::custom("a sample is an object"));
        };
        if let Some(tallies) = now.get_mut("tallies") {
            drop_zeros(tallies);
        }
        let is_new = |(name, value): &(&String, &Value)| self.sample.get(*name) != Some(*value);
        let changed: Map<_, _> =
            now.iter().filter(is_new).map(|(name, value)| (name.clone(), value.clone())).collect();
        let line = format!("{}\n", json!({ "sample": changed }));
        self.sample = now;
        Ok(line)
    }
}

/// Most counts of most tallies are zero for ever.
fn drop_zeros(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(drop_zeros);
            let is_told = |value: &Value| {
                value.as_u64() != Some(0)
                    && value.as_array().is_none_or(|list| !list.is_empty())
                    && value.as_object().is_none_or(|fields| !fields.is_empty())
            };
            fields.retain(|name, value| is_told(value) || is_part_of_a_key(name));
        }
        Value::Array(items) => items.iter_mut().for_each(drop_zeros),
        _ => {}
    }
}

/// Slot zero is that of unnamed sources; a duration has two parts.
fn is_part_of_a_key(name: &str) -> bool {
    matches!(name, "slot" | "port" | "secs" | "nanos")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{sample::TallyKey, tally::Tally};

    #[test]
    fn what_did_not_change_is_not_written_again() {
        let mut recording = Recording::default();
        let told = [1, 1, 2].map(|port| recording.note("follow", &(8080, port)).expect("JSON"));
        assert_eq!(
            told,
            [Some("{\"follow\":[8080,1]}\n".into()), None, Some("{\"follow\":[8080,2]}\n".into())]
        );
    }

    #[test]
    fn of_a_sample_only_news_and_of_a_tally_only_counts() {
        let key = TallyKey { slot: 0, port: 8080 };
        let mut sample = Sample { at: Duration::from_secs(1), ..Sample::default() };
        sample.tallies.insert(key, Tally { arrived: 3, ..Tally::default() });
        let mut recording = Recording::default();
        let told = [1, 2].map(|second| {
            sample.at = Duration::from_secs(second);
            let line = recording.sample(&sample).expect("JSON");
            serde_json::from_str::<Value>(&line).expect("JSON")
        });
        assert_eq!(
            told[0]["sample"]["tallies"],
            json!([[{ "slot": 0, "port": 8080 }, { "arrived": 3, "answers": { "wait": { "secs": 0, "nanos": 0 } } }]])
        );
        assert_eq!(told[1], json!({ "sample": { "at": { "secs": 2, "nanos": 0 } } }));
    }
}
