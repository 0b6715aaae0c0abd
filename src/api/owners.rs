//! Who gets through on the Unix socket: those of whom the kernel says that they may read and steer.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::watch;

use super::guard::Buckets;
use super::{Caller, Interface, Problem, Settings, openapi};
use crate::event::{Event, Events, Field, Kind};

/// Events about refusals, of one user at once and a second, so that a storm does not fill the SIEM.
const EVENTS: (u32, f64) = (10, 0.1);

/// What decides.
#[derive(Debug)]
pub(super) struct Owners {
    settings: watch::Receiver<Arc<Settings>>,
    events: Events,
    reports: Buckets,
}

impl Owners {
    pub(super) fn new(settings: watch::Receiver<Arc<Settings>>, events: Events) -> Self {
        Self { settings, events, reports: Buckets::new(EVENTS.0, EVENTS.1) }
    }

    fn report(&self, caller: Caller, path: &str) {
        if !self.reports.take(Some(caller.uid), Instant::now()) {
            return;
        }
        let event = Event::new(Kind::SteeringRefused, "a request was refused: this user may not")
            .with(Field::Interface, Interface::Unix.as_str())
            .with(Field::Reason, "user")
            .with(Field::Object, openapi::shown(path))
            .with(Field::Uid, caller.uid);
        self.events.emit(event);
    }
}

/// Lets a request through, or answers that the user may not.
pub(super) async fn check(
    State(owners): State<Arc<Owners>>,
    caller: Option<Extension<Caller>>,
    request: Request,
    next: Next,
) -> Response {
    // without a caller the listener was wired wrongly, which must not open anything
    let is_allowed = caller.is_some_and(|Extension(caller)| owners.settings.borrow().access.allows(caller));
    if is_allowed {
        return next.run(request).await;
    }
    if let Some(Extension(caller)) = caller {
        owners.report(caller, request.uri().path());
    }
    Problem::new(StatusCode::FORBIDDEN, "this user may not read or steer the connector")
        .hint("run the command as root, or add the user to `allowed_users` in `[tunneling]`")
        .into_response()
}
