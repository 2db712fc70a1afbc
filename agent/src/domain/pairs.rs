//! Maps whose keys are no text, written as lists of pairs: JSON knows no other keys.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// # Errors
///
/// Those of the serializer.
pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
    map: &BTreeMap<K, V>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(map)
}

#[cfg(test)]
pub fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    K: serde::Deserialize<'de> + Ord,
    V: serde::Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    let pairs: Vec<(K, V)> = serde::Deserialize::deserialize(deserializer)?;
    Ok(pairs.into_iter().collect())
}

/// The same for a map that may be absent.
pub mod optional {
    use super::*;

    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &Option<BTreeMap<K, V>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let pairs: Option<Vec<_>> = map.as_ref().map(|map| map.iter().collect());
        pairs.serialize(serializer)
    }

    #[cfg(test)]
    pub fn deserialize<'de, K, V, D>(deserializer: D) -> Result<Option<BTreeMap<K, V>>, D::Error>
    where
        K: serde::Deserialize<'de> + Ord,
        V: serde::Deserialize<'de>,
        D: serde::Deserializer<'de>,
    {
        let pairs: Option<Vec<(K, V)>> = serde::Deserialize::deserialize(deserializer)?;
        Ok(pairs.map(|pairs| pairs.into_iter().collect()))
    }
}
