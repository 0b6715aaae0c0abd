//! What a packet of smoltcp's takes of the sequence space, and what it acknowledges.

/// smoltcp's packets have no IP options and no extension headers.
const HEADER_V4: usize = 20;
const HEADER_V6: usize = 40;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RESET: u8 = 4;

/// The facts of a segment of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tcp) struct Sent {
    pub(in crate::tcp) sequence: u32,
    pub(in crate::tcp) acknowledgement: u32,
    pub(in crate::tcp) window: u16,
    /// Octets of payload, and one for a FIN.
    pub(in crate::tcp) length: usize,
    pub(in crate::tcp) is_syn: bool,
    pub(in crate::tcp) is_reset: bool,
    /// Where the TCP header stands, and where the payload.
    pub(in crate::tcp) transport_at: usize,
    pub(in crate::tcp) payload_at: usize,
}

impl Sent {
    /// Reads a complete packet; `None`: it is no TCP segment.
    pub(in crate::tcp) fn parse(packet: &[u8]) -> Option<Self> {
        let transport_at = if packet.first()? >> 4 == 4 { HEADER_V4 } else { HEADER_V6 };
        let header = packet.get(transport_at..transport_at + 20)?;
        let word =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let payload_at = transport_at + usize::from(header[12] >> 4) * 4;
        let flags = header[13];
        Some(Self {
            sequence: word(4),
            acknowledgement: word(8),
            window: u16::from_be_bytes([header[14], header[15]]),
            length: packet.len().checked_sub(payload_at)? + usize::from(flags & FIN),
            is_syn: flags & SYN != 0,
            is_reset: flags & RESET != 0,
            transport_at,
            payload_at,
        })
    }
}
