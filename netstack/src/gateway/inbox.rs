//! Content that the caller carries: queries, datagrams and echoes, in one buffer that is used again.

use std::collections::VecDeque;
use std::ops::Range;

use super::event::Content;

/// Bytes that wait at the most; the caller fetches them after each batch of at most 64 datagrams.
const MOST_BYTES: usize = 512 * 1024;
/// Entries that wait at the most.
const MOST_ENTRIES: usize = 1_024;

/// The buffer.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    waiting: VecDeque<(Content, Range<usize>)>,
}

impl Inbox {
    /// Takes a copy. False: no room.
    pub(super) fn push(&mut self, content: Content, payload: &[u8]) -> bool {
        if self.waiting.is_empty() {
            self.bytes.clear();
        }
        let start = self.bytes.len();
        if start + payload.len() > MOST_BYTES || self.waiting.len() >= MOST_ENTRIES {
            return false;
        }
        self.bytes.extend_from_slice(payload);
        self.waiting.push_back((content, start..self.bytes.len()));
        true
    }

    /// The next one, in order.
    pub(super) fn poll(&mut self) -> Option<(Content, &[u8])> {
        let (content, range) = self.waiting.pop_front()?;
        Some((content, &self.bytes[range]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::event::FlowId;

    #[test]
    fn it_gives_back_in_order_and_takes_bounded_room() {
        let mut inbox = Inbox::default();
        for round in 0..3u8 {
            let taken = (0..2_000).filter(|_| inbox.push(Content::Udp(FlowId(7)), &[round; 1_400])).count();
            assert_eq!(taken, MOST_BYTES / 1_400);
            for _ in 0..taken {
                assert_eq!(inbox.poll(), Some((Content::Udp(FlowId(7)), &[round; 1_400][..])));
            }
            assert_eq!(inbox.poll(), None);
        }
        let taken = (0..2_000).filter(|_| inbox.push(Content::Udp(FlowId(7)), &[])).count();
        assert_eq!(taken, MOST_ENTRIES);
    }
}
