//! The settings in force: key, value with secrets masked, and where each comes from.

use toml::de::DeValue;

use super::not_effective;
use super::origin::Origin;
use super::reader::{Reader, shorten};
use super::schema::{self, Key, Kind, Preset};
use super::secret::MASK;

/// How many items of a list are shown.
const SHOWN_ITEMS: usize = 5;

/// One setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// `table.key`.
    pub key: String,
    /// The value as TOML, secrets masked, long lists cut; empty when there is none.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether it does something in this version.
    pub is_effective: bool,
}

/// Every key of the schema but aliases, in the order of the schema.
pub(super) fn collect(reader: &Reader<'_>) -> Vec<EffectiveSetting> {
    schema::all()
        .filter(|(_, key)| key.alias_of.is_none())
        .map(|(table, key)| setting(reader, table, key))
        .collect()
}

/// A value as TOML on one line; the values of a table of headers are secrets.
pub(super) fn show(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(datetime) => datetime.to_string(),
        DeValue::Array(items) => {
            let mut shown: Vec<String> =
                items.iter().take(SHOWN_ITEMS).map(|item| show(item.get_ref())).collect();
            if items.len() > SHOWN_ITEMS {
                shown.push(format!("… {} in all", items.len()));
            }
            format!("[{}]", shown.join(", "))
        }
        DeValue::Table(table) => {
            let shown: Vec<String> = table
                .iter()
                .map(|(key, value)| format!("{} = {}", key.get_ref(), show(value.get_ref())))
                .collect();
            format!("{{ {} }}", shown.join(", "))
        }
    }
}

fn setting(reader: &Reader<'_>, table: &str, key: &Key) -> EffectiveSetting {
    let name = format!("{table}.{}", key.name);
    let is_effective = !not_effective::is_not_yet(table, key.name);
    let Some(found) = reader.find(table, key.name) else {
        return EffectiveSetting {
            key: name,
            value: show_preset(key),
            origin: Origin::Default,
            is_effective,
        };
    };
    let value = if key.secret { MASK.to_owned() } else { show(found.value) };
    EffectiveSetting { key: name, value, origin: found.origin, is_effective }
}

fn show_preset(key: &Key) -> String {
    match (key.preset, key.kind) {
        (Preset::Boolean(flag), _) => flag.to_string(),
        (Preset::Integer(number), _) => number.to_string(),
        (Preset::Text(text), _) => quoted(text),
        (Preset::None, Kind::List | Kind::Zones) => "[]".to_owned(),
        (Preset::None, _) => String::new(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", shorten(text).replace('\\', "\\\\").replace('"', "\\\""))
}
