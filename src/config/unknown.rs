//! Unknown tables and keys, each with the nearest known one.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::schema::{self, APPLICATION, GATEWAY, Key, TABLES};
use super::source::Source;

/// Reports what the schema does not know, and tables that are no tables.
pub(super) fn check(source: &Source, root: &DeTable<'_>, problems: &mut Vec<Diagnostic>) {
    for (name, value) in root.iter() {
        match name.get_ref().as_ref() {
            "gateway" => check_rows(source, name, value, GATEWAY, problems),
            "application" => check_rows(source, name, value, APPLICATION, problems),
            table => match TABLES.iter().find(|known| known.name == table) {
                Some(known) => check_table(source, name, value, known.keys, problems),
                None => problems.push(unknown_table(source, name, value)),
            },
        }
    }
}

/// Reports the keys of one table that the schema does not know.
pub(super) fn check_keys(
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
            None => diagnostic.hint(elsewhere(name.get_ref()).unwrap_or_else(|| known_keys(keys))),
        });
    }
}

/// The known name that is nearest to what was written, if any is near.
pub(super) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
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
    source: &Source,
    name: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    keys: &[Key],
    problems: &mut Vec<Diagnostic>,
) {
    match value.get_ref().as_table() {
        Some(table) => check_keys(source, &format!("[{}]", name.get_ref()), table, keys, problems),
        None => problems.push(not_a_table(source, name, &format!("[{}]", name.get_ref()))),
    }
}

fn check_rows(
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
            Some(table) => check_keys(source, &title, table, keys, problems),
            None => problems.push(not_a_table(source, name, &title)),
        }
    }
}

fn not_a_table(source: &Source, name: &Spanned<DeString<'_>>, title: &str) -> Diagnostic {
    let origin = source.origin(&name.span());
    Diagnostic::error(origin, format!("`{}` is not written as `{title}`", name.get_ref()))
        .hint(format!("write `{title}` on a line of its own, and its keys below"))
}

fn unknown_table(source: &Source, name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) -> Diagnostic {
    let origin = source.origin(&name.span());
    let written = name.get_ref();
    if !value.get_ref().is_table() && !value.get_ref().is_array() {
        let diagnostic = Diagnostic::error(origin, format!("unknown key `{written}` outside of any table"));
        let hint =
            elsewhere(written).unwrap_or_else(|| "write the `[table]` that it belongs to above".to_owned());
        return diagnostic.hint(hint);
    }
    let diagnostic = Diagnostic::error(origin, format!("unknown table `[{written}]`"));
    let known = TABLES.iter().map(|table| table.name).chain(["gateway", "application"]);
    match nearest(written, known) {
        Some(table @ ("gateway" | "application")) => diagnostic.hint(format!("did you mean `[[{table}]]`?")),
        Some(table) => diagnostic.hint(format!("did you mean `[{table}]`?")),
        None => diagnostic.hint(format!(
            "known tables: {}, [[gateway]], [[application]]",
            TABLES.iter().map(|table| format!("[{}]", table.name)).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// The table that does know the key.
fn elsewhere(key: &str) -> Option<String> {
    let (table, _) = schema::all().find(|(_, known)| known.name == key)?;
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
