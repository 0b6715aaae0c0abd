//! `GET /api/v1/flows` and `GET /api/v1/dns`: what is open, and which names are in use.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Command, ControlHandle, Problem, REFRESH_TIMEOUT};

pub(super) async fn flows(State(handle): State<ControlHandle>) -> Result<Response, Problem> {
    ask(&handle, |reply| Command::Flows { reply }).await
}

pub(super) async fn names(State(handle): State<ControlHandle>) -> Result<Response, Problem> {
    ask(&handle, |reply| Command::Names { reply }).await
}

async fn ask<T: Serialize>(
    handle: &ControlHandle,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Result<Response, Problem> {
    let (reply, answer) = oneshot::channel();
    let carry_out = async {
        handle.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    };
    let list = timeout(REFRESH_TIMEOUT, carry_out).await.ok().flatten();
    let busy = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the connector is busy or ending");
    Ok(Json(list.ok_or_else(|| busy().hint("ask again"))?).into_response())
}
