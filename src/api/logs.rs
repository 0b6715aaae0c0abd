//! `GET /api/v1/logs`: the latest lines of the log, followed or downloaded; `PUT /api/v1/logs/level`.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response, sse};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{broadcast, watch};

use super::body::object;
use super::query::{bad, parameters};
use super::streams::{Permit, answer, event};
use super::{Caller, ControlHandle, Problem, Settings};
use crate::config::LogLevel;
use crate::http_port::KeepOpen;
use crate::telemetry::{self, Line};

/// Lines of an answer, unless another number is asked for, and at most.
const LINES: usize = 500;
const MOST: usize = 2_000;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When, in RFC 3339 and UTC.
    pub at: String,
    /// How much it matters.
    pub level: String,
    /// The part of the program.
    pub target: String,
    /// What happened.
    pub message: String,
}

/// Which lines are wanted.
#[derive(Debug, Clone)]
struct Wanted {
    level: LogLevel,
    /// In lower case.
    filter: String,
    limit: usize,
    is_download: bool,
}

struct Follower {
    wanted: Wanted,
    recent: VecDeque<Arc<Line>>,
    live: broadcast::Receiver<Arc<Line>>,
    settings: watch::Receiver<Arc<Settings>>,
    _permit: Permit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLevel {
    level: String,
}

pub(super) async fn logs(
    State(handle): State<ControlHandle>,
    caller: Option<Extension<Caller>>,
    Extension(open): Extension<KeepOpen>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let wanted = Wanted::read(&uri)?;
    let Some(ring) = telemetry::ring() else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "there is no log"));
    };
    let (recent, live) = ring.watch();
    let recent: VecDeque<Arc<Line>> = wanted.latest(recent);
    let is_followed = headers.get_all(header::ACCEPT).iter().any(|accept| accept == "text/event-stream");
    if is_followed {
        let permit = handle.streams.admit(caller.map(|Extension(caller)| caller))?;
        let mut settings = handle.settings.clone();
        settings.mark_unchanged();
        let follower = Follower { wanted, recent, live, settings, _permit: permit };
        return Ok(answer(stream::unfold(follower, next), &open));
    }
    if wanted.is_download {
        let text: String = recent.iter().map(|line| format!("{line}\n")).collect();
        let fields = [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::CONTENT_DISPOSITION, "attachment; filename=\"openztna-client-connector.log\""),
        ];
        return Ok((fields, text).into_response());
    }
    let lines: Vec<LogLine> = recent.iter().map(|line| LogLine::of(line)).collect();
    Ok(Json(json!({ "lines": lines, "level": telemetry::level().as_str() })).into_response())
}

/// Changes the level until the configuration is read again, or the program ends.
pub(super) async fn set_level(body: Bytes) -> Result<StatusCode, Problem> {
    let level = object::<NewLevel>(&body).ok();
    let level = level.and_then(|NewLevel { level }| telemetry::level_of(&level));
    let level = level
        .ok_or_else(|| bad("the body must be `{\"level\": \"…\"}` with error, warn, info, debug or trace"))?;
    telemetry::set_level(level);
    tracing::info!("the log's level is {} now", level.as_str());
    Ok(StatusCode::NO_CONTENT)
}

async fn next(mut follower: Follower) -> Option<(sse::Event, Follower)> {
    let line = follower.next().await?;
    Some((event("log", &LogLine::of(&line)), follower))
}

impl Follower {
    async fn next(&mut self) -> Option<Arc<Line>> {
        if let Some(line) = self.recent.pop_front() {
            return Some(line);
        }
        loop {
            tokio::select! {
                received = self.live.recv() => match received {
                    Ok(line) if self.wanted.has(&line) => return Some(line),
                    // a reader that is slow misses some, and keeps nobody waiting
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                // who may read may have changed: whoever still may asks again
                _ = self.settings.changed() => return None,
            }
        }
    }
}

impl LogLine {
    fn of(line: &Line) -> Self {
        Self {
            at: line.time(),
            level: line.level.as_str().to_owned(),
            target: line.target.to_owned(),
            message: line.message.clone(),
        }
    }
}

impl Wanted {
    fn read(uri: &Uri) -> Result<Self, Problem> {
        let [level, filter, limit, download] = parameters(uri, ["level", "filter", "limit", "download"])?;
        let level = match level {
            Some(level) => telemetry::level_of(&level)
                .ok_or_else(|| bad("`level` must be error, warn, info, debug or trace"))?,
            None => LogLevel::Trace,
        };
        let limit = match limit.map(|limit| limit.parse()) {
            Some(Ok(limit @ 1..=MOST)) => limit,
            Some(Ok(_) | Err(_)) => return Err(bad(format!("`limit` must be a number from 1 to {MOST}"))),
            None => LINES,
        };
        let is_download = match download.as_deref() {
            Some("1") => true,
            Some("0") | None => false,
            Some(_) => return Err(bad("`download` must be 0 or 1")),
        };
        Ok(Self { level, filter: filter.unwrap_or_default().to_lowercase(), limit, is_download })
    }

    fn has(&self, line: &Line) -> bool {
        let is_named = |text: &str| text.to_lowercase().contains(&self.filter);
        line.level <= self.level
            && (self.filter.is_empty() || is_named(&line.message) || is_named(line.target))
    }

    fn latest(&self, lines: Vec<Arc<Line>>) -> VecDeque<Arc<Line>> {
        let mut wanted: VecDeque<_> =
            lines.into_iter().rev().filter(|line| self.has(line)).take(self.limit).collect();
        wanted.make_contiguous().reverse();
        wanted
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn line(level: LogLevel, message: &str) -> Arc<Line> {
        let message = message.to_owned();
        Arc::new(Line { at: SystemTime::UNIX_EPOCH, level, target: "openztna::api", message })
    }

    fn wanted(query: &str) -> Result<Wanted, Problem> {
        Wanted::read(&Uri::try_from(format!("/api/v1/logs?{query}")).unwrap())
    }

    #[test]
    fn the_latest_lines_of_level_and_filter_are_wanted() {
        let lines = vec![
            line(LogLevel::Info, "Gateway hq answers"),
            line(LogLevel::Debug, "gateway: a handshake"),
            line(LogLevel::Warn, "the gateway is silent"),
            line(LogLevel::Error, "something else"),
        ];
        let found = |query: &str| {
            let found = wanted(query).unwrap().latest(lines.clone());
            found.iter().map(|line| line.message.clone()).collect::<Vec<_>>()
        };
        assert_eq!(found("").len(), 4);
        assert_eq!(found("level=info&filter=GATEWAY"), ["Gateway hq answers", "the gateway is silent"]);
        assert_eq!(found("limit=1"), ["something else"]);
        assert_eq!(found("filter=openztna%3A%3Aapi&level=ERROR"), ["something else"]);
    }

    #[test]
    fn wrong_parameters_are_named() {
        for query in ["level=loud", "limit=0", "limit=2001", "limit=x", "download=yes", "x=1"] {
            assert_eq!(wanted(query).unwrap_err().status, 400, "{query}");
        }
    }
}
