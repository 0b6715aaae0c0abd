//! Headers that end at a proxy, and those that it sets (RFC 9110, section 7.6).

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use hyper::http::request;
use hyper::{HeaderMap, Uri, Version};

/// What ends here whatever `Connection` says. `Transfer-Encoding` does too, and is seen to separately.
const OF_ONE_CONNECTION: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    PROXY_AUTHORIZATION,
    TE,
    UPGRADE,
];
const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");
/// Who we are to the hosts: a name that says nothing of the device.
const OWN_NAME: HeaderValue = HeaderValue::from_static("1.1 openztna");

/// Makes a request for a proxy one for the host itself; `keeps_upgrade` if the protocol is to change.
pub(super) fn prepare_request(head: &mut request::Parts, keeps_upgrade: bool) {
    let host = head.uri.authority().and_then(|authority| {
        let host_and_port = authority.as_str().rsplit('@').next()?;
        HeaderValue::from_str(host_and_port).ok()
    });
    let path = head.uri.path_and_query().cloned();
    head.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    head.version = Version::HTTP_11;
    let is_chunked = strip(&mut head.headers, keeps_upgrade);
    if let Some(host) = host {
        head.headers.insert(HOST, host);
    }
    if is_chunked {
        // a body without a length; hyper would drop that of a GET otherwise
        head.headers.insert(TRANSFER_ENCODING, CHUNKED);
    }
}

/// Makes an answer of the host one of the proxy.
pub(super) fn prepare_response(headers: &mut HeaderMap, keeps_upgrade: bool) {
    strip(headers, keeps_upgrade);
}

/// Takes out what ends here; whether the body came in chunks, whose length is then nobody's word to take.
fn strip(headers: &mut HeaderMap, keeps_upgrade: bool) -> bool {
    let upgrade = headers.get(UPGRADE).cloned().filter(|_| keeps_upgrade);
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        // these say how long the body is: nobody may talk them away
        .filter(|name| *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING && *name != HOST)
        .collect();
    for name in named.iter().chain(&OF_ONE_CONNECTION) {
        headers.remove(name);
    }
    let is_chunked = headers.remove(TRANSFER_ENCODING).is_some();
    if is_chunked {
        headers.remove(CONTENT_LENGTH);
    }
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade);
    }
    headers.append(VIA, OWN_NAME);
    is_chunked
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn prepared(uri: &str, headers: &[(&str, &str)], keeps_upgrade: bool) -> request::Parts {
        let mut request = Request::builder().uri(uri).version(Version::HTTP_10);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        prepare_request(&mut head, keeps_upgrade);
        head
    }

    fn names(headers: &HeaderMap) -> Vec<String> {
        let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_belongs_to_one_connection_ends_here() {
        let head = prepared(
            "http://eve:open@wiki.corp:8080/page?q=1",
            &[
                ("Host", "evil.example"),
                ("Connection", "close, X-Private, Content-Length"),
                ("Keep-Alive", "timeout=5"),
                ("Proxy-Connection", "keep-alive"),
                ("Proxy-Authorization", "Basic eDp5"),
                ("TE", "trailers"),
                ("Upgrade", "websocket"),
                ("X-Private", "1"),
                ("X-Public", "1"),
                ("Content-Length", "3"),
            ],
            false,
        );
        assert_eq!(names(&head.headers), ["content-length", "host", "via", "x-public"]);
        assert_eq!((head.uri.to_string().as_str(), head.version), ("/page?q=1", Version::HTTP_11));
        assert_eq!(head.headers[HOST], "wiki.corp:8080", "the request line's host and no user");
    }

    #[test]
    fn chunks_are_framed_anew_and_a_length_beside_them_is_dropped() {
        let head = prepared(
            "http://wiki.corp/",
            &[("Transfer-Encoding", "chunked"), ("Content-Length", "3")],
            false,
        );
        assert_eq!(names(&head.headers), ["host", "transfer-encoding", "via"]);
        let mut headers = HeaderMap::new();
        headers.insert(TRANSFER_ENCODING, CHUNKED);
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("3"));
        prepare_response(&mut headers, false);
        assert_eq!(names(&headers), ["via"]);
    }

    #[test]
    fn an_upgrade_is_passed_on_when_it_is_one() {
        let given = [("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket")];
        let head = prepared("http://wiki.corp/", &given, true);
        assert_eq!(
            (&head.headers[CONNECTION], &head.headers[UPGRADE]),
            (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap())
        );
    }
}
