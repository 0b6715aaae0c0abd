//! How the page gets in: a one-time code from the Unix socket, exchanged for a cookie of its own.

use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::body::object;
use super::sessions::COOKIE;
use super::{Caller, ControlHandle, Problem};

/// Where a browser opens the page; the code is in the fragment, which browsers send to nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageUrl {
    /// The URL.
    pub url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    code: String,
}

/// `POST /api/v1/session/code`, on the Unix socket only: it knows whose the browser will be.
pub(super) async fn code(
    State(handle): State<ControlHandle>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<PageUrl>, Problem> {
    let Some(address) = handle.settings.borrow().address else {
        let problem = Problem::new(StatusCode::CONFLICT, "the dashboard is off");
        return Err(problem.hint("set `enabled = true` in `[api]`"));
    };
    let address = match address.ip().is_unspecified() {
        true => std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, address.port())),
        false => address,
    };
    let no_randomness = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the system gives no randomness");
    let code = handle.sessions.code(caller, Instant::now()).ok_or_else(no_randomness)?;
    Ok(Json(PageUrl { url: format!("http://{address}/#code={code}") }))
}

/// `POST /api/v1/session`: the code goes, the cookie comes.
pub(super) async fn open(
    State(handle): State<ControlHandle>,
    caller: Option<Extension<Caller>>,
    body: Bytes,
) -> Result<Response, Problem> {
    let Ok(Exchange { code }) = object(&body) else {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the body must be `{\"code\": \"…\"}`"));
    };
    let cookie = caller.and_then(|Extension(caller)| handle.sessions.exchange(&code, caller, Instant::now()));
    let Some(cookie) = cookie else {
        return Err(Problem::new(StatusCode::FORBIDDEN, "the code is unknown, used, or too old")
            .hint("run `openztna-client-connector dashboard` again"));
    };
    let cookie = format!("{COOKIE}={cookie}; HttpOnly; SameSite=Strict; Path=/");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}
