//! Where events are handed in, and who gets them: a durable taker at most, and whoever looks on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, mpsc};

use super::{Event, Kind};

/// Events that may wait for the durable taker: some seconds of a device that opens thousands of flows a second.
const DURABLE_QUEUE: usize = 16_384;
/// Events that an onlooker may lag behind.
const LIVE_QUEUE: usize = 1_024;
/// Events that are kept for who begins to look.
const RECENT: usize = 256;

/// The way in. Clones lead to the same place; nobody who hands in ever waits.
#[derive(Debug, Clone)]
pub struct Events(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    live: broadcast::Sender<Arc<Event>>,
    recent: Mutex<VecDeque<Arc<Event>>>,
    durable: Mutex<Option<mpsc::Sender<Arc<Event>>>>,
    lost: AtomicU64,
    /// Events of each kind, in the order of [`Kind::ALL`].
    counts: [AtomicU64; Kind::ALL.len()],
}

/// What the durable taker holds: every event from now on, but for those that found no room.
#[derive(Debug)]
pub struct Durable {
    queue: mpsc::Receiver<Arc<Event>>,
    shared: Arc<Shared>,
}

impl Default for Events {
    fn default() -> Self {
        Self(Arc::new(Shared {
            live: broadcast::Sender::new(LIVE_QUEUE),
            recent: Mutex::new(VecDeque::with_capacity(RECENT)),
            durable: Mutex::new(None),
            lost: AtomicU64::new(0),
            counts: [const { AtomicU64::new(0) }; Kind::ALL.len()],
        }))
    }
}

impl Events {
    /// Hands in an event.
    pub fn emit(&self, event: Event) {
        self.0.counts[event.kind as usize].fetch_add(1, Ordering::Relaxed);
        let event = Arc::new(event);
        let mut recent = lock(&self.0.recent);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(&event));
        // under the lock, so that who begins to look misses and doubles none
        let _ = self.0.live.send(Arc::clone(&event)); // nobody may look
        drop(recent);
        let durable = lock(&self.0.durable);
        if durable.as_ref().is_some_and(|queue| queue.try_send(event).is_err()) {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many of a kind were handed in.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.0.counts[kind as usize].load(Ordering::Relaxed)
    }

    /// The latest events, the oldest first, and all that come.
    #[must_use]
    pub fn watch(&self) -> (Vec<Arc<Event>>, broadcast::Receiver<Arc<Event>>) {
        let recent = lock(&self.0.recent);
        (recent.iter().cloned().collect(), self.0.live.subscribe())
    }

    /// Makes the caller the durable taker; a former one gets nothing more.
    #[must_use]
    pub fn take_durably(&self) -> Durable {
        let (sender, queue) = mpsc::channel(DURABLE_QUEUE);
        *lock(&self.0.durable) = Some(sender);
        Durable { queue, shared: Arc::clone(&self.0) }
    }

    /// Nobody takes events durably any more.
    pub fn end_durable(&self) {
        *lock(&self.0.durable) = None;
    }
}

impl Durable {
    /// The next event; `None` after [`Events::end_durable`], or when another took over.
    pub async fn recv(&mut self) -> Option<Arc<Event>> {
        self.queue.recv().await
    }

    /// The next events, at most so many; how many were added to `events`, 0 as [`Self::recv`] has `None`.
    pub async fn recv_many(&mut self, events: &mut Vec<Arc<Event>>, most: usize) -> usize {
        self.queue.recv_many(events, most).await
    }

    /// How many found no room since this was last asked.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.swap(0, Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner) // a panic elsewhere leaves whole entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn onlookers_and_the_durable_taker_get_each_event_once() {
        let events = Events::default();
        events.emit(Event::new(Kind::ServiceStarted, "before"));
        let mut durable = events.take_durably();
        let (recent, mut live) = events.watch();
        events.emit(Event::new(Kind::SessionChanged, "after"));
        assert_eq!(recent.iter().map(|event| event.message.as_str()).collect::<Vec<_>>(), ["before"]);
        assert_eq!(live.recv().await.unwrap().message, "after");
        assert_eq!((events.count(Kind::SessionChanged), events.count(Kind::SiemTest)), (1, 0));
        assert_eq!(durable.recv().await.unwrap().message, "after");
        events.end_durable();
        assert!(durable.recv().await.is_none());
    }

    #[tokio::test]
    async fn what_finds_no_room_is_counted_and_nobody_waits() {
        let events = Events::default();
        let durable = events.take_durably();
        for _ in 0..DURABLE_QUEUE + 7 {
            events.emit(Event::new(Kind::AccessAllowed, ""));
        }
        assert_eq!((durable.lost(), durable.lost()), (7, 0));
    }
}
