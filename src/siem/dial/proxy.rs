//! A tunnel through the company's HTTP proxy (RFC 9110 section 9.3.6), and what a proxy answers instead.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;
use crate::config::Endpoint;
use crate::siem::problem::Problem;
use crate::siem::settings::Proxy;

/// Asks the proxy for a stream to `endpoint`.
pub(super) async fn tunnel(
    socket: TcpStream,
    proxy: &Proxy,
    endpoint: &Endpoint,
    say: &dyn Fn(&str),
) -> Result<TcpStream, Problem> {
    let late = |_| Problem::new("the proxy does not answer");
    let socket = timeout(PATIENCE, ask(socket, proxy, endpoint)).await.map_err(late)??;
    say("the proxy leads to the SIEM");
    Ok(socket)
}

async fn ask(socket: TcpStream, proxy: &Proxy, endpoint: &Endpoint) -> Result<TcpStream, Problem> {
    let broken = |error: hyper::Error| Problem::new(format!("the proxy does not speak HTTP: {error}"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.map_err(broken)?;
    // it ends with the socket, which an upgrade takes out of it
    tokio::spawn(connection.with_upgrades());
    let target = endpoint.to_string();
    let mut request = Request::builder().method(Method::CONNECT).uri(&target).header(HOST, &target);
    if let Some(value) = authorization(proxy) {
        request = request.header(PROXY_AUTHORIZATION, value);
    }
    let request = request.body(Empty::<Bytes>::new());
    let request = request.map_err(|error| Problem::new(format!("failed to ask the proxy: {error}")))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    if !response.status().is_success() {
        return Err(refusal(response.status(), response.headers(), proxy)
            .unwrap_or_else(|| refused(response.status(), endpoint)));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(broken)?;
    let parts = upgraded.downcast::<TokioIo<TcpStream>>();
    let parts = parts.map_err(|_| Problem::new("failed to take the proxy's stream over"))?;
    if !parts.read_buf.is_empty() {
        return Err(Problem::new("the proxy sent something before the SIEM could"));
    }
    Ok(parts.io.into_inner())
}

/// The header that says who we are (RFC 7617).
pub(in crate::siem) fn authorization(proxy: &Proxy) -> Option<HeaderValue> {
    let (username, password) = proxy.credentials.as_ref()?;
    let token = STANDARD.encode(format!("{username}:{}", password.reveal()));
    let mut value = HeaderValue::from_str(&format!("Basic {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What an answer 407 means.
pub(in crate::siem) fn refusal(status: StatusCode, headers: &HeaderMap, proxy: &Proxy) -> Option<Problem> {
    if status != StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return None;
    }
    let schemes: Vec<&str> = headers
        .get_all(PROXY_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok()?.split_whitespace().next())
        .collect();
    if !schemes.is_empty() && !schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("basic")) {
        let problem = Problem::new(format!("the proxy takes only {}, and not Basic", schemes.join(", ")));
        return Some(
            problem.hint("let the SIEM be reached without it: `bypass_domains` in `[outbound_proxy]`"),
        );
    }
    let problem = match proxy.credentials {
        Some(_) => Problem::new("the proxy does not take this user name and password"),
        None => Problem::new("the proxy asks for a user name and a password"),
    };
    Some(problem.hint("set `username` and `password` in `[outbound_proxy]`"))
}

fn refused(status: StatusCode, endpoint: &Endpoint) -> Problem {
    let problem = Problem::new(format!("the proxy refuses to connect to `{endpoint}`: {status}"));
    if status != StatusCode::FORBIDDEN {
        return problem;
    }
    problem.hint(format!("many proxies connect to port 443 only: let it connect to port {}", endpoint.port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn answer(schemes: &[&str], credentials: Option<&str>) -> Problem {
        let mut headers = HeaderMap::new();
        for scheme in schemes {
            headers.append(PROXY_AUTHENTICATE, HeaderValue::from_str(scheme).unwrap());
        }
        let credentials = credentials.map(|name| (name.to_owned(), Secret::new("p".to_owned())));
        let proxy = Proxy { endpoint: Endpoint::parse("proxy:8080").unwrap(), credentials };
        refusal(StatusCode::PROXY_AUTHENTICATION_REQUIRED, &headers, &proxy).unwrap()
    }

    #[test]
    fn each_refusal_says_what_is_missing() {
        assert!(answer(&["Basic realm=\"x\""], None).message.contains("asks for a user name"));
        assert!(
            answer(&["Negotiate", "Basic realm=\"x\""], Some("u")).message.contains("does not take this")
        );
        let message = answer(&["NTLM", "Negotiate abc"], Some("u")).message;
        assert_eq!(message, "the proxy takes only NTLM, Negotiate, and not Basic");
    }
}
