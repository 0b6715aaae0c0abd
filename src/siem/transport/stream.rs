//! Syslog in a stream, in clear or in TLS: what the peer's system has acknowledged, and kept for a moment, has arrived.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::PATIENCE;
use crate::siem::format::{Context, Numbered};
use crate::siem::line::Line;
use crate::siem::problem::Problem;
use crate::siem::syslog;

/// Events that may be on their way.
const WINDOW: u64 = 20_000;
/// Events that are sent at once.
const BATCH: usize = 256;
/// How often it is asked what has arrived, while something is on its way.
const POLL: Duration = Duration::from_millis(200);
/// What a receiver says is read and thrown away: so much at once,
const SCRATCH: usize = 4 << 10;
/// and so often until something else has its turn.
const MOST_READS: usize = 16;

pub(in crate::siem) struct Stream {
    line: Line,
    context: Context,
    hostname: String,
    marks: VecDeque<Mark>,
    octets: Vec<u8>,
    message: String,
}

/// A place in the stream.
struct Mark {
    /// Octets of the socket up to here.
    end: u64,
    /// The first event and the one after the last.
    events: (u64, u64),
    /// When the peer's system was seen to have it.
    acknowledged_at: Option<Instant>,
}

impl Stream {
    pub(super) fn new(line: Line, context: Context) -> Self {
        let hostname = syslog::host_name(&context.hostname);
        Self { line, context, hostname, marks: VecDeque::new(), octets: Vec::new(), message: String::new() }
    }

    pub(super) fn room(&self) -> usize {
        let range = self.marks.front().zip(self.marks.back());
        let on_the_way = range.map_or(0, |(first, last)| last.events.1 - first.events.0);
        if on_the_way < WINDOW { BATCH } else { 0 }
    }

    pub(super) async fn send(&mut self, events: &[Numbered]) -> Result<(), Problem> {
        self.check()?;
        self.octets.clear();
        for numbered in events {
            self.message.clear();
            syslog::write_header(&numbered.event, numbered.sequence, &self.hostname, &mut self.message);
            self.context.write(numbered, &mut self.message);
            syslog::write_frame(&self.message, &mut self.octets);
        }
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
        let write = async {
            self.line.write_all(&self.octets).await?;
            self.line.flush().await
        };
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "it takes nothing any more");
        timeout(PATIENCE, write).await.map_err(late).flatten().map_err(|error| ended(&error))?;
        let events = (first.sequence, last.sequence + 1);
        self.marks.push_back(Mark { end: self.line.written(), events, acknowledged_at: None });
        Ok(())
    }

    pub(super) fn confirmed(&mut self, settled: Duration) -> Result<Option<u64>, Problem> {
        // asked before it is looked whether the stream still lives: what came before its end counts only if it lives
        let acknowledged = self.line.acknowledged().map_err(|error| ended(&error))?;
        self.check()?;
        let now = Instant::now();
        for mark in self.marks.iter_mut().take_while(|mark| mark.end <= acknowledged) {
            mark.acknowledged_at.get_or_insert(now);
        }
        let mut confirmed = None;
        while let Some(mark) = self.marks.front()
            && mark.acknowledged_at.is_some_and(|at| now.saturating_duration_since(at) >= settled)
        {
            confirmed = Some(mark.events.1);
            self.marks.pop_front();
        }
        Ok(confirmed)
    }

    pub(super) async fn wait(&mut self) -> Result<(), Problem> {
        let mut scratch = [0; SCRATCH];
        let pause = if self.marks.is_empty() { Duration::MAX } else { POLL };
        let is_idle = self.marks.is_empty();
        tokio::select! {
            read = self.line.read(&mut scratch) => {
                alive(read).map_err(|problem| if is_idle { Problem::quiet() } else { problem })
            }
            () = tokio::time::sleep(pause.min(Duration::from_secs(3_600))) => Ok(()),
        }
    }

    /// Whether the other end is still there, without waiting.
    fn check(&mut self) -> Result<(), Problem> {
        let mut scratch = [0; SCRATCH];
        for _ in 0..MOST_READS {
            match self.line.read(&mut scratch).now_or_never() {
                Some(read) => alive(read)?,
                None => break,
            }
        }
        Ok(())
    }
}

/// Whatever it says, it lives.
fn alive(read: io::Result<usize>) -> Result<(), Problem> {
    match read {
        Ok(0) => Err(Problem::new("the SIEM has closed the connection")),
        Ok(_) => Ok(()),
        Err(error) => Err(ended(&error)),
    }
}

fn ended(error: &io::Error) -> Problem {
    Problem::new(format!("the connection to the SIEM has failed: {error}"))
}
