//! Unknown tables and keys, each with the nearest known one.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::schema::{Key, Schema};
use super::source::Source;

/// Reports what the schema does not know, and tables that are no tables.
pub(crate) fn check(schema: &Schema, source: &Source, root: &DeTable<'_>, problems: &mut Vec<Diagnostic>) {
    for (name, value) in root.iter() {
        let written = name.get_ref().as_ref();
        if schema.find("", written).is_some() {
            continue;
        }
        if let Some((_, keys)) = schema.rows.iter().find(|(known, _)| *known == written) {
            check_rows(schema, source, name, value, keys, problems);
            continue;
        }
        match schema.tables.iter().find(|known| !known.name.is_empty() && known.name == written) {
            Some(known) => check_table(schema, source, name, value, known.keys, problems),
            None => problems.push(unknown_table(schema, source, name, value)),
        }
    }
}

/// Reports the keys of one table that the schema does not know.
pub(crate) fn check_keys(
    schema: &Schema,
    source: &Source,
    title: &str,
    table: &DeTable<'_>,
    keys: &[Key],
    problems: &mut Vec<Diagnostic>,
) {
    for name in table.keys().filter(|name| !keys.iter().any(|key| key.name == name.get_ref().as_ref())) {
        let message = format!("unknown key `{}` in `{title}`", name.get_ref());
        let diagnostic = Diagnostic::error(source.origin(&name.span()), message);
        problems.push(match nearest(name.get_ref(), keys.iter().map(|key| key.name)) {
            Some(known) => diagnostic.hint(format!("did you mean `{known}`?")),
            None => diagnostic.hint(elsewhere(schema, name.get_ref()).unwrap_or_else(|| known_keys(keys))),
        });
    }
}

/// The known name that is nearest to what was written, if any is near.
pub(crate) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    // A third of the letters may differ; more is another word.
    let limit = (written.len() / 3).max(1);
    known
        .map(|name| (strsim::damerau_levenshtein(&written, &name.to_ascii_lowercase()), name))
        .filter(|(distance, name)| *distance <= limit || shares_start(&written, name))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// A word cut short, such as `token_refresh` for `token_refresh_margin`.
fn shares_start(written: &str, known: &str) -> bool {
    const LEAST: usize = 4;
    written.len() >= LEAST
        && (known.starts_with(written) || (known.len() >= LEAST && written.starts_with(known)))
}

fn check_table(
    schema: &Schema,
    source: &Source,
    name: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    keys: &[Key],
    problems: &mut Vec<Diagnostic>,
) {
    match value.get_ref().as_table() {
        Some(table) => check_keys(schema, source, &format!("[{}]", name.get_ref()), table, keys, problems),
        None => problems.push(not_a_table(source, name, &format!("[{}]", name.get_ref()))),
    }
}

fn check_rows(
    schema: &Schema,
    source: &Source,
    name: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    keys: &[Key],
    problems: &mut Vec<Diagnostic>,
) {
    let title = format!("[[{}]]", name.get_ref());
    let Some(rows) = value.get_ref().as_array() else {
        problems.push(not_a_table(source, name, &title));
        return;
    };
    for row in rows.iter() {
        match row.get_ref().as_table() {
            Some(table) => check_keys(schema, source, &title, table, keys, problems),
            None => problems.push(not_a_table(source, name, &title)),
        }
    }
}

fn not_a_table(source: &Source, name: &Spanned<DeString<'_>>, title: &str) -> Diagnostic {
    let origin = source.origin(&name.span());
    Diagnostic::error(origin, format!("`{}` is not written as `{title}`", name.get_ref()))
        .hint(format!("write `{title}` on a line of its own, and its keys below"))
}

fn unknown_table(
    schema: &Schema,
    source: &Source,
    name: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
) -> Diagnostic {
    let origin = source.origin(&name.span());
    let written = name.get_ref();
    let has_tables = |value: &DeValue<'_>| {
        value.as_array().is_some_and(|items| items.iter().any(|item| item.get_ref().is_table()))
    };
    if !value.get_ref().is_table() && !has_tables(value.get_ref()) {
        let diagnostic = Diagnostic::error(origin, format!("unknown key `{written}` outside of any table"));
        let near = schema.tables.iter().filter(|table| table.name.is_empty()).flat_map(|table| table.keys);
        let hint = match nearest(written, near.map(|key| key.name)) {
            Some(known) => format!("did you mean `{known}`?"),
            None => elsewhere(schema, written)
                .unwrap_or_else(|| "write the `[table]` that it belongs to above".to_owned()),
        };
        return diagnostic.hint(hint);
    }
    let diagnostic = Diagnostic::error(origin, format!("unknown table `[{written}]`"));
    let is_row = |name: &str| schema.rows.iter().any(|(row, _)| *row == name);
    match nearest(written, table_names(schema).chain(schema.rows.iter().map(|(name, _)| *name))) {
        Some(table) if is_row(table) => diagnostic.hint(format!("did you mean `[[{table}]]`?")),
        Some(table) => diagnostic.hint(format!("did you mean `[{table}]`?")),
        None => diagnostic.hint(format!("known tables: {}", known_tables(schema))),
    }
}

fn table_names(schema: &Schema) -> impl Iterator<Item = &'static str> {
    schema.tables.iter().map(|table| table.name).filter(|name| !name.is_empty())
}

fn known_tables(schema: &Schema) -> String {
    let rows = schema.rows.iter().map(|(name, _)| format!("[[{name}]]"));
    table_names(schema).map(|name| format!("[{name}]")).chain(rows).collect::<Vec<_>>().join(", ")
}

/// The table that does know the key.
fn elsewhere(schema: &Schema, key: &str) -> Option<String> {
    let (table, _) = schema.all().find(|(table, known)| !table.is_empty() && known.name == key)?;
    Some(format!("`{key}` belongs to `[{table}]`"))
}

fn known_keys(keys: &[Key]) -> String {
    let names: Vec<&str> = keys.iter().filter(|key| key.alias_of.is_none()).map(|key| key.name).collect();
    format!("known keys: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_typing_errors_and_nothing_far() {
        let known = ["log_level", "log_file", "token_refresh_margin", "mtu"];
        for (written, expected) in [
            ("loglevel", Some("log_level")),
            ("Log_Levle", Some("log_level")),
            ("token_refresh", Some("token_refresh_margin")),
            ("mtuu", Some("mtu")),
            ("colour", None),
        ] {
            assert_eq!(nearest(written, known.into_iter()), expected, "{written}");
        }
    }
}
