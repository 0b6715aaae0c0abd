//! What the kernel may keep in the buffers of one peer's flows: the first ones grow as the kernel lets them, those beyond
//! get less and less, and what finds no share is refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::SockRef;

/// Buffers of a flow: two sockets, and either way.
const BUFFERS: u64 = 4;
/// What the kernel lets a buffer grow to by itself (the usual third value of `net.ipv4.tcp_rmem`, 6 MiB).
const AUTOTUNED: u64 = 6 << 20;
/// Sizes of a buffer that does not grow, the largest first. 1 MiB is 170 Mbit/s at 50 ms.
const SIZES: [u64; 4] = [1 << 20, 256 << 10, 64 << 10, SMALLEST];
/// The least that still carries a few full segments.
const SMALLEST: u64 = 16 << 10;

/// What all peers hold. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Budgets(Arc<Mutex<BTreeMap<Box<str>, u64>>>);

/// A flow's share, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budgets: Budgets,
    peer: Box<str>,
    reckoned: u64,
    /// `None`: as the kernel lets them grow.
    size: Option<u64>,
}

impl Budgets {
    /// The share of another flow of `peer`, whose flows hold at most `most_bytes` and are `most_flows` at most; `None`
    /// when all is held.
    pub(super) fn reserve(&self, peer: &str, most_bytes: u64, most_flows: u32) -> Option<Share> {
        let mut held = self.lock();
        let of_peer = held.get(peer).copied().unwrap_or(0);
        let size = choose(of_peer, most_bytes, most_flows)?;
        let reckoned = BUFFERS * size.unwrap_or(AUTOTUNED);
        *held.entry(peer.into()).or_default() += reckoned;
        drop(held);
        Some(Share { budgets: self.clone(), peer: peer.into(), reckoned, size })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // a number is whole whatever panicked
    }
}

/// The largest size that leaves the smallest to all flows that may still come; where not even that is there, what is left.
fn choose(held: u64, most_bytes: u64, most_flows: u32) -> Option<Option<u64>> {
    let for_all = (BUFFERS * SMALLEST * u64::from(most_flows)).min(most_bytes / 2);
    let is_free = |size: u64, kept: u64| held + BUFFERS * size + kept <= most_bytes;
    // each size takes a part of what is left, so that the next one finds some
    let left = most_bytes.saturating_sub(for_all).saturating_sub(held);
    if is_free(AUTOTUNED, for_all) && BUFFERS * AUTOTUNED <= left / 4 {
        return Some(None);
    }
    let fits = |size: &&u64| is_free(**size, for_all) && BUFFERS * **size <= left / 16;
    let size = SIZES.iter().find(fits).copied().or(is_free(SMALLEST, 0).then_some(SMALLEST));
    size.map(Some)
}

impl Share {
    /// Holds a socket of the flow to its share; one that the kernel lets grow is left as it is.
    pub(super) fn limit<'s>(&self, socket: impl Into<SockRef<'s>>) {
        let Some(size) = self.size else { return };
        let (socket, half) = (socket.into(), (size / 2) as usize); // the kernel doubles it for its own book-keeping
        // an open socket takes any size; if not, it stays as it was
        let _ = socket.set_recv_buffer_size(half);
        let _ = socket.set_send_buffer_size(half);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.budgets.lock();
        if let Some(of_peer) = held.get_mut(&self.peer) {
            *of_peer -= self.reckoned;
            if *of_peer == 0 {
                held.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: u64 = 512 << 20;

    #[test]
    fn the_first_flows_grow_freely_and_all_that_are_allowed_find_a_share_within_the_budget() {
        let budgets = Budgets::default();
        let shares: Vec<_> = (0..4_096).map(|_| budgets.reserve("ann", BUDGET, 4_096).unwrap()).collect();
        let sizes: Vec<_> = shares.iter().map(|share| share.size.unwrap_or(AUTOTUNED)).collect();
        assert_eq!((sizes[0], sizes[1]), (AUTOTUNED, AUTOTUNED));
        assert!(sizes.is_sorted_by(|a, b| a >= b), "later ones get less");
        assert!(SIZES.iter().all(|size| sizes.contains(size)), "every size is given");
        assert!(budgets.lock()["ann"] <= BUDGET);
        assert!(budgets.reserve("ben", BUDGET, 4_096).is_some(), "each peer has its own");
        drop(shares);
        assert!(!budgets.lock().contains_key("ann"), "all is given back");
    }

    #[test]
    fn what_finds_no_share_is_refused_and_one_that_ends_makes_room() {
        let budgets = Budgets::default();
        let mut shares = Vec::new();
        while let Some(share) = budgets.reserve("ann", 1 << 20, 4_096) {
            shares.push(share);
        }
        assert_eq!(shares.len(), 16, "1 MiB in shares of 64 KiB");
        shares.pop();
        assert!(budgets.reserve("ann", 1 << 20, 4_096).is_some());
    }

    #[test]
    fn a_socket_is_held_to_its_share() {
        let budgets = Budgets::default();
        let share = std::iter::repeat_with(|| budgets.reserve("ann", 1 << 20, 1)).flatten().next().unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        share.limit(&socket);
        let held = SockRef::from(&socket).recv_buffer_size().unwrap() as u64;
        assert!(share.size.is_some_and(|size| held <= size), "{held} of {:?}", share.size);
    }
}
