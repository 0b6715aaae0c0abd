//! Keys that load already, but whose feature does not exist in this version. Empty when the product is complete.

use super::diagnostic::{Diagnostic, Severity};
use super::origin::Origin;
use super::reader::Reader;
use super::schema;

/// `(table, key)` without an effect in this version; `*` stands for every key of the table.
/// Who builds a feature deletes its line here.
const NOT_YET: &[(&str, &str)] = &[("general", "control_plane_url"), ("control_plane", "*"), ("auth", "*")];

/// `(table, key, for what it has no effect yet)`.
const NOT_EVERYWHERE: &[(&str, &str, &str)] = &[("outbound_proxy", "url", "beyond the SIEM")];

/// A key that was given and does nothing yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotEffective {
    /// `table.key`; for one that does something elsewhere, with what it does not in brackets.
    pub key: String,
    /// Where it was given.
    pub origin: Origin,
}

impl NotEffective {
    /// The same as a warning for `config validate` and the log.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let message = format!("`{}` is not effective in this version", self.key);
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(self.origin.clone(), message) }
    }
}

/// The keys that were given and do nothing yet, in the order of the schema.
pub(super) fn collect(reader: &Reader<'_>) -> Vec<NotEffective> {
    schema::all().filter_map(|(table, key)| check(reader, table, key.name)).collect()
}

fn check(reader: &Reader<'_>, table: &str, key: &str) -> Option<NotEffective> {
    let outside = reader.overrides.iter().rev().find(|given| (given.table, given.key) == (table, key));
    let given = match outside {
        Some(given) => super::reader::Found { value: &given.value, origin: given.origin.clone() },
        None => reader.find_in_file(table, key)?,
    };
    let limit = NOT_EVERYWHERE.iter().find(|(of, name, _)| (*of, *name) == (table, key));
    let name = match limit {
        Some((_, _, beyond)) => format!("{table}.{key} ({beyond})"),
        None => format!("{table}.{key}"),
    };
    (limit.is_some() || is_not_yet(table, key)).then_some(NotEffective { key: name, origin: given.origin })
}

/// Whether the whole key does nothing yet.
pub(super) fn is_not_yet(table: &str, key: &str) -> bool {
    NOT_YET.iter().any(|(of, name)| *of == table && (*name == "*" || *name == key))
}
