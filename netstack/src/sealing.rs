//! Packets into a tunnel: cut as offload says, and in fragments where they are longer than the path.

use std::time::Instant;

use crate::packet::facts::Facts;
use crate::packet::virtio::Offload;
use crate::packet::{parts, segment};
use crate::send_batch::SendBatch;
use crate::wireguard::Peer;

/// Longest fragment that is made, in bytes: a path that carries jumbo frames has its fragments cut smaller than need be.
const LARGEST_PART: usize = 9_000;

/// What is needed to cut fragments.
pub(crate) struct Parts {
    next_id: u32,
    buffer: Box<[u8]>,
}

impl Parts {
    pub(crate) fn new(first_id: u32) -> Self {
        Self { next_id: first_id, buffer: vec![0; LARGEST_PART].into_boxed_slice() }
    }

    /// An identification that was not used for long.
    pub(crate) fn next_id(&mut self) -> u32 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    /// Gives `packet` to `emit` in fragments of at most `most` bytes; false: it cannot be cut so.
    pub(crate) fn cut(&mut self, packet: &[u8], facts: &Facts, most: usize, emit: impl FnMut(&[u8])) -> bool {
        let id = self.next_id();
        parts::cut(packet, facts, most.min(LARGEST_PART), id, &mut self.buffer, emit)
    }
}

/// Where packets go for a moment.
pub(crate) struct Sealer<'a> {
    pub(crate) peer: &'a mut Peer,
    pub(crate) send: &'a mut SendBatch,
    pub(crate) parts: &'a mut Parts,
    /// The largest packet that the path carries, in bytes.
    pub(crate) most: usize,
    pub(crate) now: Instant,
}

impl Sealer<'_> {
    /// Seals one packet, in fragments if need be; false: some found no room.
    pub(crate) fn seal(&mut self, packet: &[u8], facts: &Facts) -> bool {
        let Self { peer, send, parts, most, now } = self;
        if packet.len() <= *most {
            return peer.seal(packet, send, *now);
        }
        let mut has_room = true;
        let is_cut = parts.cut(packet, facts, *most, |part| has_room &= peer.seal(part, send, *now));
        is_cut && has_room
    }

    /// Cuts a packet as `offload` says and seals what comes of it; how many found no room. `None`: the facts contradict
    /// the packet. `scratch` holds one of those that come of it.
    pub(crate) fn seal_cut(
        &mut self,
        packet: &mut [u8],
        facts: &Facts,
        offload: &Offload,
        scratch: &mut [u8],
    ) -> Option<u64> {
        let mut refused = 0;
        let is_sound = segment::cut(packet, facts, offload, scratch, |segment| {
            refused += u64::from(!self.seal(segment, facts));
        });
        is_sound.then_some(refused)
    }
}
