//! The local control API: one router, whatever it listens on.

pub mod client;
mod lists;
mod problem;
mod unix;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Extension, Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

pub use problem::Problem;
pub use unix::{ControlSocket, SocketError};

pub use crate::access::{Access, Caller};
use crate::status::{FlowList, NameList, Status};

/// Longest request body, in octets. No request has one yet; this is what a command could ever need.
const MAX_BODY: usize = 64 << 10;

/// How long a command may take until its caller is told that it still goes on: longer than a handshake's own
/// attempts of 5 s each (WireGuard, section 6.1) and shorter than people wait.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a fresh status may take until the last known one is shown.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(1);

/// What the running connector gives to whoever steers it.
#[derive(Debug, Clone)]
pub struct ControlHandle {
    /// The latest status.
    pub status: watch::Receiver<Arc<Status>>,
    /// Where commands go.
    pub commands: mpsc::Sender<Command>,
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

/// The routes. Every request must carry a [`Caller`] as an extension: the listener knows who is calling.
pub fn router(handle: ControlHandle, access: Arc<Access>) -> Router {
    Router::new()
        .route("/api/v1/status", get(status))
        .route("/api/v1/flows", get(lists::flows))
        .route("/api/v1/dns", get(lists::names))
        .route("/api/v1/connect", post(connect))
        .route("/api/v1/disconnect", post(disconnect))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(access, authorize))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(handle)
}

async fn status(State(handle): State<ControlHandle>) -> Response {
    // a connector that is busy shows what it last knew
    let _ = timeout(REFRESH_TIMEOUT, refresh(&handle)).await;
    let status = Arc::clone(&handle.status.borrow());
    Json(&*status).into_response()
}

async fn refresh(handle: &ControlHandle) {
    let (reply, done) = oneshot::channel();
    if handle.commands.send(Command::Refresh { reply }).await.is_ok() {
        let _ = done.await; // an end of the connector shows in what was last known
    }
}

async fn connect(State(handle): State<ControlHandle>) -> Result<Response, Problem> {
    steer(handle, |reply| Command::Up { reply }).await
}

async fn disconnect(State(handle): State<ControlHandle>) -> Result<Response, Problem> {
    steer(handle, |reply| Command::Down { reply }).await
}

/// Sends a command and waits for its answer, which is the status afterwards.
async fn steer(
    handle: ControlHandle,
    command: impl FnOnce(oneshot::Sender<CommandResult>) -> Command,
) -> Result<Response, Problem> {
    let (reply, answer) = oneshot::channel();
    let ends = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the connector is ending");
    let carry_out = async {
        handle.commands.send(command(reply)).await.map_err(|_| ends())?;
        answer.await.map_err(|_| ends())
    };
    let late =
        |_| Problem::new(StatusCode::GATEWAY_TIMEOUT, "the command still goes on").hint("look at `status`");
    timeout(COMMAND_TIMEOUT, carry_out).await.map_err(late)??.map_err(Problem::from)?;
    Ok(status(State(handle)).await)
}

/// Lets only those through who may read and steer.
async fn authorize(
    State(access): State<Arc<Access>>,
    caller: Option<Extension<Caller>>,
    request: Request,
    next: Next,
) -> Response {
    // Without a caller the listener was wired wrongly, which must not open anything.
    let is_allowed = caller.is_some_and(|Extension(caller)| access.allows(caller));
    if is_allowed {
        return next.run(request).await;
    }
    Problem::new(StatusCode::FORBIDDEN, "this user may not read or steer the connector")
        .hint("run the command as root, or add the user to `allowed_users` in `[tunneling]`")
        .into_response()
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("no such resource: `{}`", uri.path()))
}

async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this resource has other methods")
}

#[cfg(test)]
mod tests;
