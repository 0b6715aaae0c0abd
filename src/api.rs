//! The local control API: one router, whatever it listens on.

mod assets;
mod body;
pub mod client;
mod config;
mod device;
mod events;
mod guard;
mod lists;
mod logs;
mod openapi;
mod owners;
mod page_session;
mod personal;
mod problem;
mod query;
mod server;
mod sessions;
mod settings;
mod steering;
mod streams;
mod unix;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post, put};
use axum::{Json, Router};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

pub use logs::LogLine;
pub use page_session::PageUrl;
pub use problem::Problem;
pub use server::{Port, Server, States};
pub(crate) use sessions::random_text;
pub use settings::Settings;
pub use unix::{ControlSocket, SocketError};

pub use crate::access::{Access, Caller};
use crate::event::Events;
use crate::http_port::Client;
use crate::personal::Personal;
use crate::posture::Assessor;
use crate::proxy::pac::PacFile;
use crate::status::{FlowList, NameList, Status};
use sessions::Sessions;

/// Longest request body, in octets: what a command could ever need.
const MAX_BODY: usize = 64 << 10;

/// How long a fresh status may take until the last known one is shown.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);

/// What the running connector gives to whoever steers it.
#[derive(Debug, Clone)]
pub struct ControlHandle {
    /// The latest status.
    pub status: watch::Receiver<Arc<Status>>,
    /// Where commands go.
    pub commands: mpsc::Sender<Command>,
    /// What the API is to do.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// Where is said what was steered and refused.
    pub events: Events,
    /// The device's security.
    pub device: Assessor,
    sessions: Arc<Sessions>,
    streams: streams::Streams,
    freshness: events::Freshness,
}

/// How a request came; an extension of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interface {
    /// By the Unix socket.
    Unix,
    /// By TCP.
    Http,
}

/// A command to the running connector, with the way to answer it.
#[derive(Debug)]
pub enum Command {
    /// Connect.
    Up {
        /// Answered when it is done, or cannot be.
        reply: oneshot::Sender<CommandResult>,
    },
    /// Disconnect.
    Down {
        /// Answered when it is done, or cannot be.
        reply: oneshot::Sender<CommandResult>,
    },
    /// Say which connections are open.
    Flows {
        /// Answered with them.
        reply: oneshot::Sender<FlowList>,
    },
    /// Say which names are in use.
    Names {
        /// Answered with them.
        reply: oneshot::Sender<NameList>,
    },
    /// Let a person's settings take effect, and keep them.
    Personal {
        /// What changes.
        change: Personal,
        /// Answered when it is done, or cannot be.
        reply: oneshot::Sender<CommandResult>,
    },
    /// Publish the status anew: nobody keeps it fresh while nobody looks.
    Refresh {
        /// Answered when it is done.
        reply: oneshot::Sender<()>,
    },
}

/// How a command went.
pub type CommandResult = Result<(), CommandError>;

/// Why a command could not be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    /// What failed.
    pub message: String,
    /// What the person can do.
    pub hint: Option<String>,
}

impl ControlHandle {
    /// The handle of a connector.
    #[must_use]
    pub fn new(
        status: watch::Receiver<Arc<Status>>,
        commands: mpsc::Sender<Command>,
        settings: watch::Receiver<Arc<Settings>>,
        events: Events,
        device: Assessor,
    ) -> Self {
        let (sessions, streams, freshness) = Default::default();
        Self { status, commands, settings, events, device, sessions, streams, freshness }
    }
}

impl Interface {
    /// The word of events.
    fn as_str(self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::Http => "http",
        }
    }
}

/// The resources that every listener has; `openapi.json` describes each.
fn routes() -> Vec<(&'static str, MethodRouter<ControlHandle>)> {
    vec![
        ("/api/v1/status", get(status)),
        ("/api/v1/applications", get(applications)),
        ("/api/v1/device", get(device::device)),
        ("/api/v1/assess", post(device::assess)),
        ("/api/v1/connect", post(steering::connect)),
        ("/api/v1/disconnect", post(steering::disconnect)),
        ("/api/v1/flows", get(lists::flows)),
        ("/api/v1/dns", get(lists::names)),
        ("/api/v1/events", get(events::events)),
        ("/api/v1/logs", get(logs::logs)),
        ("/api/v1/logs/level", put(logs::set_level)),
        ("/api/v1/settings", get(personal::settings).put(personal::change)),
        ("/api/v1/config", get(config::config)),
        ("/api/v1/openapi.json", get(openapi::document)),
        ("/health", get(health)),
    ]
}

/// For the Unix socket. Every request must carry a [`Caller`] as an extension: the listener knows who is calling.
pub fn unix_router(handle: ControlHandle) -> Router {
    let router = base().route("/api/v1/session/code", post(page_session::code));
    let owners = owners::Owners::new(handle.settings.clone(), handle.events.clone());
    finish(router, &handle)
        .layer(middleware::from_fn_with_state(Arc::new(owners), owners::check))
        .with_state(handle)
}

/// For TCP. Every request must carry a [`Client`] as an extension.
pub fn tcp_router(handle: ControlHandle, pac: PacFile) -> Router {
    let guard =
        guard::Guard::new(handle.settings.clone(), Arc::clone(&handle.sessions), handle.events.clone());
    let router = base()
        .route("/api/v1/session", post(page_session::open))
        .route("/proxy.pac", get(assets::pac).with_state(pac))
        .route("/", get(assets::asset))
        .route("/{file}", get(assets::asset))
        .route("/app/{file}", get(assets::asset));
    finish(router, &handle)
        .layer(middleware::from_fn_with_state(Arc::new(guard), guard::check))
        .layer(middleware::map_request(known))
        .layer(middleware::from_fn(guard::harden))
        .with_state(handle)
}

fn base() -> Router<ControlHandle> {
    routes().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods))
}

fn finish(router: Router<ControlHandle>, handle: &ControlHandle) -> Router<ControlHandle> {
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(handle.events.clone(), steering::note))
        .layer(DefaultBodyLimit::max(MAX_BODY))
}

/// Puts what the handlers want to know beside the request.
async fn known(mut request: Request) -> Request {
    let caller = request.extensions().get::<Client>().and_then(|client| client.caller);
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    request.extensions_mut().insert(Interface::Http);
    request
}

async fn status(State(handle): State<ControlHandle>) -> Response {
    Json(&*fresh_status(&handle).await).into_response()
}

async fn applications(State(handle): State<ControlHandle>) -> Response {
    let status = fresh_status(&handle).await;
    Json(serde_json::json!({ "applications": status.applications })).into_response()
}

/// The status as it is now; a connector that is busy shows what it last knew.
async fn fresh_status(handle: &ControlHandle) -> Arc<Status> {
    let _ = timeout(REFRESH_TIMEOUT, refresh(handle)).await;
    Arc::clone(&handle.status.borrow())
}

async fn refresh(handle: &ControlHandle) {
    let (reply, done) = oneshot::channel();
    if handle.commands.send(Command::Refresh { reply }).await.is_ok() {
        let _ = done.await; // an end of the connector shows in what was last known
    }
}

async fn health() -> Response {
    Json(serde_json::json!({ "status": "ok" })).into_response()
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("no such resource: `{}`", uri.path()))
}

async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this resource has other methods")
}

#[cfg(test)]
mod tests;
