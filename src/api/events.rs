//! `GET /api/v1/events`: the status, the device's security, and what happens, as it happens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Extension, State};
use axum::response::Response;
use axum::response::sse;
use futures_util::stream;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::streams::{Permit, answer, event};
use super::{Caller, ControlHandle, Problem, Settings, refresh};
use crate::event::Event;
use crate::http_port::KeepOpen;
use crate::posture::Assessment;
use crate::status::Status;

/// How often the status is made anew while somebody looks: figures that change more often are a blur.
const REFRESH: Duration = Duration::from_secs(1);

/// When the status was last made anew for a stream: once for all of them.
pub(super) type Freshness = Arc<tokio::sync::Mutex<Option<Instant>>>;

struct Follower {
    handle: ControlHandle,
    status: watch::Receiver<Arc<Status>>,
    settings: watch::Receiver<Arc<Settings>>,
    device: watch::Receiver<Arc<Assessment>>,
    is_device_sent: bool,
    sent: Option<Arc<Status>>,
    recent: VecDeque<Arc<Event>>,
    live: broadcast::Receiver<Arc<Event>>,
    ticks: tokio::time::Interval,
    _permit: Permit,
}

pub(super) async fn events(
    State(handle): State<ControlHandle>,
    caller: Option<Extension<Caller>>,
    Extension(open): Extension<KeepOpen>,
) -> Result<Response, Problem> {
    let permit = handle.streams.admit(caller.map(|Extension(caller)| caller))?;
    let (recent, live) = handle.events.watch();
    let mut ticks = interval(REFRESH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut settings = handle.settings.clone();
    settings.mark_unchanged();
    let follower = Follower {
        status: handle.status.clone(),
        settings,
        device: handle.device.watch(),
        is_device_sent: false,
        sent: None,
        recent: recent.into(),
        live,
        ticks,
        handle,
        _permit: permit,
    };
    Ok(answer(stream::unfold(follower, next), &open))
}

async fn next(mut follower: Follower) -> Option<(sse::Event, Follower)> {
    let event = follower.next().await?;
    Some((event, follower))
}

impl Follower {
    /// The next event; none when others may be asked for anew: the settings have changed, or the connector ends.
    async fn next(&mut self) -> Option<sse::Event> {
        if self.sent.is_none() {
            refresh_once(&self.handle).await;
            return self.status_event();
        }
        if !self.is_device_sent {
            return Some(self.device_event());
        }
        if let Some(event) = self.recent.pop_front() {
            return Some(event_of(&event));
        }
        loop {
            tokio::select! {
                changed = self.status.changed() => {
                    changed.ok()?;
                    if let Some(event) = self.status_event() {
                        return Some(event);
                    }
                }
                Ok(()) = self.device.changed() => return Some(self.device_event()),
                received = self.live.recv() => match received {
                    Ok(event) => return Some(event_of(&event)),
                    Err(RecvError::Lagged(_)) => {} // a reader that is slow misses some, and keeps nobody waiting
                    Err(RecvError::Closed) => return None,
                },
                _ = self.settings.changed() => return None,
                _ = self.ticks.tick() => refresh_once(&self.handle).await,
            }
        }
    }

    fn device_event(&mut self) -> sse::Event {
        self.is_device_sent = true;
        let latest = Arc::clone(&self.device.borrow_and_update());
        event("device", &latest.report())
    }

    /// The status, unless it is the same as the last one.
    fn status_event(&mut self) -> Option<sse::Event> {
        let status = Arc::clone(&self.status.borrow_and_update());
        if self.sent.as_ref() == Some(&status) {
            return None;
        }
        let event = event("status", &*status);
        self.sent = Some(status);
        Some(event)
    }
}

/// Has the status made anew, unless another stream just did.
async fn refresh_once(handle: &ControlHandle) {
    let mut last = handle.freshness.lock().await;
    if last.is_some_and(|last| last.elapsed() < REFRESH.mul_f64(0.9)) {
        return;
    }
    let _ = tokio::time::timeout(super::REFRESH_TIMEOUT, refresh(handle)).await;
    *last = Some(Instant::now());
}

fn event_of(happened: &Event) -> sse::Event {
    let fields: Map<String, Value> = happened
        .fields
        .iter()
        .map(|(field, value)| (field.name().to_owned(), value.as_str().into()))
        .collect();
    let value = json!({
        "id": happened.id.to_string(),
        "at": humantime::format_rfc3339_millis(happened.at).to_string(),
        "kind": happened.kind.name(),
        "severity": happened.severity.as_str(),
        "message": happened.message,
        "fields": fields,
    });
    event("event", &value)
}
