//! INFO and CONNECT are JSON objects whose fields come and go with versions. Reading one never fails over a single
//! field: one that is absent, null or of an unexpected type is the default, one given twice takes its last value.

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;

/// The text is no JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnObject;

impl std::fmt::Display for NotAnObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the text is not a JSON object")
    }
}

impl std::error::Error for NotAnObject {}

pub(crate) fn object<T: DeserializeOwned>(text: &[u8]) -> Result<T, NotAnObject> {
    // By way of `Value`, as that takes the last of two equal names where a derived reader refuses both.
    let value: Value = serde_json::from_slice(text).map_err(|_| NotAnObject)?;
    if !value.is_object() {
        return Err(NotAnObject);
    }
    T::deserialize(value).map_err(|_| NotAnObject)
}

/// For `#[serde(deserialize_with)]`.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(deserializer)?;
    Ok(T::deserialize(value).unwrap_or_default())
}
