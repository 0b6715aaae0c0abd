//! What the paths to the gateways carry: for `status`, and for the TUN's MTU where that follows the paths.

use std::time::{Duration, Instant};

use netstack::Datapath;
use netstack::datapath::PathFacts;
use netstack::path_mtu::Known;
use tokio::sync::mpsc::error::TrySendError;

use super::{Engine, Event};

/// The TUN's MTU while nothing is known: right for every path of 1,500 bytes (less 80 for IPv6 and WireGuard).
pub const ASSUMED_MTU: u16 = 1_420;
/// No path of 1,500 bytes carries more (less 60 for IPv4 and WireGuard).
pub const LARGEST_MTU: u16 = 1_440;
/// A link with less has no IPv6 on Linux (RFC 8200, section 5); what is still too long is cut by the datapath.
const LEAST_MTU: u16 = 1_280;

/// A supervisor that has no room for news of the MTU is told again after this long: it works through its queue in less.
const RETRY: Duration = Duration::from_secs(1);

/// Remembers what was seen and told.
pub(super) struct PathObserver {
    /// The TUN's MTU as the supervisor has it; `None`: it is fixed.
    mtu: Option<u16>,
    /// What it should be.
    wanted: u16,
    seen: Vec<Option<PathFacts>>,
    retry_at: Option<Instant>,
}

impl PathObserver {
    /// `follows`: the TUN's MTU follows the paths.
    pub(super) fn new(follows: bool) -> Self {
        let mtu = follows.then_some(ASSUMED_MTU);
        Self { mtu, wanted: ASSUMED_MTU, seen: Vec::new(), retry_at: None }
    }

    /// When the supervisor is to be told again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Takes note of what is new about the paths to `gateways` gateways.
    fn observe(&mut self, datapath: &Datapath, gateways: u32) {
        let is_same = (0..gateways).map(|id| datapath.path(id)).eq(self.seen.iter().copied());
        if is_same {
            return;
        }
        let paths: Vec<Option<PathFacts>> = (0..gateways).map(|id| datapath.path(id)).collect();
        for (id, path) in paths.iter().enumerate().filter(|(id, path)| self.seen.get(*id) != Some(path)) {
            if let Some(path) = path.filter(|path| path.known != Known::Assumed) {
                tracing::debug!("gateway {id}: packets of {} bytes pass ({:?})", path.inner, path.known);
            }
        }
        self.wanted = mtu(&paths);
        self.seen = paths;
    }

    /// Tells by `send` what the supervisor does not know yet; `send` says whether there was room.
    fn tell(&mut self, now: Instant, send: impl FnOnce(Event) -> bool) {
        let Some(mtu) = self.mtu.as_mut().filter(|mtu| **mtu != self.wanted) else {
            self.retry_at = None;
            return;
        };
        let is_told = send(Event::Mtu(self.wanted));
        if is_told {
            *mtu = self.wanted;
        }
        self.retry_at = (!is_told).then(|| now + RETRY);
    }
}

impl Engine {
    /// Looks at the paths, and tells the supervisor until it has heard of another MTU: no snapshot says it again.
    pub(super) fn observe_paths(&mut self, now: Instant) {
        self.path_observer.observe(&self.datapath, self.observer.count());
        let events = &self.events;
        self.path_observer.tell(now, |event| !matches!(events.try_send(event), Err(TrySendError::Full(_))));
    }
}

/// The largest that any path carries: smaller paths cut by themselves.
fn mtu(paths: &[Option<PathFacts>]) -> u16 {
    let of = |path: &PathFacts| match path.known {
        Known::Probed => u16::try_from(path.inner).unwrap_or(LARGEST_MTU),
        Known::Assumed | Known::NoAnswer => ASSUMED_MTU,
    };
    let largest = paths.iter().flatten().map(of).max();
    largest.unwrap_or(ASSUMED_MTU).clamp(LEAST_MTU, LARGEST_MTU)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(inner: usize, known: Known) -> Option<PathFacts> {
        Some(PathFacts { inner, outer: inner + 60, known })
    }

    #[test]
    fn an_mtu_is_told_until_there_is_room_for_it() {
        let start = Instant::now();
        let mut observer = PathObserver::new(true);
        observer.wanted = 1_280;
        let mut told = Vec::new();
        for (second, has_room) in [false, false, true, true].into_iter().enumerate() {
            observer.tell(start + RETRY * second as u32, |event| {
                told.push(format!("{event:?}"));
                has_room
            });
            let next = start + RETRY * (second as u32 + 1);
            assert_eq!(observer.poll_timeout(), (!has_room).then_some(next));
        }
        assert_eq!(told, ["Mtu(1280)"; 3]);
        let mut fixed = PathObserver::new(false);
        fixed.wanted = 1_280;
        fixed.tell(start, |event| panic!("{event:?}"));
    }

    #[test]
    fn the_link_carries_what_the_widest_path_does_within_bounds() {
        for (paths, wanted) in [
            (vec![], 1_420),
            (vec![path(1_440, Known::Assumed), None], 1_420),
            (vec![path(1_440, Known::Probed)], 1_440),
            (vec![path(8_940, Known::Probed)], 1_440),
            (vec![path(1_056, Known::Probed), path(1_312, Known::Probed)], 1_312),
            (vec![path(1_056, Known::Probed)], 1_280),
            (vec![path(1_056, Known::Probed), path(1_440, Known::NoAnswer)], 1_420),
        ] {
            assert_eq!(mtu(&paths), wanted, "{paths:?}");
        }
    }
}
