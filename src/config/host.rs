//! What an application is reached by: names, patterns of names, addresses, networks.

use std::fmt;
use std::net::IpAddr;

use super::prefix::Prefix;

/// A name or a pattern of names, lower-case, without a trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NamePattern {
    /// This name only.
    Exact(Box<str>),
    /// Any name below, at any depth, but not the name itself; written `*.name`.
    Wildcard(Box<str>),
    /// The name and any name below.
    Suffix(Box<str>),
}

/// A destination of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// By name.
    Name(NamePattern),
    /// One address.
    Address(IpAddr),
    /// A block of addresses, host bits cleared.
    Network(Prefix),
}

/// Why a text is no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Empty, too long, or a character that no host name has.
    #[error("`{0}` is not a host name")]
    Name(String),
    /// Not ASCII.
    #[error("`{0}` is not in its ASCII form")]
    NotAscii(String),
    /// A `*` at another place than the first label.
    #[error("`{0}` has a `*` that is not its first label")]
    Star(String),
    /// Meant as addresses, but none.
    #[error("`{0}` is not an address or a CIDR block")]
    Address(String),
}

impl HostError {
    /// What the person can do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Name(_) => {
                "labels have 1 to 63 letters, digits, `-` or `_`, and the whole at most 253 characters"
            }
            Self::NotAscii(_) => "write an internationalised name in its `xn--` form",
            Self::Star(_) => "write `*.corp.example.com`: it means every name below, at any depth",
            Self::Address(_) => "write `10.77.0.5`, `10.77.0.0/16` or `fd00:77::/48`",
        }
    }
}

impl NamePattern {
    /// Reads `*.name` as a wildcard and `name` as this name only.
    ///
    /// # Errors
    /// When it is no host name.
    pub fn parse_host(text: &str) -> Result<Self, HostError> {
        match text.strip_prefix("*.") {
            Some(parent) => Ok(Self::Wildcard(parse_name(text, parent)?)),
            None => Ok(Self::Exact(parse_name(text, text)?)),
        }
    }

    /// Reads `*.name` as a wildcard and `name` as the name and all below.
    ///
    /// # Errors
    /// When it is no host name.
    pub fn parse_domain(text: &str) -> Result<Self, HostError> {
        match text.strip_prefix("*.") {
            Some(parent) => Ok(Self::Wildcard(parse_name(text, parent)?)),
            None => Ok(Self::Suffix(parse_name(text, text)?)),
        }
    }

    /// The name without the `*.`.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Exact(name) | Self::Wildcard(name) | Self::Suffix(name) => name,
        }
    }

    /// Whether it covers a name in lower case without a trailing dot.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let rest = name.strip_suffix(self.name());
        match self {
            Self::Exact(_) => rest == Some(""),
            Self::Wildcard(_) => rest.is_some_and(|rest| rest.ends_with('.')),
            Self::Suffix(_) => rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
        }
    }
}

impl Host {
    /// Reads an address, a CIDR block, `*.name` or a name.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if looks_like_address(text) {
            return Self::parse_address(text);
        }
        NamePattern::parse_host(text).map(Self::Name)
    }

    /// Reads an address or a CIDR block.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse_address(text: &str) -> Result<Self, HostError> {
        let prefix: Prefix = text.parse().map_err(|_| HostError::Address(text.to_owned()))?;
        if prefix == Prefix::host(prefix.address) {
            return Ok(Self::Address(prefix.address));
        }
        Ok(Self::Network(prefix.network()))
    }

    /// The addresses it stands for; none for names.
    #[must_use]
    pub fn prefix(&self) -> Option<Prefix> {
        match self {
            Self::Name(_) => None,
            Self::Address(address) => Some(Prefix::host(*address)),
            Self::Network(prefix) => Some(*prefix),
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) | Self::Suffix(name) => f.write_str(name),
            Self::Wildcard(name) => write!(f, "*.{name}"),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(pattern) => pattern.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Network(prefix) => prefix.fmt(f),
        }
    }
}

/// Reads a name for the message about `text`: lower-cased, without the trailing dot.
pub(super) fn parse_name(text: &str, name: &str) -> Result<Box<str>, HostError> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.contains('*') {
        return Err(HostError::Star(text.to_owned()));
    }
    if !name.is_ascii() {
        return Err(HostError::NotAscii(text.to_owned()));
    }
    // 253: what fits in 255 octets of wire format, RFC 1035 section 3.1.
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(HostError::Name(text.to_owned()));
    }
    Ok(name.to_ascii_lowercase().into_boxed_str())
}

/// RFC 1035 section 2.3.1, with the underscore that service names have.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Meant as an address: has a `/` or a `:`, or only digits and dots.
fn looks_like_address(text: &str) -> bool {
    text.contains(['/', ':'])
        || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_kind_of_host() {
        let exact = |name: &str| Host::Name(NamePattern::Exact(name.into()));
        for (text, host) in [
            ("wiki.corp.example.com", exact("wiki.corp.example.com")),
            ("Wiki.Corp.Example.COM.", exact("wiki.corp.example.com")),
            ("_ldap._tcp.corp", exact("_ldap._tcp.corp")),
            ("*.eng.corp", Host::Name(NamePattern::Wildcard("eng.corp".into()))),
            ("10.77.0.5", Host::Address([10, 77, 0, 5].into())),
            ("10.77.0.5/32", Host::Address([10, 77, 0, 5].into())),
            ("10.77.9.9/16", Host::Network("10.77.0.0/16".parse().unwrap())),
            ("fd00::1", Host::Address("fd00::1".parse().unwrap())),
        ] {
            assert_eq!(Host::parse(text), Ok(host), "{text}");
        }
    }

    #[test]
    fn domains_cover_themselves_and_what_is_below() {
        assert_eq!(
            NamePattern::parse_domain("corp.example.com"),
            Ok(NamePattern::Suffix("corp.example.com".into()))
        );
        assert_eq!(NamePattern::parse_domain("*.local"), Ok(NamePattern::Wildcard("local".into())));
    }

    #[test]
    fn excluded_names_cover_what_is_below_and_nothing_beside() {
        let pattern = NamePattern::parse_domain("corp.example.com").unwrap();
        for (name, is_covered) in [
            ("corp.example.com", true),
            ("wiki.corp.example.com", true),
            ("notcorp.example.com", false),
            ("example.com", false),
        ] {
            assert_eq!(pattern.covers(name), is_covered, "{name}");
        }
        let below = NamePattern::parse_domain("*.corp").unwrap();
        assert!(below.covers("a.b.corp") && !below.covers("corp") && !below.covers("acorp"));
    }

    #[test]
    fn refuses_what_is_no_host() {
        let long = format!("{}.example", "a".repeat(64));
        for text in [
            "",
            ".",
            "*",
            "*.",
            "a..b",
            "-a.b",
            "a-.b",
            "a b",
            "wi*ki.corp",
            "*.*.corp",
            "bücher.example",
            &long,
        ] {
            assert!(Host::parse(text).is_err(), "{text}");
            assert!(NamePattern::parse_domain(text).is_err(), "{text}");
        }
        for text in ["10.77.0.0/33", "10.77", "1.2.3.4.5", "fd00::/129", "http://wiki"] {
            assert_eq!(Host::parse(text), Err(HostError::Address(text.to_owned())));
        }
    }
}
