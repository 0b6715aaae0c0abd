//! A configuration file as text: lines of byte offsets, syntax errors with their excerpt.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use toml::de::DeTable;

use super::diagnostic::Diagnostic;
use super::origin::Origin;
use super::schema;
use super::secret::MASK;

/// Longest configuration file that is read, in bytes. A million domains need about 30 MB.
const MAX_FILE: u64 = 64 << 20;

/// Longest excerpt of a line, in characters.
const MAX_EXCERPT: usize = 100;

/// A configuration file in memory.
pub(crate) struct Source {
    pub(crate) path: Arc<Path>,
    pub(crate) text: String,
    /// Byte offset of the first byte of each line.
    line_starts: Vec<usize>,
}

impl Source {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Diagnostic> {
        let text = read_bounded(path).map_err(|error| unreadable(path, &error))?;
        Ok(Self::new(path, text))
    }

    pub(crate) fn new(path: &Path, text: String) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(ends).collect();
        Self { path: path.into(), text, line_starts }
    }

    /// Parses the text, which may be in error at several places.
    pub(crate) fn parse(&self) -> Result<DeTable<'_>, Vec<Diagnostic>> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        if errors.is_empty() {
            return Ok(table.into_inner());
        }
        let mut diagnostics: Vec<Diagnostic> = errors.iter().map(|error| self.syntax_error(error)).collect();
        // What follows an error on the same line is seldom more than its echo.
        diagnostics.dedup_by(|next, first| next.origin == first.origin);
        Err(diagnostics)
    }

    /// Whether users other than its owner and its group may read the file; no when that cannot be told.
    pub(crate) fn is_readable_by_all(&self) -> bool {
        const OTHERS_READ: u32 = 0o004;
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.mode() & OTHERS_READ != 0)
    }

    /// The place of a byte of the text.
    pub(crate) fn origin(&self, span: &Range<usize>) -> Origin {
        let line = self.line_starts.partition_point(|start| *start <= span.start);
        Origin::File { path: Arc::clone(&self.path), line: u32::try_from(line).unwrap_or(u32::MAX) }
    }

    fn syntax_error(&self, error: &toml::de::Error) -> Diagnostic {
        let span = error.span().unwrap_or_default();
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        let mut diagnostic = Diagnostic::error(self.origin(&span), message);
        diagnostic.excerpt = Some(self.excerpt(&span));
        diagnostic.hint(syntax_hint(self.line(&span)))
    }

    fn line(&self, span: &Range<usize>) -> &str {
        let line = self.line_starts.partition_point(|start| *start <= span.start).saturating_sub(1);
        let start = self.line_starts.get(line).copied().unwrap_or_default();
        self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default()
    }

    /// The line with a marker below, what looks like a secret masked.
    fn excerpt(&self, span: &Range<usize>) -> String {
        let line = self.line(span);
        let number = self.line_starts.partition_point(|start| *start <= span.start);
        let before = self
            .text
            .get(..span.start)
            .map_or(0, |text| text.rsplit('\n').next().map_or(0, |text| text.chars().count()));
        let shown = masked(line);
        let marker = match shown {
            Cow::Borrowed(_) if before < MAX_EXCERPT => {
                format!("\n  {0:1$} | {0:before$}^", "", digits(number))
            }
            Cow::Borrowed(_) | Cow::Owned(_) => String::new(),
        };
        let shown: String = shown.chars().take(MAX_EXCERPT).map(printable).collect();
        format!("  {number} | {shown}{marker}")
    }
}

/// Reads at most [`MAX_FILE`] bytes of UTF-8.
fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = fs::File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)? as u64;
    if length > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 64 MiB"));
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let hints = [
        (io::ErrorKind::NotFound, "name the file with `--config FILE`"),
        (io::ErrorKind::PermissionDenied, "run as root, or as a user who may read the file"),
        (io::ErrorKind::InvalidData, "save the file as UTF-8"),
    ];
    let known = hints.iter().find(|(kind, _)| *kind == error.kind());
    let hint = known.map_or("check that it is a readable text file", |(_, hint)| hint);
    let origin = Origin::CommandLine { argument: "--config".to_owned() };
    let message = format!("failed to read configuration: `{}`: {error}", path.display());
    Diagnostic::error(origin, message).hint(hint)
}

fn syntax_hint(line: &str) -> &'static str {
    match line.split_once('=').map(|(_, value)| value.trim()) {
        Some("") => {
            "give the key a value: `key = \"text\"`, `key = 5`, `key = true` or `key = [\"a\", \"b\"]`"
        }
        Some(value) if !value.starts_with(['"', '\'', '[', '{']) => "put texts in quotes: `key = \"text\"`",
        Some(_) => "see https://toml.io for the syntax",
        None => "a line is `[table]`, `key = value` or a `# comment`",
    }
}

/// A line that names a secret key is shown only up to its value.
fn masked(line: &str) -> Cow<'_, str> {
    let names = schema::all().map(|(_, key)| key).chain(schema::GATEWAY).filter(|key| key.secret);
    let Some(at) = names.filter_map(|key| line.find(key.name).map(|at| at + key.name.len())).min() else {
        return Cow::Borrowed(line);
    };
    Cow::Owned(format!("{} {MASK}", line.get(..at).unwrap_or_default()))
}

fn printable(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syntax_errors(text: &str) -> Vec<String> {
        let source = Source::new(Path::new("c.toml"), text.to_owned());
        source.parse().unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_syntax_error_shows_line_and_excerpt() {
        let errors = syntax_errors("[server]\nlog_level = info\n");
        assert_eq!(errors.len(), 1);
        assert!(errors[0].starts_with("c.toml:2: "), "{errors:?}");
        assert!(errors[0].contains("  2 | log_level = info\n    |             ^"), "{}", errors[0]);
        assert!(errors[0].contains("hint: put texts in quotes"), "{}", errors[0]);
    }

    #[test]
    fn every_line_in_error_is_reported() {
        let errors = syntax_errors("a = \nb = 1\n= 3\n");
        assert!(errors.iter().any(|error| error.starts_with("c.toml:1: ")), "{errors:?}");
        assert!(errors.iter().any(|error| error.starts_with("c.toml:3: ")), "{errors:?}");
    }

    #[test]
    fn an_excerpt_never_shows_a_secret() {
        for text in [
            "[auth]\nclient_secret = hunter2",
            "[auth]\nclient_secret = \"hunter2\n",
            "x = { token = hunter2 ",
        ] {
            for error in syntax_errors(text) {
                assert!(!error.contains("hunter2"), "{error}");
            }
        }
    }
}
