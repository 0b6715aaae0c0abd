//! The token: compared without telling by its time how much of it was right; never taken from a URL.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Secret;

/// Names of parameters by which programs pass tokens where they do not belong (RFC 6750, section 2.3, and usage).
const NAMES: [&str; 6] = ["access_token", "api_key", "authorization", "bearer", "code", "token"];

/// Whether the value of `Authorization` holds the token (RFC 6750, section 2.1).
pub(super) fn is_right(value: &[u8], token: &Secret) -> bool {
    let Some((scheme, given)) = value.split_at_checked(b"Bearer ".len()) else { return false };
    scheme.eq_ignore_ascii_case(b"Bearer ") && same(given.trim_ascii(), token.reveal().as_bytes())
}

/// Whether two texts are the same. Their digests are compared, so that not even the length shows.
pub(in crate::api) fn same(given: &[u8], expected: &[u8]) -> bool {
    let (given, expected) = (Sha256::digest(given), Sha256::digest(expected));
    given.as_slice().ct_eq(expected.as_slice()).into()
}

/// Whether a query has a parameter for a token.
pub(super) fn is_in_query(query: &str) -> bool {
    let mut names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    names.any(|name| NAMES.iter().any(|of_token| name.eq_ignore_ascii_case(of_token)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_right() {
        let token = Secret::new("correct horse".to_owned());
        for (value, right) in [
            ("Bearer correct horse", true),
            ("bearer  correct horse", true),
            ("Bearer correct hors", false),
            ("Bearer correct horse!", false),
            ("Basic correct horse", false),
            ("correct horse", false),
            ("Bearer ", false),
            ("", false),
        ] {
            assert_eq!(is_right(value.as_bytes(), &token), right, "{value}");
        }
    }

    #[test]
    fn tokens_in_queries_are_found() {
        assert!(is_in_query("a=1&Token=x") && is_in_query("access_token"));
        assert!(!is_in_query("level=info&filter=token"));
    }
}
