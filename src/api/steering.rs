//! Commands: sent to the connector, waited for, and noted as events.

use std::time::Duration;

use axum::extract::{Extension, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Caller, Command, CommandResult, ControlHandle, Interface, Problem, openapi, status};
use crate::event::{Event, Events, Field, Kind};

/// How long a command may take until its caller is told that it still goes on: longer than a handshake's own
/// attempts of 5 s each (WireGuard, section 6.1) and shorter than people wait.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) async fn connect(State(handle): State<ControlHandle>) -> Result<Response, Problem> {
    command(&handle, |reply| Command::Up { reply }).await?;
    Ok(status(State(handle)).await)
}

pub(super) async fn disconnect(State(handle): State<ControlHandle>) -> Result<Response, Problem> {
    command(&handle, |reply| Command::Down { reply }).await?;
    Ok(status(State(handle)).await)
}

/// Sends a command and waits for its answer.
pub(super) async fn command(
    handle: &ControlHandle,
    command: impl FnOnce(oneshot::Sender<CommandResult>) -> Command,
) -> Result<(), Problem> {
    let (reply, answer) = oneshot::channel();
    let ends = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the connector is ending");
    let carry_out = async {
        handle.commands.send(command(reply)).await.map_err(|_| ends())?;
        answer.await.map_err(|_| ends())
    };
    let late =
        |_| Problem::new(StatusCode::GATEWAY_TIMEOUT, "the command still goes on").hint("look at `status`");
    timeout(COMMAND_TIMEOUT, carry_out).await.map_err(late)??.map_err(Problem::from)
}

/// Says who changed what, when it was done.
pub(super) async fn note(
    State(events): State<Events>,
    Extension(interface): Extension<Interface>,
    caller: Option<Extension<Caller>>,
    request: Request,
    next: Next,
) -> Response {
    let is_change = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    let object = openapi::shown(request.uri().path());
    let response = next.run(request).await;
    if is_change && response.status().is_success() {
        let what = object.trim_start_matches("/api/v1/");
        let event = Event::new(Kind::Steered, format!("the connector was steered: {what}"))
            .with(Field::Interface, interface.as_str())
            .with(Field::Object, what);
        events.emit(match caller {
            Some(Extension(caller)) => event.with(Field::Uid, caller.uid),
            None => event,
        });
    }
    response
}
