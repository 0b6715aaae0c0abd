//! The lines of a wg-quick configuration: sections, keys and values with their line numbers, and what is found wrong.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use crate::config::{Diagnostic, Origin};

/// The two kinds of section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Interface,
    Peer,
}

/// One `key = value`, both trimmed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a str,
    /// From one.
    pub(super) line: u32,
}

/// A section with its entries in the order of the file.
#[derive(Debug, Clone)]
pub(super) struct Block<'a> {
    pub(super) section: Section,
    /// Of its header, from one.
    pub(super) line: u32,
    pub(super) entries: Vec<Entry<'a>>,
}

/// Errors and warnings found so far.
pub(super) struct Findings {
    path: Arc<Path>,
    pub(super) list: Vec<Diagnostic>,
}

/// Splits a text into its sections. As for wg-quick(8), `#` starts a comment anywhere and case does not matter.
pub(super) fn read<'a>(text: &'a str, findings: &mut Findings) -> Vec<Block<'a>> {
    let mut blocks: Vec<Block<'a>> = Vec::new();
    // After an unknown header, whose error is enough, nothing is said about what stands below it.
    let mut is_skipped = false;
    // Editors of Windows like to write a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        if content.starts_with('[') {
            let section = section(content);
            is_skipped = section.is_none();
            match section {
                Some(section) => blocks.push(Block { section, line, entries: Vec::new() }),
                None => findings.error(
                    line,
                    "this is no section of wg-quick",
                    "write `[Interface]` or `[Peer]`, or remove it",
                ),
            }
            continue;
        }
        if !is_skipped {
            read_entry(content, line, &mut blocks, findings);
        }
    }
    blocks
}

fn section(header: &str) -> Option<Section> {
    if header.eq_ignore_ascii_case("[interface]") {
        return Some(Section::Interface);
    }
    header.eq_ignore_ascii_case("[peer]").then_some(Section::Peer)
}

/// The text of a wrong line is never shown: it may be a key.
fn read_entry<'a>(content: &'a str, line: u32, blocks: &mut [Block<'a>], findings: &mut Findings) {
    let Some((key, value)) = content.split_once('=') else {
        return findings.error(line, "this line is no `key = value`", "remove it, or put a `#` before it");
    };
    let Some(block) = blocks.last_mut() else {
        return findings.error(
            line,
            "this line stands in no section",
            "put it below `[Interface]` or `[Peer]`",
        );
    };
    let (key, value) = (key.trim(), value.trim());
    block.entries.push(Entry { key, value, line });
}

impl<'a> Block<'a> {
    /// The entries of a key, upper or lower case.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = Entry<'a>> {
        self.entries.iter().copied().filter(move |entry| entry.key.eq_ignore_ascii_case(key))
    }

    /// The entry of a key that may be there once.
    pub(super) fn one(&self, key: &str, findings: &mut Findings) -> Option<Entry<'a>> {
        let mut all = self.all(key);
        let first = all.next();
        for again in all {
            findings.error(again.line, format!("`{key}` is there twice"), "keep one of them");
        }
        first
    }

    /// The parts of a list, which may be spread over several entries.
    pub(super) fn list(&self, key: &str) -> impl Iterator<Item = Entry<'a>> {
        let parts = |entry: Entry<'a>| entry.value.split(',').map(move |value| (entry, value.trim()));
        let all = self.all(key).flat_map(parts).filter(|(_, value)| !value.is_empty());
        all.map(|(entry, value)| Entry { value, ..entry })
    }

    /// Complains about every key that is not known; `refused` has hints for those that wg-quick knows.
    pub(super) fn check_keys(&self, known: &[&str], refused: &[(&str, &str)], findings: &mut Findings) {
        for entry in &self.entries {
            if known.iter().any(|key| key.eq_ignore_ascii_case(entry.key)) {
                continue;
            }
            match refused.iter().find(|(key, _)| key.eq_ignore_ascii_case(entry.key)) {
                Some((key, hint)) => {
                    findings.error(entry.line, format!("`{key}` cannot be imported"), *hint);
                }
                None => findings.error(
                    entry.line,
                    format!("unknown key `{}`", shorten(entry.key)),
                    format!("known here: {}", known.join(", ")),
                ),
            }
        }
    }
}

/// The first characters of what somebody else wrote, for a message of one line.
fn shorten(text: &str) -> String {
    const MOST: usize = 40;
    text.chars().filter(|c| !c.is_control()).take(MOST).collect()
}

impl Findings {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.into(), list: Vec::new() }
    }

    pub(super) fn error(&mut self, line: u32, message: impl Display, hint: impl Into<String>) {
        self.list.push(Diagnostic::error(self.origin(line), message.to_string()).hint(hint));
    }

    pub(super) fn warning(&mut self, line: u32, message: impl Display, hint: impl Into<String>) {
        self.list.push(Diagnostic::warning(self.origin(line), message.to_string()).hint(hint));
    }

    fn origin(&self, line: u32) -> Origin {
        Origin::File { path: Arc::clone(&self.path), line }
    }
}
