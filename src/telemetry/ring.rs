//! The latest lines in memory, for whoever looks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use super::Line;

/// Lines that are kept: some hours at `info`, and below 1 MiB.
const MOST: usize = 2_000;
/// Lines that who follows may lag behind.
const LIVE: usize = 512;

/// The latest lines. Clones are the same.
#[derive(Debug, Clone)]
pub struct Ring(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    recent: Mutex<VecDeque<Arc<Line>>>,
    live: broadcast::Sender<Arc<Line>>,
}

impl Default for Ring {
    fn default() -> Self {
        Self(Arc::new(Shared { recent: Mutex::default(), live: broadcast::Sender::new(LIVE) }))
    }
}

impl Ring {
    /// The latest lines, the oldest first, and all that come.
    #[must_use]
    pub fn watch(&self) -> (Vec<Arc<Line>>, broadcast::Receiver<Arc<Line>>) {
        let recent = self.lock();
        (recent.iter().cloned().collect(), self.0.live.subscribe())
    }

    pub(super) fn push(&self, line: Line) {
        let line = Arc::new(line);
        let mut recent = self.lock();
        if recent.len() == MOST {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(&line));
        // under the lock, so that who begins to look misses and doubles none
        let _ = self.0.live.send(line); // nobody may look
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Line>>> {
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner) // a panic elsewhere leaves whole lines
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::config::LogLevel;

    #[test]
    fn the_oldest_lines_go_first_and_who_follows_gets_the_new_ones() {
        let ring = Ring::default();
        let line = |number: usize| Line {
            at: SystemTime::UNIX_EPOCH,
            level: LogLevel::Info,
            target: "openztna",
            message: number.to_string(),
        };
        (0..=MOST).for_each(|number| ring.push(line(number)));
        let (recent, mut live) = ring.watch();
        assert_eq!((recent.len(), recent[0].message.as_str()), (MOST, "1"));
        ring.push(line(7));
        assert_eq!(live.try_recv().unwrap().message, "7");
        assert!(live.try_recv().is_err());
    }
}
