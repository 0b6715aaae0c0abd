//! DNS messages on a TCP stream: each is preceded by its length in two bytes (RFC 1035 §4.2.2, RFC 7766 §8).

use std::collections::VecDeque;

/// The largest message, as the length field allows.
pub const MAX_MESSAGE: usize = u16::MAX as usize;

/// Bytes of whole messages that a decoder holds before it takes no more: a client may pipeline queries, but not
/// make us hold more than it could put into one message of the largest size.
const MAX_HELD: usize = MAX_MESSAGE + 2;

/// Cuts a stream into messages, whatever pieces it comes in.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    held: VecDeque<u8>,
}

impl FrameDecoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes of the stream, and says how many: fewer than given when messages are waiting in it. Take those
    /// out with [`next_message`](Self::next_message), then offer the rest again.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(MAX_HELD - self.held.len());
        self.held.extend(&bytes[..taken]);
        taken
    }

    /// The next whole message, without its length. An empty one is possible, and no DNS message.
    pub fn next_message(&mut self) -> Option<Vec<u8>> {
        let (high, low) = (*self.held.front()?, *self.held.get(1)?);
        let end = 2 + usize::from(u16::from_be_bytes([high, low]));
        if self.held.len() < end {
            return None;
        }
        let message = self.held.drain(..end).skip(2).collect();
        if self.held.is_empty() {
            self.held = VecDeque::new();
        }
        Some(message)
    }

    /// Whether the stream may end here: no message has been begun.
    pub fn is_between_messages(&self) -> bool {
        self.held.is_empty()
    }
}

/// The two bytes that precede a message on a stream; `None` for one that is longer than they can say.
pub fn frame_length(message: &[u8]) -> Option<[u8; 2]> {
    u16::try_from(message.len()).ok().map(u16::to_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let stream = b"\x00\x03abc\x00\x00\x00\x01d";
        for size in 1..=stream.len() {
            let mut decoder = FrameDecoder::new();
            let mut messages = Vec::new();
            for piece in stream.chunks(size) {
                assert_eq!(decoder.push(piece), piece.len());
                messages.extend(std::iter::from_fn(|| decoder.next_message()));
            }
            assert_eq!(messages, [b"abc".to_vec(), Vec::new(), b"d".to_vec()], "pieces of {size}");
            assert!(decoder.is_between_messages());
        }
    }

    #[test]
    fn a_decoder_takes_no_more_than_one_largest_message() {
        let mut decoder = FrameDecoder::new();
        let flood = vec![0xff; 200_000];
        assert_eq!(decoder.push(&flood), MAX_HELD);
        assert_eq!(decoder.push(&flood), 0);
        assert_eq!(decoder.next_message().map(|message| message.len()), Some(MAX_MESSAGE));
        assert_eq!(decoder.push(&flood), MAX_HELD);
    }

    #[test]
    fn the_length_of_a_message_precedes_it() {
        assert_eq!(frame_length(&[0; 300]), Some([1, 44]));
        assert_eq!(frame_length(&vec![0; 65_536]), None);
    }
}
