//! Texts of others inside our lines: what cannot be seen is written out, so that it neither hides nor steers anything.

use std::fmt::Write;

/// Whether a character is not seen, or changes how others are: control characters (C0, DEL, C1), line and paragraph
/// separators, and what turns the direction of writing (Unicode annex 9), which hides the true order of a name.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Adds a hidden character as `\u` and four hexadecimal digits, its backslash written as `backslash`.
pub(super) fn write_hidden(c: char, backslash: &str, out: &mut String) {
    let _ = write!(out, "{backslash}u{:04x}", u32::from(c)); // a String takes everything; all of them are below U+10000
}

/// Adds a number.
pub(super) fn write_number(number: impl std::fmt::Display, out: &mut String) {
    let _ = write!(out, "{number}"); // likewise
}
