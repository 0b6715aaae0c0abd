//! The offload facts that stand before each packet on the TUN device (`struct virtio_net_hdr`, Linux `linux/virtio_net.h`).

use super::facts::{Facts, Transport};

/// Length of the header in bytes.
pub const HEADER_LEN: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
/// Flag beside the GSO type: the first segment carries CWR.
const GSO_ECN: u8 = 0x80;

/// How a super-packet is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segmentation {
    /// It is one packet.
    None,
    /// TCP segments of `size` bytes of payload each, the last one shorter.
    Tcp {
        /// Payload bytes of a segment.
        size: u16,
    },
    /// UDP datagrams of `size` bytes of payload each, the last one shorter.
    Udp {
        /// Payload bytes of a datagram.
        size: u16,
    },
}

/// Offload facts of one batch element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offload {
    /// Where the unfinished checksum's coverage starts, in bytes from the packet's start; `None`: the checksum is finished.
    pub checksum_start: Option<u16>,
    /// Where the checksum field is, in bytes from `checksum_start`.
    pub checksum_offset: u16,
    /// How it is to be cut.
    pub segmentation: Segmentation,
}

impl Offload {
    /// A single packet whose checksums are finished.
    pub const NONE: Self =
        Self { checksum_start: None, checksum_offset: 0, segmentation: Segmentation::None };

    /// Reads the header at the start of `frame`; `None` when it is too short, of an unknown kind, or contradicts itself.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let header = frame.get(..HEADER_LEN)?;
        let word = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let (needs_checksum, size) = (header[0] & NEEDS_CHECKSUM != 0, word(4));
        let segmentation = match header[1] & !GSO_ECN {
            GSO_NONE => Segmentation::None,
            GSO_TCPV4 | GSO_TCPV6 => Segmentation::Tcp { size },
            GSO_UDP_L4 => Segmentation::Udp { size },
            _ => return None,
        };
        if segmentation != Segmentation::None && (size == 0 || !needs_checksum) {
            return None;
        }
        Some(Self { checksum_start: needs_checksum.then(|| word(6)), checksum_offset: word(8), segmentation })
    }

    /// Whether the unfinished checksum is that of the packet's own TCP or UDP header.
    pub fn is_of_transport(&self, facts: &Facts) -> bool {
        let field = match facts.transport {
            Transport::Tcp(_) => 16,
            Transport::Udp { .. } => 6,
            Transport::Echo { .. } | Transport::Error | Transport::Fragment | Transport::Other => {
                return false;
            }
        };
        self.checksum_start.map(usize::from) == Some(facts.transport_at) && self.checksum_offset == field
    }

    /// Whether finishing the checksum leaves what the packet was judged by as it is: it is that of an echo, or of a
    /// packet within the payload.
    pub fn is_apart_from_ports(&self, facts: &Facts) -> bool {
        let header = match facts.transport {
            Transport::Tcp(tcp) => tcp.header_length,
            Transport::Udp { .. } => 8,
            Transport::Echo { .. } if self.checksum_offset == 2 => 0,
            Transport::Echo { .. } => 8,
            Transport::Error | Transport::Fragment | Transport::Other => return false,
        };
        self.segmentation == Segmentation::None
            && self.checksum_start.is_some_and(|start| usize::from(start) >= facts.transport_at + header)
    }

    /// Writes the header to the start of `frame`. `header_length` is that of IP and transport headers together in bytes.
    pub fn write(&self, frame: &mut [u8], is_ipv6: bool, header_length: u16) {
        let (kind, size) = match self.segmentation {
            Segmentation::None => (GSO_NONE, 0),
            Segmentation::Tcp { size } => (if is_ipv6 { GSO_TCPV6 } else { GSO_TCPV4 }, size),
            Segmentation::Udp { size } => (GSO_UDP_L4, size),
        };
        frame[..HEADER_LEN].fill(0);
        let Some(start) = self.checksum_start else { return };
        frame[0] = NEEDS_CHECKSUM;
        frame[1] = kind;
        let length = if kind == GSO_NONE { 0 } else { header_length };
        frame[2..4].copy_from_slice(&length.to_ne_bytes());
        frame[4..6].copy_from_slice(&size.to_ne_bytes());
        frame[6..8].copy_from_slice(&start.to_ne_bytes());
        frame[8..10].copy_from_slice(&self.checksum_offset.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let offload = Offload {
            checksum_start: Some(20),
            checksum_offset: 16,
            segmentation: Segmentation::Tcp { size: 1380 },
        };
        let mut frame = [0xff; 16];
        offload.write(&mut frame, false, 52);
        assert_eq!(Offload::parse(&frame), Some(offload));
    }

    #[test]
    fn contradictions_and_unknown_kinds_are_refused() {
        assert_eq!(Offload::parse(&[0; 9]), None);
        assert_eq!(Offload::parse(&[0, 3, 0, 0, 8, 0, 0, 0, 0, 0]), None);
        assert_eq!(Offload::parse(&[1, GSO_TCPV4, 0, 0, 0, 0, 20, 0, 16, 0]), None);
        assert_eq!(Offload::parse(&[0, GSO_TCPV4, 0, 0, 9, 0, 20, 0, 16, 0]), None);
    }
}
