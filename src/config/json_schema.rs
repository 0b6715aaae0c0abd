//! The configuration as a JSON Schema, for editors and for tools that write it: made from the same tables as the reader.

use serde_json::{Map, Value, json};

use super::schema::{CLIENT, Key, Kind, Preset, SPLIT_DNS, Schema, Table};

/// The dialect (JSON Schema 2020-12, section 8.1.1).
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of the whole file.
#[must_use]
pub fn json_schema() -> Value {
    schema_of(&CLIENT)
}

/// The same for any of our configuration files.
pub(crate) fn schema_of(schema: &Schema) -> Value {
    let mut properties = Map::new();
    for (name, keys) in schema.rows {
        properties.insert((*name).to_owned(), json!({ "type": "array", "items": table(keys) }));
    }
    let (root, tables): (Vec<&Table>, Vec<&Table>) =
        schema.tables.iter().partition(|table| table.name.is_empty());
    for section in tables {
        properties.insert(section.name.to_owned(), table(section.keys));
    }
    for key in root.iter().flat_map(|root| root.keys) {
        properties.insert(key.name.to_owned(), value(key));
    }
    let mut whole = json!({
        "$schema": DIALECT,
        "title": schema.title,
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    let required = required(root.iter().flat_map(|root| root.keys));
    if !required.is_empty() {
        whole["required"] = json!(required);
    }
    whole
}

fn table(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys.iter().map(|key| (key.name.to_owned(), value(key))).collect();
    let required = required(keys);
    let mut table = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        table["required"] = json!(required);
    }
    table
}

fn required<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Vec<&'static str> {
    keys.into_iter().filter(|key| key.required).map(|key| key.name).collect()
}

fn value(key: &Key) -> Value {
    let mut value = kind(key.kind);
    match key.preset {
        Preset::None => {}
        Preset::Boolean(preset) => value["default"] = json!(preset),
        Preset::Integer(preset) => value["default"] = json!(preset),
        Preset::Text(preset) => value["default"] = json!(preset),
    }
    if let Some((table, of)) = key.alias_of {
        value["description"] = json!(format!("The same as `{of}` in `[{table}]`."));
    }
    if key.secret {
        value["writeOnly"] = json!(true);
    }
    value
}

fn kind(kind: Kind) -> Value {
    match kind {
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::IntegerOr { min, max, word } => {
            json!({ "anyOf": [{ "type": "integer", "minimum": min, "maximum": max }, { "const": word }] })
        }
        Kind::Text => json!({ "type": "string" }),
        Kind::Choice(words) => {
            json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": any_case(words) }] })
        }
        Kind::List => json!({ "type": ["string", "array"], "items": { "type": "string" } }),
        Kind::Headers => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Zones => json!({ "type": "array", "items": table(SPLIT_DNS) }),
    }
}

/// The words in upper or lower case; the dialect has no flag for that (ECMA-262 patterns).
fn any_case(words: &[&str]) -> String {
    let letter = |letter: char| match letter.is_ascii_alphabetic() {
        true => format!("[{}{}]", letter.to_ascii_lowercase(), letter.to_ascii_uppercase()),
        false => letter.to_string(),
    };
    let patterns: Vec<String> = words.iter().map(|word| word.chars().map(letter).collect()).collect();
    format!("^({})$", patterns.join("|"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::config::schema::GATEWAY;

    const PATH: &str = "docs/generated/configuration.schema.json";

    #[test]
    fn the_committed_schema_is_what_the_tables_say() {
        let committed = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PATH));
        let committed: Value = serde_json::from_str(&committed.unwrap_or_default()).unwrap_or_default();
        assert!(
            committed == json_schema(),
            "{PATH} is out of date: run `openztna-client-connector config schema >{PATH}`"
        );
    }

    #[test]
    fn each_kind_has_its_form() {
        let schema = json_schema();
        let at = |pointer: &str| {
            schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer}\n{schema:#}")).clone()
        };
        assert_eq!(at("/properties/tunneling/properties/keep_alive/maximum"), 65_535);
        assert_eq!(at("/properties/tunneling/properties/mtu/anyOf/1/const"), "auto");
        assert_eq!(at("/properties/tunneling/properties/mtu/default"), 1_420);
        assert_eq!(at("/properties/gateway/items/properties/preshared_key/writeOnly"), true);
        assert_eq!(at("/properties/dns/properties/split_dns/items/required/0"), "domain");
        assert_eq!(
            at("/properties/logging/properties/siem_format/anyOf/1/pattern"),
            "^([cC][eE][fF]|[lL][eE][eE][fF]|[jJ][sS][oO][nN])$"
        );
    }

    #[test]
    fn what_is_required_is_what_the_reader_misses() {
        let gateway = [
            ("name", "\"hq\""),
            ("public_key", "\"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\""),
            ("endpoint", "\"198.51.100.7:51820\""),
            ("address", "\"10.77.0.3\""),
            ("private_key_file", "\"hq.key\""),
            ("allowed_ips", "\"10.77.0.0/16\""),
            ("dns", "\"10.77.0.53\""),
            ("preshared_key", "\"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\""),
        ];
        for key in GATEWAY {
            let rows = gateway.iter().filter(|(name, _)| *name != key.name);
            let rows: String = rows.map(|(name, value)| format!("{name} = {value}\n")).collect();
            let parsed = Config::parse(Path::new("test.toml"), &format!("[[gateway]]\n{rows}"));
            assert_eq!(parsed.is_err(), key.required, "{}: {parsed:?}", key.name);
        }
    }
}
