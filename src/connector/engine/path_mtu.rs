//! What the paths to the gateways carry: for `status`, and for the TUN's MTU where that follows the paths.

use netstack::Datapath;
use netstack::datapath::PathFacts;
use netstack::path_mtu::Known;

use super::Event;

/// The TUN's MTU while nothing is known: right for every path of 1,500 bytes (less 80 for IPv6 and WireGuard).
pub const ASSUMED_MTU: u16 = 1_420;
/// No path of 1,500 bytes carries more (less 60 for IPv4 and WireGuard).
pub const LARGEST_MTU: u16 = 1_440;
/// A link with less has no IPv6 on Linux (RFC 8200, section 5); what is still too long is cut by the datapath.
const LEAST_MTU: u16 = 1_280;

/// Remembers what was told.
pub(super) struct PathObserver {
    /// The TUN's MTU; `None`: it is fixed.
    mtu: Option<u16>,
    told: Vec<Option<PathFacts>>,
}

impl PathObserver {
    /// `follows`: the TUN's MTU follows the paths.
    pub(super) fn new(follows: bool) -> Self {
        Self { mtu: follows.then_some(ASSUMED_MTU), told: Vec::new() }
    }

    /// What is new about the paths to `gateways` gateways.
    pub(super) fn observe(&mut self, datapath: &Datapath, gateways: u32) -> Vec<Event> {
        let is_same = (0..gateways).map(|id| datapath.path(id)).eq(self.told.iter().copied());
        if is_same {
            return Vec::new();
        }
        let paths: Vec<Option<PathFacts>> = (0..gateways).map(|id| datapath.path(id)).collect();
        for (id, path) in paths.iter().enumerate().filter(|(id, path)| self.told.get(*id) != Some(path)) {
            if let Some(path) = path.filter(|path| path.known != Known::Assumed) {
                tracing::debug!("gateway {id}: packets of {} bytes pass ({:?})", path.inner, path.known);
            }
        }
        let wanted = mtu(&paths);
        self.told = paths;
        match &mut self.mtu {
            Some(mtu) if *mtu != wanted => {
                *mtu = wanted;
                vec![Event::Mtu(wanted)]
            }
            Some(_) | None => Vec::new(),
        }
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
