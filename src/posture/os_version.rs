//! Versions of operating systems, compared part by part.

use std::cmp::Ordering;

use platform::posture::system::System;

/// The oldest version that is let in on this system. `text` is a version, or several with the names of their systems:
/// `debian 12, ubuntu 22.04`. A version without a name is for all systems that are not named.
pub(super) fn wanted<'a>(text: &'a str, system: &System) -> Option<&'a str> {
    let entries = || text.split(',').map(|entry| split(entry.trim()));
    let is_this =
        |name: &str| name.eq_ignore_ascii_case(&system.id) || name.eq_ignore_ascii_case(&system.name);
    let named = entries().find(|(name, _)| is_this(name)).map(|(_, version)| version);
    named.or_else(|| entries().find(|(name, _)| name.is_empty()).map(|(_, version)| version))
}

/// The name before the first number, and the version.
fn split(entry: &str) -> (&str, &str) {
    let start = entry.find(|c: char| c.is_ascii_digit()).unwrap_or(entry.len());
    let (name, version) = entry.split_at(start);
    (name.trim(), version.trim())
}

/// Compares versions such as `9`, `22.04` and `9.10`: numbers as numbers, and what is missing is 0.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> Vec<u64> { text.split(['.', '-', '_']).map(number).collect() };
    let (a, b) = (parts(a), parts(b));
    let part = |parts: &[u64], index: usize| parts.get(index).copied().unwrap_or(0);
    let pairs = (0..a.len().max(b.len())).map(|index| part(&a, index).cmp(&part(&b, index)));
    pairs.fold(Ordering::Equal, Ordering::then)
}

fn number(part: &str) -> u64 {
    let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
    part[..end].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (a, b, expected) in [
            ("9", "10", Ordering::Less),
            ("22.04", "20.04", Ordering::Greater),
            ("9.10", "9.9", Ordering::Greater),
            ("12", "12.0", Ordering::Equal),
            ("12.4", "12", Ordering::Greater),
            ("15-SP5", "15.4", Ordering::Less), // letters are no numbers
            ("x", "0", Ordering::Equal),
        ] {
            assert_eq!(compare(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn one_configuration_serves_several_systems() {
        let system =
            |id: &str, name: &str| System { id: id.to_owned(), name: name.to_owned(), ..System::default() };
        let (debian, ubuntu) = (system("debian", "Debian GNU/Linux"), system("ubuntu", "Ubuntu"));
        assert_eq!(wanted("12", &debian), Some("12"));
        assert_eq!(wanted("debian 12, Ubuntu 22.04", &ubuntu), Some("22.04"));
        assert_eq!(wanted("Debian GNU/Linux 11, 8", &debian), Some("11"));
        assert_eq!(wanted("fedora 39, 8", &debian), Some("8"));
        assert_eq!(wanted("fedora 39", &debian), None);
    }
}
