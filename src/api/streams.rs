//! Answers without an end (server-sent events): how many there may be, and when they end after all.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::Serialize;

use super::Problem;
use crate::access::Caller;
use crate::http_port::KeepOpen;

/// Streams of one user: as many pages as a person has open, and some programs.
const MOST_OF_A_USER: usize = 16;
/// Streams of all users.
const MOST: usize = 64;
/// A comment as often as this tells both ends that the other is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Counts streams by user.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams(Arc<Mutex<BTreeMap<Option<u32>, usize>>>);

/// The right to one stream; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    streams: Streams,
    user: Option<u32>,
}

impl Streams {
    /// Lets a stream begin, unless there are too many.
    pub(super) fn admit(&self, caller: Option<Caller>) -> Result<Permit, Problem> {
        let user = caller.map(|caller| caller.uid);
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = users.get(&user).copied().unwrap_or(0);
        if count >= MOST_OF_A_USER || users.values().sum::<usize>() >= MOST {
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many streams are open");
            return Err(problem.hint("close a page of the dashboard"));
        }
        users.insert(user, count + 1);
        Ok(Permit { streams: self.clone(), user })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut users = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = users.get(&self.user).copied().unwrap_or(0).saturating_sub(1);
        match left {
            0 => drop(users.remove(&self.user)),
            left => drop(users.insert(self.user, left)),
        }
    }
}

/// The answer whose events come from a stream.
pub(super) fn answer(stream: impl Stream<Item = Event> + Send + 'static, open: &KeepOpen) -> Response {
    open.set();
    let stream = futures_util::StreamExt::map(stream, Ok::<_, Infallible>);
    Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
}

/// An event with JSON, which has no end of a line in it.
pub(super) fn event(name: &str, value: &impl Serialize) -> Event {
    let text = serde_json::to_string(value).unwrap_or_default(); // only keys that are no texts would fail
    Event::default().event(name).data(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_streams_are_limited_and_given_back() {
        let streams = Streams::default();
        let alice = Some(Caller { uid: 1000 });
        let permits: Vec<Permit> = std::iter::from_fn(|| streams.admit(alice).ok()).collect();
        assert_eq!(permits.len(), MOST_OF_A_USER);
        assert!(streams.admit(None).is_ok());
        drop(permits);
        assert!(streams.0.lock().unwrap().is_empty());
    }
}
