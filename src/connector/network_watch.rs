//! Waits until the network has changed and is quiet again, or the device has slept; asleep itself until then.

mod picture;

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use platform::clock::SleepWatch;
use platform::net_monitor::{Changes, FirewallMonitor, Interests, NetMonitor};
use tokio::io::unix::AsyncFd;

pub(super) use picture::Picture;

use super::address_pool::FOREIGN_CHAINS;
use crate::watch;

/// A network that changes does so in several steps; this long after the last one it is looked at,
const QUIET: Duration = Duration::from_millis(100);
/// and at the latest this long after the first.
const LATEST: Duration = Duration::from_secs(1);

/// What happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct News {
    /// What the kernel told of links, addresses, routes and rules.
    pub(super) changes: Changes,
    /// Another program made a firewall chain by which it owns a range of addresses.
    pub(super) is_range_claimed: bool,
    /// For how long the device slept.
    pub(super) slept: Option<Duration>,
}

/// What tells of changes. One that cannot be had only makes us slower to notice.
pub(super) struct NetworkWatch {
    monitor: Option<AsyncFd<NetMonitor>>,
    firewall: Option<AsyncFd<FirewallMonitor>>,
    sleep: Option<AsyncFd<SleepWatch>>,
    interests: Interests,
    pending: Pending,
}

impl NetworkWatch {
    /// Begins to watch.
    pub(super) fn new() -> Self {
        Self {
            monitor: watched(NetMonitor::new()),
            firewall: watched(FirewallMonitor::new()),
            sleep: watched(SleepWatch::new()),
            interests: Interests::default(),
            pending: Pending::default(),
        }
    }

    /// Says what is ours, and what must be known of the rest.
    pub(super) fn set_interests(&mut self, interests: Interests) {
        self.interests = interests;
    }

    /// Tells of nothing for so long, but for what is pending then.
    pub(super) fn rest(&mut self, until: Instant) {
        self.pending.rest(until);
    }

    /// Looks at the network at this time though nothing may have happened.
    pub(super) fn look_again(&mut self, at: Instant) {
        self.pending.look_again(at);
    }

    /// Waits until something happened and a moment has passed. Nothing is lost when this is dropped.
    pub(super) async fn changed(&mut self) -> News {
        loop {
            let look_at = self.pending.look_at();
            let is_due = tokio::select! {
                () = watch::told(self.monitor.as_ref()) => false,
                () = watch::told(self.firewall.as_ref()) => false,
                () = watch::told(self.sleep.as_ref()) => false,
                () = watch::until(look_at) => true,
            };
            let news = self.drain();
            self.pending.add(news, Instant::now());
            if is_due && let Some(news) = self.pending.take(Instant::now()) {
                return news;
            }
        }
    }

    fn drain(&mut self) -> News {
        let interests = &self.interests;
        News {
            changes: drained(&mut self.monitor, |monitor| monitor.drain(interests)),
            is_range_claimed: drained(&mut self.firewall, |firewall| firewall.drain(&FOREIGN_CHAINS)),
            slept: drained(&mut self.sleep, SleepWatch::drain),
        }
    }
}

/// News that wait for the network to be quiet.
#[derive(Debug, Default)]
struct Pending {
    news: News,
    first_at: Option<Instant>,
    look_at: Option<Instant>,
    rest_until: Option<Instant>,
}

impl Pending {
    fn add(&mut self, news: News, now: Instant) {
        if news == News::default() {
            return;
        }
        self.news = News {
            changes: self.news.changes.and(news.changes),
            is_range_claimed: self.news.is_range_claimed || news.is_range_claimed,
            slept: news.slept.or(self.news.slept),
        };
        let first_at = *self.first_at.get_or_insert(now);
        self.look_at = Some((now + QUIET).min(first_at + LATEST));
    }

    fn rest(&mut self, until: Instant) {
        self.rest_until = Some(until);
    }

    fn look_again(&mut self, at: Instant) {
        self.look_at = self.look_at.map_or(Some(at), |earlier| Some(earlier.min(at)));
    }

    fn look_at(&self) -> Option<Instant> {
        self.look_at.map(|at| self.rest_until.map_or(at, |rest| at.max(rest)))
    }

    fn take(&mut self, now: Instant) -> Option<News> {
        self.look_at().filter(|at| *at <= now)?;
        (self.first_at, self.look_at) = (None, None);
        Some(std::mem::take(&mut self.news))
    }
}

/// Registers a source with the runtime.
fn watched<T: AsRawFd>(source: Result<T, platform::Error>) -> Option<AsyncFd<T>> {
    watch::source(source).inspect_err(|error| tracing::warn!("{error:#}: changes of it are not noticed")).ok()
}

/// Takes what a source has to tell; one that fails is given up.
fn drained<T: AsRawFd, N: Default>(
    source: &mut Option<AsyncFd<T>>,
    drain: impl FnOnce(&T) -> std::io::Result<N>,
) -> N {
    let Some(told) = source.as_ref().map(|source| drain(source.get_ref())) else { return N::default() };
    told.unwrap_or_else(|error| {
        tracing::warn!("failed to watch the network: {error}");
        *source = None;
        N::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn something() -> News {
        News { slept: Some(LATEST), ..News::default() }
    }

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_change_is_told_once_when_it_is_quiet() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        assert_eq!((pending.look_at(), pending.take(start)), (None, None));
        pending.add(something(), start);
        pending.add(News::default(), after(start, 90));
        assert_eq!(pending.take(after(start, 99)), None);
        assert_eq!(pending.take(after(start, 100)), Some(something()));
        assert_eq!((pending.look_at(), pending.take(after(start, 200))), (None, None));
    }

    #[test]
    fn changes_without_end_are_told_once_a_second() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        let mut told = Vec::new();
        for n in 0..250 {
            let now = after(start, n * 20);
            pending.add(something(), now);
            told.extend(pending.take(now).map(|_| n * 20));
        }
        assert_eq!(told, [1_000, 2_020, 3_040, 4_060]);
    }

    #[test]
    fn a_rest_puts_off_and_forgets_nothing() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        pending.rest(after(start, 1_000));
        pending.add(something(), start);
        assert_eq!(pending.take(after(start, 999)), None);
        assert_eq!(pending.take(after(start, 1_000)), Some(something()));
        pending.look_again(after(start, 5_000));
        assert_eq!(pending.take(after(start, 5_000)), Some(News::default()));
    }
}
