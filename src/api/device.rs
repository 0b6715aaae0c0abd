//! `GET /api/v1/device` and `POST /api/v1/assess`: the device's security, as it is known and as it is now.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use tokio::time::timeout;

use super::{ControlHandle, Problem};
use crate::status::DeviceReport;

/// How long a fresh look may take: two runs of the slowest check, should one be under way.
const ASSESS_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) async fn device(State(handle): State<ControlHandle>) -> Json<DeviceReport> {
    Json(handle.device.latest().report())
}

pub(super) async fn assess(State(handle): State<ControlHandle>) -> Result<Json<DeviceReport>, Problem> {
    let late = |_| {
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "the device is still being assessed")
            .hint("look again in a moment")
    };
    let assessment = timeout(ASSESS_TIMEOUT, handle.device.assess()).await.map_err(late)?;
    Ok(Json(assessment.report()))
}
