//! Answers of the proxy's own: a refusal says which application, which rule, and what to do.

use http_body_util::{Either, Full};
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
    PROXY_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Response, StatusCode};

use super::Body;
use super::request_target::Wrong;
use crate::proxy::refusal::{Refused, Words};

/// What a client likes to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A browser.
    Html,
    /// Anything else.
    Text,
}

impl Format {
    /// Browsers say that they take HTML.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let takes_html = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("text/html"));
        if headers.get_all(ACCEPT).iter().any(takes_html) { Self::Html } else { Self::Text }
    }
}

/// The answer to a request that is not granted; `destination` as the person knows it.
pub(super) fn refusal(refused: &Refused, destination: &str, format: Format) -> Response<Body> {
    page(refused.http_status(), &refused.words(), destination, format)
}

/// The answer to a request that cannot be understood as one to a proxy.
pub(super) fn bad_request(wrong: Wrong, pac_port: u16, format: Format) -> Response<Body> {
    let rule = match wrong {
        Wrong::ForServer => "this is a proxy, not a server: the request names no URL",
        Wrong::Scheme => "the proxy forwards http URLs; everything else goes through CONNECT",
        Wrong::Host => "the request names no host that could be reached",
        Wrong::Connect => "a CONNECT names a host and a port, and has no body",
    };
    let words = Words {
        reason: "bad_request",
        title: "Bad request",
        application: None,
        rule: rule.to_owned(),
        hint: format!(
            "set it as the HTTP proxy of the program, or use http://127.0.0.1:{pac_port}/proxy.pac"
        ),
    };
    let mut response = page(StatusCode::BAD_REQUEST, &words, "", format);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The answer to a request without the right user and password.
pub(super) fn unauthorized(format: Format) -> Response<Body> {
    let words = Words {
        reason: "unauthorized",
        title: "Authentication failed",
        application: None,
        rule: "the proxy asks for a user name and a password".to_owned(),
        hint: "give those of `[proxy]` in the configuration".to_owned(),
    };
    let mut response = page(StatusCode::PROXY_AUTHENTICATION_REQUIRED, &words, "", format);
    let challenge = HeaderValue::from_static("Basic realm=\"OpenZTNA Client Connector\", charset=\"UTF-8\"");
    response.headers_mut().insert(PROXY_AUTHENTICATE, challenge);
    response
}

fn page(status: StatusCode, words: &Words, destination: &str, format: Format) -> Response<Body> {
    let (content_type, text) = match format {
        Format::Html => ("text/html; charset=utf-8", html(words, destination)),
        Format::Text => ("text/plain; charset=utf-8", text(words, destination)),
    };
    let mut response = Response::new(Either::Right(Full::from(text)));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What is known, a name and a value each.
fn facts<'a>(words: &'a Words, destination: &'a str) -> impl Iterator<Item = (&'static str, &'a str)> {
    [
        ("Destination", destination),
        ("Application", words.application.as_deref().unwrap_or_default()),
        ("Rule", &words.rule),
        ("What to do", &words.hint),
        ("Reason", words.reason),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
}

fn text(words: &Words, destination: &str) -> String {
    let lines = facts(words, destination).map(|(name, value)| format!("{name}: {value}\n"));
    format!("{}\n{}", words.title, lines.collect::<String>())
}

fn html(words: &Words, destination: &str) -> String {
    let rows = facts(words, destination)
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value)))
        .collect::<String>();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em}}\
         dt{{font-weight:bold;margin-top:.8em}}dd{{margin:0}}footer{{margin-top:3em;color:#666}}</style></head>\n\
         <body><h1>{title}</h1>\n<dl>\n{rows}</dl>\n<footer>OpenZTNA Client Connector</footer></body></html>\n",
        title = words.title,
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Words {
        Words {
            reason: "port_not_allowed",
            title: "Access denied",
            application: Some("<wiki> & \"co\"".to_owned()),
            rule: "`wiki` allows tcp/443".to_owned(),
            hint: "ask".to_owned(),
        }
    }

    #[test]
    fn what_comes_from_elsewhere_is_escaped() {
        let page = html(&words(), "<script>alert('x')</script>:80");
        assert!(page.contains("&lt;wiki&gt; &amp; &quot;co&quot;"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;:80"), "{page}");
        assert!(!page.contains("<script>"), "{page}");
    }

    #[test]
    fn browsers_get_html_and_other_programs_text() {
        let accepting = |value: &str| Format::of(&HeaderMap::from_iter([(ACCEPT, value.parse().unwrap())]));
        assert_eq!(accepting("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), Format::Html);
        assert_eq!((accepting("*/*"), Format::of(&HeaderMap::new())), (Format::Text, Format::Text));
        let plain = text(&words(), "");
        assert!(plain.starts_with("Access denied\nApplication: <wiki>"), "{plain}");
        let response = page(StatusCode::FORBIDDEN, &words(), "wiki:80", Format::Html);
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    }
}
