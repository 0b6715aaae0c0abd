//! `GET /api/v1/config`: every plain setting in force and where it comes from, secrets masked.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::ControlHandle;
use crate::config::{EffectiveSetting, MASK, Origin};

pub(super) async fn config(State(handle): State<ControlHandle>) -> Response {
    let settings: Vec<Value> = handle.settings.borrow().config.iter().map(shown).collect();
    Json(json!({ "settings": settings })).into_response()
}

fn shown(setting: &EffectiveSetting) -> Value {
    json!({
        "key": setting.key,
        "value": value(&setting.value),
        "origin": origin(&setting.origin),
        "effective": setting.is_effective,
    })
}

/// The value as JSON; one that was cut, and a mask, as a text.
fn value(text: &str) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    if text == MASK {
        return MASK.into();
    }
    let parsed = toml::from_str::<toml::Table>(&format!("value = {text}")).ok();
    let value = parsed.and_then(|mut table| serde_json::to_value(table.remove("value")?).ok());
    value.unwrap_or_else(|| text.into())
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::File { path, line } => format!("file {}:{line}", path.display()),
        Origin::Default | Origin::Person | Origin::Environment { .. } | Origin::CommandLine { .. } => {
            origin.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_where_they_can_be() {
        for (text, expected) in [
            ("8086", json!(8086)),
            ("true", json!(true)),
            ("\"a \\\"b\\\"\"", json!("a \"b\"")),
            ("[\"a\", \"b\"]", json!(["a", "b"])),
            ("[1, … 7 in all]", json!("[1, … 7 in all]")),
            ("***", json!("***")),
            ("", Value::Null),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }
}
