//! The body of a request as a JSON object.

use axum::body::Bytes;
use serde::de::{DeserializeOwned, Error};
use serde_json::{Map, Value};

/// Reads an object. An array is none, though it could be read as the members in their order.
pub(super) fn object<T: DeserializeOwned>(body: &Bytes) -> Result<T, serde_json::Error> {
    let members: Map<String, Value> =
        serde_json::from_slice(body).map_err(|_| serde_json::Error::custom("this is no JSON object"))?;
    serde_json::from_value(Value::Object(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Level {
        level: String,
    }

    #[test]
    fn only_objects_are_read() {
        let read = |text: &'static str| object::<Level>(&Bytes::from_static(text.as_bytes()));
        assert_eq!(read("{\"level\":\"info\"}").unwrap().level, "info");
        for wrong in ["[\"info\"]", "\"info\"", "{", "", "{\"level\":1}", "{\"level\":\"\\ud800\"}"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
