//! What a request to the proxy asks for: its form (RFC 9112, section 3.2), its host, its framing.

use hyper::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::http::uri::{Authority, Scheme};
use hyper::{HeaderMap, Method, Request};

use crate::proxy::target::Target;

/// The port of a URL that names none.
const HTTP: u16 = 80;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestTarget {
    /// A tunnel to there.
    Connect(Target),
    /// That the request is sent on to there.
    Forward(Target),
}

/// Why nothing can be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It is meant for a server, not for a proxy.
    ForServer,
    /// Its URL is not `http`.
    Scheme,
    /// There is no such host.
    Host,
    /// A CONNECT with a body, or without a port.
    Connect,
}

impl RequestTarget {
    /// Reads a request's line; the header `Host` does not count (RFC 9112, section 3.2.2).
    pub(super) fn of<B>(request: &Request<B>) -> Result<Self, Wrong> {
        let uri = request.uri();
        if request.method() == Method::CONNECT {
            return connect(uri.authority(), request.headers());
        }
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(Wrong::ForServer);
        };
        if *scheme != Scheme::HTTP {
            return Err(Wrong::Scheme);
        }
        Target::parse(authority.host(), port(authority).ok_or(Wrong::Host)?.unwrap_or(HTTP))
            .map(Self::Forward)
            .map_err(|_| Wrong::Host)
    }
}

fn connect(authority: Option<&Authority>, headers: &HeaderMap) -> Result<RequestTarget, Wrong> {
    let has_body = headers.contains_key(TRANSFER_ENCODING)
        || headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0");
    let authority = authority.filter(|authority| !has_body && !authority.as_str().contains('@'));
    let port = authority.and_then(port).flatten();
    let (Some(authority), Some(port)) = (authority, port) else { return Err(Wrong::Connect) };
    Target::parse(authority.host(), port).map(RequestTarget::Connect).map_err(|_| Wrong::Host)
}

/// The port, if one is written; `None` if what is written is none.
fn port(authority: &Authority) -> Option<Option<u16>> {
    let after_user = authority.as_str().rsplit('@').next()?;
    let written = after_user.strip_prefix(authority.host())?;
    match written.strip_prefix(':') {
        None => written.is_empty().then_some(None),
        Some("") => Some(None), // RFC 3986, section 3.2.3: the same as none
        Some(digits) => digits.parse().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<String, Wrong> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        RequestTarget::of(&request.body(()).unwrap()).map(|target| match target {
            RequestTarget::Connect(target) => format!("connect {target}"),
            RequestTarget::Forward(target) => format!("forward {target}"),
        })
    }

    #[test]
    fn the_request_line_says_where_to() {
        for (method, uri, asked) in [
            ("CONNECT", "wiki.corp:443", "connect wiki.corp:443"),
            ("CONNECT", "[fd00::1]:8443", "connect [fd00::1]:8443"),
            ("GET", "http://wiki.corp/page?q", "forward wiki.corp:80"),
            ("POST", "http://eve:open@Wiki.Corp:8080/", "forward wiki.corp:8080"),
            ("GET", "http://10.77.0.5:", "forward 10.77.0.5:80"),
        ] {
            assert_eq!(of(method, uri, &[("Host", "other.example")]).as_deref(), Ok(asked), "{uri}");
        }
    }

    #[test]
    fn what_is_no_request_to_a_proxy_is_told_apart() {
        for (method, uri, wrong) in [
            ("GET", "/", Wrong::ForServer),
            ("OPTIONS", "*", Wrong::ForServer),
            ("GET", "https://wiki.corp/", Wrong::Scheme),
            ("GET", "ftp://wiki.corp/", Wrong::Scheme),
            ("GET", "http://wiki.corp:0/", Wrong::Host),
            ("CONNECT", "wiki.corp", Wrong::Connect),
            ("CONNECT", "eve@wiki.corp:443", Wrong::Connect),
        ] {
            assert_eq!(of(method, uri, &[]), Err(wrong), "{method} {uri}");
        }
    }

    #[test]
    fn a_connect_with_a_body_is_refused() {
        let connect = |name, value| of("CONNECT", "wiki.corp:443", &[(name, value)]);
        assert_eq!(connect("Content-Length", "5"), Err(Wrong::Connect));
        assert_eq!(connect("Transfer-Encoding", "chunked"), Err(Wrong::Connect));
        assert!(connect("Content-Length", "0").is_ok());
    }
}
