//! Cuts values, so that a message has room in what common receivers take.

use std::borrow::Cow;

use crate::event::Event;

/// Octets of one value: what CEF gives a message, and more than any name has.
const VALUE: usize = 1_024;
/// Octets of all values of an event when they are escaped: with header and keys it is 8 KiB, the least that rsyslog and
/// syslog-ng take unless they are told to take less.
const EVENT: usize = 6_000;
/// Said where something was cut.
const CUT: char = '…';

/// The event with values that are not too long.
pub(super) fn trimmed(event: &Event) -> Cow<'_, Event> {
    let values = || std::iter::once(&event.message).chain(event.fields.iter().map(|(_, value)| value));
    let is_short = values().all(|value| value.len() <= VALUE)
        && values().map(|value| cost(value)).sum::<usize>() <= EVENT;
    if is_short {
        return Cow::Borrowed(event);
    }
    let mut trimmed = event.clone();
    let mut left = EVENT;
    cut(&mut trimmed.message, &mut left);
    for (_, value) in &mut trimmed.fields {
        cut(value, &mut left);
    }
    Cow::Owned(trimmed)
}

fn cost(value: &str) -> usize {
    value.chars().map(octets).sum()
}

/// Octets of a character in the format that needs most for it.
fn octets(c: char) -> usize {
    match c {
        '\\' | '=' | '"' | '\n' | '\r' | '\t' => 2,
        c if c.is_ascii() && !c.is_control() => 1,
        c if c.len_utf8() == 4 => 4,
        _ => 7, // it may have to be written out
    }
}

fn cut(value: &mut String, left: &mut usize) {
    let (mut end, mut used) = (0, 0);
    for c in value.chars() {
        if end + c.len_utf8() > VALUE - CUT.len_utf8() || used + octets(c) > left.saturating_sub(7) {
            break;
        }
        end += c.len_utf8();
        used += octets(c);
    }
    if value.len() > VALUE || cost(value) > *left {
        value.truncate(end);
        value.push(CUT);
        used += 7;
    } else {
        used = cost(value);
    }
    *left = left.saturating_sub(used);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Field, Kind};

    #[test]
    fn short_events_stay_and_long_ones_are_cut_at_a_character() {
        let short = Event::new(Kind::AccessRefused, "x".repeat(VALUE));
        assert!(matches!(trimmed(&short), Cow::Borrowed(_)));
        for letter in ["x", "é", "🦀", "\0", "="] {
            let mut long = Event::new(Kind::AccessRefused, letter.repeat(64 << 10));
            for field in Field::ALL {
                long = long.with(*field, letter.repeat(64 << 10));
            }
            let cut = trimmed(&long);
            let values: Vec<&str> =
                std::iter::once(&*cut.message).chain(cut.fields.iter().map(|(_, v)| &**v)).collect();
            assert!(values.iter().all(|value| value.len() <= VALUE && value.ends_with(CUT)), "{letter}");
            let all: usize = values.iter().map(|value| cost(value)).sum();
            assert!(all <= EVENT + 7 * values.len() && cut.message.len() > 700, "{all}");
        }
    }

    #[test]
    fn what_fits_beside_a_long_value_stays_whole() {
        let event = Event::new(Kind::AccessRefused, "m".repeat(5_000))
            .with(Field::Reason, "port")
            .with(Field::State, "");
        let cut = trimmed(&event);
        assert_eq!((cut.field(Field::Reason), cut.field(Field::State)), (Some("port"), Some("")));
        assert_eq!(cut.message.len(), VALUE);
    }
}
