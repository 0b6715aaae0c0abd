//! A domain name as configuration writes it and as a message carries it.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest name in wire format, its root label included (RFC 1035 §3.1).
pub(crate) const MAX_NAME: usize = 255;

/// The longest label (RFC 1035 §3.1).
pub(crate) const MAX_LABEL: usize = 63;

/// A domain name in wire format, in lower case.
///
/// It is read from text such as `wiki.corp.example.com`, with or without the final dot; a byte may be written as
/// `\DDD`, and a character that would mean something else as `\C` (RFC 1035 §5.1). Names with characters outside
/// ASCII are to be given in their `xn--` form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// Why a text is no domain name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// A label is empty, or longer than 63 bytes.
    #[error("failed to read the name: a label of `{0}` is empty or longer than 63 bytes")]
    Label(String),
    /// The name is longer than 255 bytes.
    #[error("failed to read the name: `{0}` is longer than 255 bytes")]
    Long(String),
    /// A character outside ASCII, a space or a broken escape.
    #[error("failed to read the name: `{0}` has a character that a name cannot have")]
    Character(String),
}

impl Name {
    /// The name in wire format: length-prefixed labels in lower case, closed by the empty root label.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// Takes a name that has been read from a message, in wire format, already checked and in lower case.
    pub(crate) fn from_wire(wire: &[u8]) -> Self {
        Self(wire.into())
    }

    pub(crate) fn into_wire(self) -> Box<[u8]> {
        self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        if text != "." {
            push_labels(text, &mut wire)?;
        }
        wire.push(0);
        if wire.len() > MAX_NAME {
            return Err(NameError::Long(text.to_owned()));
        }
        Ok(Self(wire.into_boxed_slice()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() == 1 {
            return out.write_str(".");
        }
        for (index, label) in labels(&self.0).enumerate() {
            if index > 0 {
                out.write_str(".")?;
            }
            label.iter().try_for_each(|byte| write_byte(*byte, out))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{self}`")
    }
}

/// The labels of a wire name that has been checked, without the root.
pub(crate) fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (&length, tail) = rest.split_first()?;
        let label = tail.get(..usize::from(length)).filter(|label| !label.is_empty())?;
        rest = &tail[label.len()..];
        Some(label)
    })
}

fn push_labels(text: &str, wire: &mut Vec<u8>) -> Result<(), NameError> {
    let mut length_at = wire.len();
    wire.push(0);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'.' {
            close_label(text, wire, length_at)?;
            if bytes.peek().is_none() {
                return Ok(());
            }
            length_at = wire.len();
            wire.push(0);
            continue;
        }
        let literal = match byte {
            b'\\' => unescape(&mut bytes),
            _ => Some(byte).filter(u8::is_ascii_graphic),
        };
        let literal = literal.ok_or_else(|| NameError::Character(text.to_owned()))?;
        wire.push(literal.to_ascii_lowercase());
    }
    close_label(text, wire, length_at)
}

fn close_label(text: &str, wire: &mut [u8], length_at: usize) -> Result<(), NameError> {
    let length = wire.len() - length_at - 1;
    if length == 0 || length > MAX_LABEL {
        return Err(NameError::Label(text.to_owned()));
    }
    wire[length_at] = length as u8;
    Ok(())
}

/// Reads what follows a backslash: three decimal digits, or one character that stands for itself.
fn unescape(bytes: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let first = bytes.next()?;
    if !first.is_ascii_digit() {
        return Some(first).filter(u8::is_ascii_graphic);
    }
    let mut value = u32::from(first - b'0');
    for _ in 0..2 {
        let digit = bytes.next().filter(u8::is_ascii_digit)?;
        value = value * 10 + u32::from(digit - b'0');
    }
    u8::try_from(value).ok()
}

fn write_byte(byte: u8, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match byte {
        b'.' | b'\\' => write!(out, "\\{}", char::from(byte)),
        b'!'..=b'~' => write!(out, "{}", char::from(byte)),
        _ => write!(out, "\\{byte:03}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_in_lower_case_with_or_without_the_final_dot() {
        let name: Name = "Wiki.Corp.Example.COM".parse().unwrap();
        assert_eq!(name.as_wire(), b"\x04wiki\x04corp\x07example\x03com\x00");
        assert_eq!(name, "wiki.corp.example.com.".parse().unwrap());
        assert_eq!(name.to_string(), "wiki.corp.example.com");
        assert_eq!(".".parse::<Name>().unwrap().as_wire(), b"\0");
    }

    #[test]
    fn unusual_bytes_survive_the_way_to_text_and_back() {
        let name = Name::from_wire(b"\x05a.b\\\x07\x01-\x00");
        assert_eq!(name.to_string(), "a\\.b\\\\\\007.-");
        assert_eq!(name.to_string().parse::<Name>().unwrap(), name);
    }

    #[test]
    fn texts_that_are_no_names_are_refused() {
        for text in ["", "a..b", ".a", "ä.example", "a b", "a\\", "a\\25", "a\\999", &"a".repeat(64)] {
            assert!(text.parse::<Name>().is_err(), "`{text}` was taken for a name");
        }
        let long = vec!["a".repeat(63); 4].join(".");
        assert_eq!(long.parse::<Name>(), Err(NameError::Long(long.clone())));
    }
}
