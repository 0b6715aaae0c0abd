//! What makes the assessor look before its time: another firewall, a device that slept or whose clock was set.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use platform::clock::SleepWatch;
use platform::net_monitor::FirewallMonitor;
use tokio::io::unix::AsyncFd;

use crate::watch;

/// Who changes rules does so in several steps; so long after the first one they are looked at.
const QUIET: Duration = Duration::from_millis(100);
/// Rules that change all the time are looked at this often.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the device is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It is time.
    Time,
    /// Somebody asks.
    Asked,
    /// Something changed that is not watched here.
    Changed,
    /// The firewall changed.
    Firewall,
    /// The device slept, or its clock was set.
    Slept,
}

/// The sources. One that cannot be had only makes us slower to notice.
pub(super) struct Triggers {
    firewall: Option<AsyncFd<FirewallMonitor>>,
    clock: Option<AsyncFd<SleepWatch>>,
    look_at: Option<Instant>,
    looked_at: Option<Instant>,
}

impl Triggers {
    pub(super) fn new() -> Self {
        Self {
            firewall: watched(FirewallMonitor::new()),
            clock: watched(SleepWatch::new()),
            look_at: None,
            looked_at: None,
        }
    }

    /// Waits for the next one. Nothing is lost when this is dropped.
    pub(super) async fn next(&mut self) -> Why {
        loop {
            tokio::select! {
                () = watch::told(self.firewall.as_ref()) => self.drain_firewall(),
                () = watch::told(self.clock.as_ref()) => {
                    self.drain_clock();
                    return Why::Slept;
                }
                () = watch::until(self.look_at) => {
                    (self.look_at, self.looked_at) = (None, Some(Instant::now()));
                    return Why::Firewall;
                }
            }
        }
    }

    fn drain_firewall(&mut self) {
        let drained = self.firewall.as_ref().map(|source| source.get_ref().drain_all());
        match drained {
            Some(Ok(true)) if self.look_at.is_none() => {
                let soon = Instant::now() + QUIET;
                self.look_at = Some(self.looked_at.map_or(soon, |last| soon.max(last + PAUSE)));
            }
            Some(Ok(_)) | None => {}
            Some(Err(error)) => {
                tracing::warn!("failed to watch the firewall: {error}; it is looked at from time to time");
                self.firewall = None;
            }
        }
    }

    fn drain_clock(&mut self) {
        if self.clock.as_ref().is_some_and(|source| source.get_ref().drain().is_err()) {
            self.clock = None;
        }
    }
}

/// Without the rights to watch, the device is looked at from time to time.
fn watched<T: AsRawFd>(source: Result<T, platform::Error>) -> Option<AsyncFd<T>> {
    watch::source(source)
        .inspect_err(|error| tracing::debug!("{error:#}: changes of it are not noticed at once"))
        .ok()
}
