//! `Proxy-Authorization: Basic` (RFC 7617).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::PROXY_AUTHORIZATION;

use crate::proxy::settings::Credentials;

/// Whether a request carries the credentials.
pub(super) fn is_given(headers: &HeaderMap, credentials: &Credentials) -> bool {
    headers.get_all(PROXY_AUTHORIZATION).iter().any(|value| {
        let Some((username, password)) = value.to_str().ok().and_then(basic) else { return false };
        credentials.are(&username, &password)
    })
}

fn basic(value: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|octet| *octet == b':')?;
    Some((decoded[..colon].to_vec(), decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn only_the_right_pair_passes() {
        let credentials =
            Credentials { username: "eve".to_owned(), password: Secret::new("op:en".to_owned()) };
        let given = |value: &str| {
            let headers = HeaderMap::from_iter([(PROXY_AUTHORIZATION, value.parse().unwrap())]);
            is_given(&headers, &credentials)
        };
        let encoded = STANDARD.encode("eve:op:en");
        assert!(given(&format!("Basic {encoded}")) && given(&format!("basic  {encoded}")));
        for value in ["", "Basic", "Basic ???", "Bearer abc", &format!("Basic {}", STANDARD.encode("eve:op"))]
        {
            assert!(!given(value), "{value}");
        }
        assert!(!is_given(&HeaderMap::new(), &credentials));
    }
}
