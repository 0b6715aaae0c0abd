//! Settings from outside the file: environment variables and `--set` arguments.

use std::borrow::Cow;
use std::ffi::OsString;

use toml::Spanned;
use toml::de::{DeArray, DeValue};

use super::diagnostic::Diagnostic;
use super::origin::Origin;
use super::schema::{self, Key, Kind};
use super::unknown::nearest;

/// Prefix of the environment variables: `OPENZTNA_CLIENT_<TABLE>_<KEY>`.
pub const VARIABLE_PREFIX: &str = "OPENZTNA_CLIENT_";

/// A value from outside the file as it was written.
pub(super) struct Given {
    table: &'static str,
    key: &'static Key,
    text: String,
    origin: Origin,
}

/// One value from outside the file. Later ones win.
pub(crate) struct Override<'a> {
    pub(super) table: &'static str,
    pub(super) key: &'static str,
    pub(super) value: DeValue<'a>,
    pub(super) origin: Origin,
}

/// Reads the variables that start with [`VARIABLE_PREFIX`]; others are ignored.
pub(super) fn from_environment(
    variables: &[(OsString, OsString)],
    problems: &mut Vec<Diagnostic>,
) -> Vec<Given> {
    let mut found = Vec::new();
    for (variable, value) in variables {
        let Some(variable) = variable.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else {
            continue;
        };
        let origin = Origin::Environment { variable: variable.to_owned() };
        let Some((table, key)) = schema::all().find(|(table, key)| variable == variable_of(table, key.name))
        else {
            problems.push(unknown_variable(variable, origin));
            continue;
        };
        match value.to_str() {
            Some(text) => found.push(Given { table, key, text: text.to_owned(), origin }),
            None => problems.push(Diagnostic::error(origin, "the value is not UTF-8")),
        }
    }
    found
}

/// Reads `table.key=value` arguments.
pub(super) fn from_arguments(arguments: &[String], problems: &mut Vec<Diagnostic>) -> Vec<Given> {
    let mut found = Vec::new();
    for argument in arguments {
        let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
        let origin = Origin::CommandLine { argument: format!("--set {name}") };
        let known = name.split_once('.').and_then(|(table, key)| {
            schema::all().find(|candidate| candidate.0 == table && candidate.1.name == key)
        });
        match known {
            Some((table, key)) if argument.contains('=') => {
                found.push(Given { table, key, text: value.to_owned(), origin });
            }
            Some(_) => {
                problems.push(Diagnostic::error(origin, "no value").hint("write `--set table.key=value`"))
            }
            None => problems.push(unknown_argument(name, origin)),
        }
    }
    found
}

/// Gives each text the type that its key has.
pub(super) fn parse<'a>(given: &'a [Given], problems: &mut Vec<Diagnostic>) -> Vec<Override<'a>> {
    let mut overrides = Vec::with_capacity(given.len());
    for Given { table, key, text, origin } in given {
        match parse_value(key.kind, text) {
            Some(value) => overrides.push(Override { table, key: key.name, value, origin: origin.clone() }),
            None => {
                // The parser's own message may quote the text, which may be a secret.
                let error = Diagnostic::error(origin.clone(), "the value is no TOML array or table");
                problems.push(error.hint("write it as in the file"));
            }
        }
    }
    overrides
}

/// The variable that overrides a key.
pub(super) fn variable_of(table: &str, key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}_{}", table.to_ascii_uppercase(), key.to_ascii_uppercase())
}

fn unknown_variable(variable: &str, origin: Origin) -> Diagnostic {
    let known: Vec<String> = schema::all().map(|(table, key)| variable_of(table, key.name)).collect();
    let diagnostic = Diagnostic::warning(origin, "no setting has this name, so it is ignored");
    match nearest(variable, known.iter().map(String::as_str)) {
        Some(name) => diagnostic.hint(format!("did you mean `{name}`?")),
        None => diagnostic,
    }
}

fn unknown_argument(name: &str, origin: Origin) -> Diagnostic {
    let known: Vec<String> = schema::all().map(|(table, key)| format!("{table}.{}", key.name)).collect();
    let diagnostic = Diagnostic::error(origin, format!("unknown key `{name}`"));
    match nearest(name, known.iter().map(String::as_str)) {
        Some(name) => diagnostic.hint(format!("did you mean `{name}`?")),
        None => diagnostic.hint("write `--set table.key=value`"),
    }
}

/// What does not fit its kind stays a text, so that the reader complains as usual.
fn parse_value(kind: Kind, text: &str) -> Option<DeValue<'_>> {
    let as_text = || DeValue::String(Cow::Borrowed(text));
    match kind {
        Kind::Boolean | Kind::Integer { .. } | Kind::IntegerOr { .. } => {
            Some(parse_toml(text).unwrap_or_else(as_text))
        }
        Kind::Text | Kind::Choice(_) => Some(as_text()),
        Kind::List if !text.trim_start().starts_with('[') => Some(comma_list(text)),
        Kind::List | Kind::Headers | Kind::Zones => parse_toml(text),
    }
}

fn parse_toml(text: &str) -> Option<DeValue<'_>> {
    DeValue::parse(text.trim()).ok().map(Spanned::into_inner)
}

fn comma_list(text: &str) -> DeValue<'_> {
    let mut array = DeArray::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        array.push(Spanned::new(0..0, DeValue::String(Cow::Borrowed(item))));
    }
    DeValue::Array(array)
}
