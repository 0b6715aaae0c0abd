//! The reference page of the configuration, `docs/generated/configuration.md`, made from the schema.

use std::fmt::Write as _;

use super::not_effective::is_not_yet;
use super::schema::{CLIENT, Key, Kind, Preset, SPLIT_DNS, Schema};

const INTRODUCTION: &str = "\
# Configuration reference

Every table and key of the configuration file. This page is generated: change `src/config/schema.rs`, then run
`openztna-client-connector config reference >docs/generated/configuration.md`.
What the keys mean is told in the [README](../../README.md#configuration).

A key of a table `[table]` can also be given by the environment variable `OPENZTNA_CLIENT_<TABLE>_<KEY>`.
A key that is \"not yet\" effective loads, and does nothing in this version.
";

/// The page in Markdown.
#[must_use]
pub fn page() -> String {
    page_of(&CLIENT, INTRODUCTION)
}

/// The same for any of our configuration files.
pub(crate) fn page_of(schema: &Schema, introduction: &str) -> String {
    let mut page = introduction.to_owned();
    for (name, keys) in schema.rows {
        section(&mut page, &format!("[[{name}]]"), name, keys);
    }
    for table in schema.tables {
        let title = if table.name.is_empty() { "Outside of any table" } else { &format!("[{}]", table.name) };
        section(&mut page, title, table.name, table.keys);
        if table.keys.iter().any(|key| key.kind == Kind::Zones) {
            section(&mut page, "Each entry of `split_dns` in `[dns]`", "split_dns", SPLIT_DNS);
        }
    }
    page
}

fn section(page: &mut String, title: &str, table: &str, keys: &[Key]) {
    let title = if title.starts_with('[') { format!("`{title}`") } else { title.to_owned() };
    page.push_str(&format!(
        "\n## {title}\n\n| key | takes | default | effective |\n| --- | --- | --- | --- |\n"
    ));
    for key in keys {
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            key.name,
            takes(key),
            default(key),
            effective(table, key)
        );
    }
}

fn takes(key: &Key) -> String {
    let takes = match key.kind {
        Kind::Boolean => "`true` or `false`".to_owned(),
        Kind::Integer { min, max } => format!("whole number, {min} to {max}"),
        Kind::IntegerOr { min, max, word } => format!("whole number, {min} to {max}, or `\"{word}\"`"),
        Kind::Text => "text".to_owned(),
        Kind::Choice(words) => {
            words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
        }
        Kind::List => "text or array of texts".to_owned(),
        Kind::Headers => "table of texts".to_owned(),
        Kind::Zones => "array of tables, see below".to_owned(),
    };
    if key.secret { format!("{takes}; secret") } else { takes }
}

fn default(key: &Key) -> String {
    match key.preset {
        Preset::None if key.required => "required".to_owned(),
        Preset::None => "none".to_owned(),
        Preset::Boolean(value) => format!("`{value}`"),
        Preset::Integer(value) => format!("`{value}`"),
        Preset::Text(value) => format!("`\"{value}\"`"),
    }
}

fn effective(table: &str, key: &Key) -> String {
    if let Some((of_table, of)) = key.alias_of {
        return format!("the same as `{of}` in `[{of_table}]`");
    }
    if is_not_yet(table, key.name) {
        return "not yet".to_owned();
    }
    "yes".to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_page_is_what_the_schema_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/generated/configuration.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == page(),
            "docs/generated/configuration.md is out of date: run `openztna-client-connector config reference \
             >docs/generated/configuration.md`"
        );
    }

    #[test]
    fn each_kind_of_line_is_there() {
        let page = page();
        for line in [
            "## `[[gateway]]`",
            "| `preshared_key` | text; secret | none | yes |",
            "| `requires` | text or array of texts | none | yes |",
            "| `keep_alive` | whole number, 0 to 65535 | `25` | yes |",
            "| `log_level` | `\"error\"`, `\"warn\"`, `\"info\"`, `\"debug\"`, `\"trace\"` | `\"info\"` | yes |",
            "| `split_tunneling` | `true` or `false` | none | the same as `enabled` in `[split_tunneling]` |",
            "## Each entry of `split_dns` in `[dns]`",
        ] {
            assert!(page.lines().any(|other| other == line), "{line}\n{page}");
        }
    }
}
