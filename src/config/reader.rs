//! Typed reading of settings from the layers: file, environment, command line; every complaint is collected.

use std::ops::Range;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::origin::{Origin, Setting};
use super::overrides::Override;
use super::schema::{Preset, Schema, full_name};
use super::secret::Secret;
use super::source::Source;

/// A value as it was found, with its place.
pub(crate) struct Found<'a> {
    pub(crate) value: &'a DeValue<'a>,
    pub(crate) origin: Origin,
}

/// What is wrong with one value, and what to do about it.
pub(crate) struct Complaint {
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Complaint {
    pub(crate) fn new(message: impl ToString, hint: impl Into<String>) -> Self {
        Self { message: message.to_string(), hint: hint.into() }
    }
}

/// Reads settings and collects complaints.
pub(crate) struct Reader<'a> {
    pub(crate) schema: &'static Schema,
    pub(crate) source: &'a Source,
    pub(crate) root: &'a DeTable<'a>,
    /// Weakest first.
    pub(crate) overrides: &'a [Override<'a>],
    pub(crate) problems: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    /// The strongest value of a key or of its aliases.
    pub(crate) fn find(&self, table: &str, key: &str) -> Option<Found<'a>> {
        let names =
            || std::iter::once((table, key)).chain(self.schema.aliases(table, key).map(|(t, k)| (t, k.name)));
        let outside =
            self.overrides.iter().rev().find(|given| names().any(|name| name == (given.table, given.key)));
        if let Some(given) = outside {
            return Some(Found { value: &given.value, origin: given.origin.clone() });
        }
        names().find_map(|(table, key)| self.find_in_file(table, key))
    }

    /// The value of exactly this key in the file.
    pub(crate) fn find_in_file(&self, table: &str, key: &str) -> Option<Found<'a>> {
        let table = match table {
            "" => self.root,
            table => self.root.get(table)?.get_ref().as_table()?,
        };
        let value = table.get(key)?;
        Some(Found { value: value.get_ref(), origin: self.source.origin(&value.span()) })
    }

    pub(crate) fn boolean(&mut self, table: &str, key: &str) -> Setting<bool> {
        let preset = matches!(self.preset(table, key), Preset::Boolean(true));
        self.read(table, key, preset, "true or false", |value| value.as_bool())
    }

    /// A whole number; the schema's range must fit `T`.
    pub(crate) fn integer<T: TryFrom<i64> + Default>(&mut self, table: &str, key: &str) -> Setting<T> {
        self.whole_number(table, key).map(|number| T::try_from(number).unwrap_or_default())
    }

    /// A time span, written as a whole number of seconds.
    pub(crate) fn seconds(&mut self, table: &str, key: &str) -> Setting<Duration> {
        self.whole_number(table, key).map(|number| Duration::from_secs(number.unsigned_abs()))
    }

    /// A text; an empty one counts as not given.
    pub(crate) fn text(&mut self, table: &str, key: &str) -> Option<Setting<String>> {
        let preset = match self.preset(table, key) {
            Preset::Text(text) => text,
            Preset::None | Preset::Boolean(_) | Preset::Integer(_) => "",
        };
        let setting =
            self.read(table, key, preset.to_owned(), "a text", |value| value.as_str().map(str::to_owned));
        (!setting.value.is_empty()).then_some(setting)
    }

    pub(crate) fn secret(&mut self, table: &str, key: &str) -> Option<Setting<Secret>> {
        self.text(table, key).map(|setting| setting.map(Secret::new))
    }

    /// One of the words that the schema lists, as the schema spells it.
    pub(crate) fn choice(&mut self, table: &str, key: &str) -> Setting<&'static str> {
        let preset = match self.preset(table, key) {
            Preset::Text(text) => text,
            Preset::None | Preset::Boolean(_) | Preset::Integer(_) => "",
        };
        let words = self.schema.find(table, key).map_or(&[][..], |key| key.kind.words());
        let expected = format!("one of {}", words.join(", "));
        self.read(table, key, preset, &expected, |value| {
            let written = value.as_str()?;
            words.iter().copied().find(|word| word.eq_ignore_ascii_case(written))
        })
    }

    /// The texts of a list, copied.
    pub(crate) fn list(&mut self, table: &str, key: &str) -> Vec<String> {
        let mut texts = Vec::new();
        self.each(table, key, |text| {
            texts.push(text.to_owned());
            Ok(())
        });
        texts
    }

    /// Hands out each text of a list; a complaint is reported at the text's own place.
    pub(crate) fn each(
        &mut self,
        table: &str,
        key: &str,
        take: impl FnMut(&'a str) -> Result<(), Complaint>,
    ) {
        let Some(found) = self.find(table, key) else { return };
        self.each_of(&full_name(table, key), &found, take);
    }

    /// The same for a value that was found already. `name` is how the key is called in messages.
    pub(crate) fn each_of(
        &mut self,
        name: &str,
        found: &Found<'a>,
        mut take: impl FnMut(&'a str) -> Result<(), Complaint>,
    ) {
        if let Some(text) = found.value.as_str() {
            if let Err(complaint) = take(text) {
                self.complain(found.origin.clone(), complaint);
            }
            return;
        }
        let Some(items) = found.value.as_array() else {
            let complaint = wrong_type(name, "a text or an array of texts", found.value);
            return self.complain(found.origin.clone(), complaint);
        };
        for item in items.iter() {
            let text = item.get_ref().as_str();
            let wrong = || wrong_type(name, "an array of texts", item.get_ref());
            if let Err(complaint) = text.ok_or_else(wrong).and_then(&mut take) {
                self.complain(self.place(found, &item.span()), complaint);
            }
        }
    }

    /// The place of a part of a value: its own line in the file, or where the value was given.
    pub(crate) fn place(&self, found: &Found<'_>, span: &Range<usize>) -> Origin {
        match &found.origin {
            Origin::File { .. } => self.source.origin(span),
            Origin::Default | Origin::Person | Origin::Environment { .. } | Origin::CommandLine { .. } => {
                found.origin.clone()
            }
        }
    }

    pub(crate) fn complain(&mut self, origin: Origin, complaint: Complaint) {
        self.problems.push(Diagnostic::error(origin, complaint.message).hint(complaint.hint));
    }

    /// An array of tables at the root of the file.
    pub(crate) fn rows(&self, name: &str) -> Option<Found<'a>> {
        let value = self.root.get(name)?;
        Some(Found { value: value.get_ref(), origin: self.source.origin(&value.span()) })
    }

    fn preset(&self, table: &str, key: &str) -> Preset {
        self.schema.find(table, key).map_or(Preset::None, |key| key.preset)
    }

    fn whole_number(&mut self, table: &str, key: &str) -> Setting<i64> {
        let preset = match self.preset(table, key) {
            Preset::Integer(number) => number,
            Preset::None | Preset::Boolean(_) | Preset::Text(_) => 0,
        };
        let (min, max) = self.schema.find(table, key).map_or((0, 0), |key| key.kind.range());
        let expected = format!("a whole number from {min} to {max}");
        self.read(table, key, preset, &expected, |value| {
            whole_number(value).filter(|number| (min..=max).contains(number))
        })
    }

    fn read<T>(
        &mut self,
        table: &str,
        key: &str,
        preset: T,
        expected: &str,
        convert: impl FnOnce(&DeValue<'_>) -> Option<T>,
    ) -> Setting<T> {
        let Some(found) = self.find(table, key) else {
            return Setting { value: preset, origin: Origin::Default };
        };
        let Some(value) = convert(found.value) else {
            let name = full_name(table, key);
            let complaint = match self.schema.find(table, key) {
                Some(key) if key.secret => {
                    Complaint::new(format!("`{name}` must be {expected}"), SECRET_HINT)
                }
                Some(_) | None => wrong_type(&name, expected, found.value),
            };
            self.complain(found.origin.clone(), complaint);
            return Setting { value: preset, origin: found.origin };
        };
        Setting { value, origin: found.origin }
    }
}

const SECRET_HINT: &str = "put it in quotes";

/// A whole number of any base that TOML knows.
pub(crate) fn whole_number(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// The complaint about a value of a wrong type or out of range. Names the value when it is short.
pub(crate) fn wrong_type(name: &str, expected: &str, value: &DeValue<'_>) -> Complaint {
    let found = match value {
        DeValue::String(text) => format!("the text `{}`", shorten(text)),
        DeValue::Integer(number) => format!("the number {}", shorten(number.as_str())),
        DeValue::Float(number) => format!("the number {}", shorten(number.as_str())),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    };
    let is_quoted =
        value.as_str().is_some_and(|text| text.parse::<f64>().is_ok() || text.parse::<bool>().is_ok());
    let is_bare = value.is_integer() || value.is_float() || value.is_bool();
    let hint = match (is_quoted, is_bare && expected.contains("text")) {
        (true, _) if !expected.contains("text") => "leave out the quotes",
        (_, true) => "put it in quotes",
        (_, false) => "change it, or leave the key out for its default",
    };
    Complaint::new(format!("`{name}` must be {expected}, not {found}"), hint)
}

/// At most 60 characters, without control characters.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    let mut short: String = text.chars().take(MOST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}
