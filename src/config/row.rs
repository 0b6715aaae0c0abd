//! One row of an array of tables, such as `[[gateway]]` or `split_dns`: typed reading of its keys.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::origin::Origin;
use super::reader::{Complaint, Found, Reader, wrong_type};

/// A row with its place.
pub(crate) struct Row<'a> {
    /// How the row is called in messages: `gateway` gives `gateway.endpoint`.
    title: &'static str,
    table: &'a DeTable<'a>,
    /// The whole value that the row is part of, which tells the layer.
    pub(crate) origin: Origin,
    outer: Origin,
}

impl<'a> Row<'a> {
    /// The rows of an array of tables; what is no table is left to the check for unknown keys.
    pub(crate) fn all(reader: &Reader<'a>, title: &'static str, found: &Found<'a>) -> Vec<Self> {
        let items = found.value.as_array().map(|items| &**items).unwrap_or_default();
        let row = |item: &'a Spanned<DeValue<'a>>| {
            let table = item.get_ref().as_table()?;
            Some(Row { title, table, origin: reader.place(found, &item.span()), outer: found.origin.clone() })
        };
        items.iter().filter_map(row).collect()
    }

    pub(crate) fn find(&self, reader: &Reader<'a>, key: &str) -> Option<Found<'a>> {
        let value = self.table.get(key)?;
        let whole = Found { value: value.get_ref(), origin: self.outer.clone() };
        let origin = reader.place(&whole, &value.span());
        Some(Found { value: value.get_ref(), origin })
    }

    /// A text that may be absent; empty counts as absent.
    pub(crate) fn text(&self, reader: &mut Reader<'a>, key: &str) -> Option<(&'a str, Origin)> {
        let found = self.find(reader, key)?;
        match found.value.as_str() {
            Some("") => None,
            Some(text) => Some((text, found.origin)),
            None => {
                let complaint = match key {
                    "preshared_key" => {
                        Complaint::new(format!("`{}` must be a text", self.name(key)), "put it in quotes")
                    }
                    _ => wrong_type(&self.name(key), "a text", found.value),
                };
                reader.complain(found.origin, complaint);
                None
            }
        }
    }

    /// A text that must be there.
    pub(crate) fn required(
        &self,
        reader: &mut Reader<'a>,
        key: &str,
        hint: &str,
    ) -> Option<(&'a str, Origin)> {
        // A wrong type has its own complaint.
        let absent = self.find(reader, key).is_none_or(|found| found.value.as_str() == Some(""));
        if absent {
            self.missing(reader, key, hint);
        }
        self.text(reader, key)
    }

    /// Reads a list with at least one item.
    pub(crate) fn required_list<T>(
        &self,
        reader: &mut Reader<'a>,
        key: &str,
        hint: &str,
        convert: impl FnMut(&str) -> Result<T, Complaint>,
    ) -> Vec<T> {
        let before = reader.problems.len();
        let items = self.list(reader, key, convert);
        if items.is_empty() && reader.problems.len() == before {
            self.missing(reader, key, hint);
        }
        items
    }

    /// Reads a list that may be absent.
    pub(crate) fn list<T>(
        &self,
        reader: &mut Reader<'a>,
        key: &str,
        mut convert: impl FnMut(&str) -> Result<T, Complaint>,
    ) -> Vec<T> {
        let Some(found) = self.find(reader, key) else { return Vec::new() };
        let mut items = Vec::new();
        reader.each_of(&self.name(key), &found, |text| {
            items.push(convert(text)?);
            Ok(())
        });
        items
    }

    pub(crate) fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.title)
    }

    /// The place of a key, or of the row when the key is absent.
    pub(crate) fn place(&self, reader: &Reader<'a>, key: &str) -> Origin {
        self.find(reader, key).map_or_else(|| self.origin.clone(), |found| found.origin)
    }

    fn missing(&self, reader: &mut Reader<'a>, key: &str, hint: &str) {
        let message = format!("`{}` is missing", self.name(key));
        reader.complain(self.origin.clone(), Complaint::new(message, hint));
    }
}
