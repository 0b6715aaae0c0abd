//! The guard of the local API on TCP: what browsers of strangers, other users and wrong tokens may not do.
//!
//! A loopback port can be reached by every program of the device, and by every web page that a browser of it shows. So
//! each request must name this host (DNS rebinding), come from no other site (CSRF), from a user who may steer, and with
//! the token or the cookie of a page that this connector opened.

mod bucket;
mod headers;
mod refusal;
mod token;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header, request::Parts};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;
use tokio::time::timeout;

pub(super) use bucket::Buckets;
pub(super) use headers::harden;
pub(super) use refusal::Refusal;
pub(super) use token::same;

use super::sessions::Sessions;
use super::{Caller, MAX_BODY, Problem, Settings};
use crate::access::Access;
use crate::event::{Event, Events, Field, Kind};
use crate::http_port::{Client, foreign};

/// Requests of one user at once, and those a second that go on: a page asks for some tens when it opens.
const REQUESTS: (u32, f64) = (500, 200.0);
/// Wrong tokens of one user at once, and a second: a person's typing errors, and no search.
const WRONG_TOKENS: (u32, f64) = (10, 0.5);
/// Events about refusals, of one user at once and a second, so that a storm does not fill the SIEM.
const EVENTS: (u32, f64) = (10, 0.1);
/// How long the body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// The field that pages of ours send with what changes something: a form of another page cannot.
const PAGE_FIELD: &str = "x-openztna";
const PAGE_VALUE: &str = "dashboard";

/// What decides.
#[derive(Debug)]
pub(super) struct Guard {
    settings: watch::Receiver<Arc<Settings>>,
    sessions: Arc<Sessions>,
    events: Events,
    requests: Buckets,
    wrong_tokens: Buckets,
    reports: Buckets,
}

/// What a resource asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing: it holds no data.
    Nothing,
    /// A user who may use the connector; browsers fetch it with no token.
    User,
    /// The token or a page's cookie as well.
    Right,
}

impl Guard {
    pub(super) fn new(
        settings: watch::Receiver<Arc<Settings>>,
        sessions: Arc<Sessions>,
        events: Events,
    ) -> Self {
        let bucket = |(most, a_second)| Buckets::new(most, a_second);
        Self {
            settings,
            sessions,
            events,
            requests: bucket(REQUESTS),
            wrong_tokens: bucket(WRONG_TOKENS),
            reports: bucket(EVENTS),
        }
    }

    /// Whether the request may go on.
    fn verdict(&self, head: &Parts, client: &Client, now: Instant) -> Result<(), Refusal> {
        let settings = Arc::clone(&self.settings.borrow());
        foreign::check(head, client.local)?;
        check_form(head)?;
        let user = client.caller.map(|caller| caller.uid);
        if !self.requests.take(user, now) {
            return Err(Refusal::TooOften);
        }
        let needs = needs(head.uri.path());
        if needs == Needs::Nothing {
            return Ok(());
        }
        let allowed = client.caller.is_some_and(|caller| settings.access.allows(caller));
        if !allowed && !client.is_remote() {
            return Err(Refusal::User);
        }
        if needs == Needs::User {
            return Ok(());
        }
        if self.has_token(head, &settings, user, now)? {
            return Ok(());
        }
        if self.has_session(&head.headers, client.caller, now) {
            return check_page(head);
        }
        if settings.require_auth || client.is_remote() {
            return Err(Refusal::NoToken);
        }
        match is_change(&head.method) && !is_named(&settings.access, client.caller) {
            true => Err(Refusal::OtherUser),
            false => Ok(()),
        }
    }

    /// Wrong tokens are counted, and beyond their number none is looked at.
    fn has_token(
        &self,
        head: &Parts,
        settings: &Settings,
        user: Option<u32>,
        now: Instant,
    ) -> Result<bool, Refusal> {
        let mut given = head.headers.get_all(header::AUTHORIZATION).iter();
        let Some(value) = given.next() else { return Ok(false) };
        if self.wrong_tokens.is_empty(user, now) {
            return Err(Refusal::TooManyTokens);
        }
        if given.next().is_none() && token::is_right(value.as_bytes(), &settings.token) {
            return Ok(true);
        }
        self.wrong_tokens.take(user, now);
        Err(Refusal::WrongToken)
    }

    fn has_session(&self, headers: &HeaderMap, caller: Option<Caller>, now: Instant) -> bool {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut values = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().strip_prefix(super::sessions::COOKIE)?.strip_prefix('='));
        caller.is_some_and(|caller| values.any(|value| self.sessions.knows(value, caller, now)))
    }

    fn report(&self, refusal: Refusal, head: &Parts, client: &Client, now: Instant) {
        let user = client.caller.map(|caller| caller.uid);
        if !refusal.is_reported() || !self.reports.take(user, now) {
            return;
        }
        let event = Event::new(Kind::SteeringRefused, format!("a request was refused: {}", refusal.words()))
            .with(Field::Interface, "http")
            .with(Field::Reason, refusal.code())
            .with(Field::Object, super::openapi::shown(head.uri.path()));
        let event = match user {
            Some(uid) => event.with(Field::Uid, uid),
            None => event.with(Field::SourceAddress, client.peer.ip()),
        };
        self.events.emit(event);
    }
}

/// Lets a request through, with its whole body at hand, or answers why not.
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    client: Option<Extension<Client>>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = request.into_parts();
    let now = Instant::now();
    // without a client the listener was wired wrongly, which must not open anything
    let Some(Extension(client)) = client else { return Refusal::User.into_response() };
    if let Err(refusal) = guard.verdict(&head, &client, now) {
        guard.report(refusal, &head, &client, now);
        return refusal.into_response();
    }
    match timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Ok(Err(_)) => {
            last(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body cannot be read, or is too long"))
        }
        Err(_) => last(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

/// An answer after which the connection is closed: what follows on it may be the rest of what was refused.
fn last(answer: impl IntoResponse) -> Response {
    ([(header::CONNECTION, "close")], answer).into_response()
}

fn needs(path: &str) -> Needs {
    match path {
        "/" | "/app.css" | "/icon.svg" | "/health" => Needs::Nothing,
        "/proxy.pac" | "/api/v1/session" => Needs::User,
        path if path.starts_with("/app/") => Needs::Nothing,
        _ => Needs::Right,
    }
}

fn is_change(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// Without a token nobody changes anything but root, the connector's own user and those who are named.
fn is_named(access: &Access, caller: Option<Caller>) -> bool {
    caller.is_some_and(|caller| access.names(caller))
}

/// What no honest client sends: a token in the URL, which is written into histories and logs; a body of unknown length,
/// with which requests are smuggled (RFC 9112, section 11.2); a change that a form of another page could send.
fn check_form(head: &Parts) -> Result<(), Refusal> {
    if head.uri.query().is_some_and(token::is_in_query) {
        return Err(Refusal::TokenInUrl);
    }
    if head.headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Refusal::NoLength);
    }
    let has_body = head.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    let is_json = head.headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let essence = value.as_bytes().split(|octet| *octet == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
    });
    if is_change(&head.method) && has_body && !is_json { Err(Refusal::NotJson) } else { Ok(()) }
}

/// A cookie is sent by the browser whoever asks; the field only by our page.
fn check_page(head: &Parts) -> Result<(), Refusal> {
    let is_ours = head.headers.get(PAGE_FIELD).is_some_and(|value| value == PAGE_VALUE);
    if is_change(&head.method) && !is_ours { Err(Refusal::NoPageField) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
