//! `GET` and `PUT /api/v1/settings`: what a person may change.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::body::object;
use super::query::bad;
use super::steering::command;
use super::{Command, ControlHandle, Problem};
use crate::personal::Personal;

pub(super) async fn settings(State(handle): State<ControlHandle>) -> Response {
    Json(&handle.settings.borrow().personal).into_response()
}

/// What is not in the body stays as it is.
pub(super) async fn change(State(handle): State<ControlHandle>, body: Bytes) -> Result<Response, Problem> {
    let change: Personal =
        object(&body).map_err(|error| bad(format!("the body must be an object of settings: {error}")))?;
    if let Some(name) = handle.settings.borrow().personal.refused(&change) {
        let problem = Problem::new(StatusCode::CONFLICT, format!("`{name}` is managed by your organization"));
        return Err(problem.hint("ask the administrator"));
    }
    command(&handle, |reply| Command::Personal { change, reply }).await?;
    Ok(settings(State(handle)).await)
}
