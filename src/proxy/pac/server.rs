//! Serves the PAC file, and nothing else, to browsers of this device.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::PAC_TYPE;
use crate::proxy::settings::Settings;
use crate::proxy::shared::Client;

/// Where the script is.
const PATH: &str = "/proxy.pac";
/// How long the head of a request may take, and a connection may rest.
const HEAD_LIMIT: Duration = Duration::from_secs(15);
/// Octets of a head.
const MOST_BUFFERED: usize = 16 << 10;
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Serves one connection until its end.
pub(in crate::proxy) async fn serve(stream: TcpStream, client: Client) {
    let client = Arc::new(client);
    let service = service_fn(move |request| {
        let client = Arc::clone(&client);
        async move {
            client.permit.establish();
            let settings = client.shared.outbound.settings();
            let answer = if client.is_allowed() {
                answer(&request, &settings)
            } else {
                let refused = client.refusal();
                plain(refused.http_status(), refused.words().title)
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(MOST_BUFFERED)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection for the PAC file ended badly");
    }
}

fn answer<B>(request: &Request<B>, settings: &Settings) -> Response<Full<Bytes>> {
    if !is_own_host(request.headers(), settings.pac_port) {
        // a page of another site whose name was pointed at this device
        return plain(StatusCode::MISDIRECTED_REQUEST, "This is not the host that you are looking for\n");
    }
    if is_cross_site(request.headers()) {
        return plain(StatusCode::FORBIDDEN, "Pages of other sites may not read this\n");
    }
    if request.uri().path() != PATH {
        return plain(StatusCode::NOT_FOUND, "There is only /proxy.pac here\n");
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    response(StatusCode::OK, PAC_TYPE, settings.pac_script())
}

fn is_own_host(headers: &HeaderMap, port: u16) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|own| *host == format!("{own}:{port}"))
}

/// Whether a page of another site asks. Only browsers say so, and those that fetch the script by themselves do not.
fn is_cross_site(headers: &HeaderMap) -> bool {
    headers.get_all(SEC_FETCH_SITE).iter().any(|site| site != "none" && site != "same-origin")
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", text.to_owned())
}

fn response(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Access;

    fn settings() -> Settings {
        Settings {
            socks_port: Some(1080),
            http_port: None,
            pac_port: 8086,
            serves_pac: true,
            allow_direct: false,
            exclude: Vec::new(),
            credentials: None,
            access: Access::new(0, None),
            rules: super::super::Rules::default(),
        }
    }

    fn ask(method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(&request.body(()).unwrap(), &settings())
    }

    #[test]
    fn browsers_of_this_device_get_the_script() {
        for host in ["127.0.0.1:8086", "localhost:8086", "[::1]:8086"] {
            let response = ask("GET", "/proxy.pac", &[("Host", host), ("Sec-Fetch-Site", "none")]);
            assert_eq!(response.status(), 200, "{host}");
            let header = |name: &str| response.headers()[name].to_str().unwrap();
            assert_eq!(header("content-type"), "application/x-ns-proxy-autoconfig");
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        }
    }

    #[test]
    fn everybody_and_everything_else_is_refused() {
        let own = ("Host", "127.0.0.1:8086");
        let status = |method, path, headers: &[_]| ask(method, path, headers).status().as_u16();
        assert_eq!(status("GET", "/proxy.pac", &[("Host", "evil.example:8086")]), 421);
        assert_eq!(status("GET", "/proxy.pac", &[("Host", "127.0.0.1")]), 421, "another port");
        assert_eq!(status("GET", "/proxy.pac", &[]), 421);
        assert_eq!(status("GET", "/proxy.pac", &[own, ("Host", "localhost:8086")]), 421, "two hosts");
        assert_eq!(status("GET", "/proxy.pac", &[own, ("Sec-Fetch-Site", "cross-site")]), 403);
        assert_eq!(status("GET", "/proxy.pac", &[own, ("Sec-Fetch-Site", "same-site")]), 403);
        assert_eq!(status("GET", "/", &[own]), 404);
        assert_eq!(status("GET", "/api/v1/status", &[own]), 404);
        assert_eq!(status("POST", "/proxy.pac", &[own]), 405);
    }
}
