//! What the datapath must know of a packet: addresses, transport, lengths.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{IpSlice, Ipv6ExtensionSlice};

use super::{ICMP, ICMPV6, TCP, UDP};

/// Facts of one whole IP packet; offsets and lengths in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Transport protocol (IANA number).
    pub protocol: u8,
    /// Where the transport header starts.
    pub transport_at: usize,
    /// Length of the packet; bytes behind it are padding.
    pub length: usize,
    /// What the transport header says.
    pub transport: Transport,
}

/// The transport header's facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP (RFC 9293).
    Tcp(Tcp),
    /// UDP (RFC 768).
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP or ICMPv6 echo request or reply.
    Echo {
        /// The identifier, which translation treats as a port.
        id: u16,
        /// A request, or else a reply.
        is_request: bool,
    },
    /// An ICMP or ICMPv6 error that quotes a packet, from 8 bytes behind `transport_at`.
    Error,
    /// A fragment, first or later.
    Fragment,
    /// Anything else.
    Other,
}

/// The TCP header's facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Flags, FIN in bit 0 (the header's byte 13).
    pub flags: u8,
    /// Length of the header with its options.
    pub header_length: usize,
}

impl Tcp {
    /// The sender has finished.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;

    /// Whether all of `flags` are set.
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

impl Facts {
    /// Reads a whole packet; `None` when it is malformed, or asks to be routed past its destination (source routing
    /// would lead around what the destination is granted; RFC 7126 section 4.3, RFC 5095).
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let Some((protocol, transport_at, length)) = plain(bytes) else { return Self::parse_any(bytes) };
        let (source, destination) = addresses(bytes)?;
        let transport = transport(protocol, bytes.get(transport_at..length)?, true)?;
        Some(Self { source, destination, protocol, transport_at, length, transport })
    }

    /// The same for packets of every kind.
    fn parse_any(bytes: &[u8]) -> Option<Self> {
        let slice = IpSlice::from_slice(bytes).ok()?;
        let payload = slice.payload();
        let transport_at = payload.payload.as_ptr() as usize - bytes.as_ptr() as usize;
        let (source, destination) = addresses(bytes)?;
        if is_source_routed(&slice) || is_jumbogram(&slice) {
            return None;
        }
        let transport = if payload.fragmented {
            Transport::Fragment
        } else {
            transport(payload.ip_number.0, payload.payload, true)?
        };
        let length = transport_at + payload.payload.len();
        Some(Self { source, destination, protocol: payload.ip_number.0, transport_at, length, transport })
    }

    /// Reads the packet that an ICMP error quotes, which may be cut short behind 8 bytes of transport header.
    pub fn parse_quoted(bytes: &[u8]) -> Option<Self> {
        let (source, destination) = addresses(bytes)?;
        let (protocol, transport_at, is_fragment) = match source {
            IpAddr::V4(_) => {
                (bytes[9], usize::from(bytes[0] & 15) * 4, bytes[6] & 0x1f != 0 || bytes[7] != 0)
            }
            IpAddr::V6(_) => (bytes[6], 40, false),
        };
        let ports = bytes.get(transport_at..transport_at + 8)?;
        if is_fragment || transport_at < 20 {
            return None;
        }
        let word = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
        let transport = match protocol {
            TCP => Transport::Tcp(Tcp {
                source: word(0),
                destination: word(2),
                sequence: u32::from_be_bytes([ports[4], ports[5], ports[6], ports[7]]),
                acknowledgement: 0,
                flags: 0,
                header_length: 8,
            }),
            UDP => Transport::Udp { source: word(0), destination: word(2) },
            ICMP | ICMPV6 => Transport::Echo { id: word(4), is_request: matches!(ports[0], 8 | 128) },
            _ => return None,
        };
        Some(Self { source, destination, protocol, transport_at, length: bytes.len(), transport })
    }

    /// Source and destination port; an echo's identifier stands for both.
    pub fn ports(&self) -> Option<(u16, u16)> {
        match self.transport {
            Transport::Tcp(tcp) => Some((tcp.source, tcp.destination)),
            Transport::Udp { source, destination } => Some((source, destination)),
            Transport::Echo { id, .. } => Some((id, id)),
            Transport::Error | Transport::Fragment | Transport::Other => None,
        }
    }

    /// Whether it is IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.source.is_ipv6()
    }

    /// Bytes of transport header and payload.
    pub fn transport_length(&self) -> usize {
        self.length - self.transport_at
    }

    /// Bytes behind the transport header, of a whole super-packet; 0 where there are no ports.
    pub fn payload_length(&self) -> usize {
        match self.transport {
            Transport::Tcp(tcp) => self.transport_length() - tcp.header_length,
            Transport::Udp { .. } | Transport::Echo { .. } => self.transport_length() - 8,
            Transport::Error | Transport::Fragment | Transport::Other => 0,
        }
    }

    /// Where the transport checksum is, from the packet's start; `None` for protocols that we do not translate.
    pub fn checksum_at(&self) -> Option<usize> {
        let offset = match self.protocol {
            TCP => 16,
            UDP => 6,
            ICMP | ICMPV6 => 2,
            _ => return None,
        };
        Some(self.transport_at + offset)
    }
}

/// Protocol, start of the transport header and length of a packet as most are: whole, TCP, UDP or ICMP, without IPv4
/// options or IPv6 extensions.
#[inline]
fn plain(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    /// Version 4 and a header of five words (RFC 791, section 3.1).
    const V4_WITHOUT_OPTIONS: u8 = 0x45;
    let word = |high: u8, low: u8| usize::from(u16::from_be_bytes([high, low]));
    let (protocol, transport_at, length) = match *bytes.first()? {
        V4_WITHOUT_OPTIONS => {
            let header: &[u8; 20] = bytes.first_chunk()?;
            let is_fragment = (header[6] & 0x3f) | header[7] != 0;
            let protocol = (!is_fragment && header[9] != ICMPV6).then_some(header[9])?;
            (protocol, 20, word(header[2], header[3]))
        }
        first if first >> 4 == 6 => {
            let header: &[u8; 40] = bytes.first_chunk()?;
            let payload = word(header[4], header[5]);
            let protocol = (payload > 0 && header[6] != ICMP).then_some(header[6])?;
            (protocol, 40, 40 + payload)
        }
        _ => return None,
    };
    let is_plain =
        matches!(protocol, TCP | UDP | ICMP | ICMPV6) && (transport_at..=bytes.len()).contains(&length);
    is_plain.then_some((protocol, transport_at, length))
}

/// Source and destination of a packet whose fixed header is whole.
fn addresses(bytes: &[u8]) -> Option<(IpAddr, IpAddr)> {
    match bytes.first()? >> 4 {
        4 => {
            let header: &[u8; 20] = bytes.first_chunk()?;
            let at = |i: usize| Ipv4Addr::new(header[i], header[i + 1], header[i + 2], header[i + 3]);
            Some((at(12).into(), at(16).into()))
        }
        6 => {
            let header: &[u8; 40] = bytes.first_chunk()?;
            let source: [u8; 16] = header[8..24].try_into().ok()?;
            let destination: [u8; 16] = header[24..40].try_into().ok()?;
            Some((Ipv6Addr::from(source).into(), Ipv6Addr::from(destination).into()))
        }
        _ => None,
    }
}

/// Whether the packet names further hops that it is to go by.
fn is_source_routed(slice: &IpSlice<'_>) -> bool {
    match slice {
        IpSlice::Ipv4(v4) => has_source_route(v4.header().options()),
        IpSlice::Ipv6(v6) if v6.extensions().is_empty() => false,
        IpSlice::Ipv6(v6) => v6
            .extensions()
            .clone()
            .into_iter()
            .any(|extension| matches!(extension, Ipv6ExtensionSlice::Routing(_))),
    }
}

/// Whether an IPv6 packet leaves its length open (RFC 2675): etherparse takes all bytes there are, another reader none.
fn is_jumbogram(slice: &IpSlice<'_>) -> bool {
    match slice {
        IpSlice::Ipv4(_) => false,
        IpSlice::Ipv6(v6) => v6.header().payload_length() == 0,
    }
}

/// Walks IPv4 options (RFC 791, section 3.1).
fn has_source_route(mut options: &[u8]) -> bool {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const LOOSE: u8 = 131;
    const STRICT: u8 = 137;
    loop {
        options = match *options {
            [] | [END, ..] => return false,
            [LOOSE | STRICT, ..] => return true,
            [NOTHING, ref rest @ ..] => rest,
            [_, length, ..] if length >= 2 => options.get(usize::from(length)..).unwrap_or_default(),
            [_, ..] => return true, // what cannot be read cannot be trusted
        };
    }
}

/// The transport header's facts; `None` when it is cut short. `is_whole`: all of its payload must be there.
pub(super) fn transport(protocol: u8, payload: &[u8], is_whole: bool) -> Option<Transport> {
    let word = |at: usize| u16::from_be_bytes([payload[at], payload[at + 1]]);
    match protocol {
        TCP => tcp(payload).map(Transport::Tcp),
        UDP if payload.len() >= 8 => {
            let length = usize::from(word(4));
            let is_sound = length >= 8 && (length <= payload.len() || !is_whole);
            is_sound.then(|| Transport::Udp { source: word(0), destination: word(2) })
        }
        ICMP if payload.len() >= 8 => Some(match payload[0] {
            0 | 8 => Transport::Echo { id: word(4), is_request: payload[0] == 8 },
            3 | 11 | 12 => Transport::Error,
            _ => Transport::Other,
        }),
        ICMPV6 if payload.len() >= 8 => Some(match payload[0] {
            128 | 129 => Transport::Echo { id: word(4), is_request: payload[0] == 128 },
            1..=4 => Transport::Error,
            _ => Transport::Other,
        }),
        UDP | ICMP | ICMPV6 => None,
        _ => Some(Transport::Other),
    }
}

fn tcp(payload: &[u8]) -> Option<Tcp> {
    let header: &[u8; 20] = payload.first_chunk()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let long = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let header_length = usize::from(header[12] >> 4) * 4;
    if header_length < 20 || header_length > payload.len() {
        return None;
    }
    Some(Tcp {
        source: word(0),
        destination: word(2),
        sequence: long(4),
        acknowledgement: long(8),
        flags: header[13],
        header_length,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_etherparse_builds() {
        let builder =
            etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(1234, 80, 77, 1000).ack(99);
        let mut packet = Vec::new();
        builder.write(&mut packet, b"hello").unwrap();
        let facts = Facts::parse(&packet).unwrap();
        let Transport::Tcp(tcp) = facts.transport else { panic!("not TCP") };
        assert_eq!((tcp.source, tcp.destination, tcp.sequence, tcp.acknowledgement), (1234, 80, 77, 99));
        assert_eq!((facts.transport_at, facts.length, facts.protocol), (20, packet.len(), TCP));
    }

    #[test]
    fn a_udp_length_beyond_the_packet_is_malformed() {
        let mut packet = crate::packets_for_tests::udp("10.0.0.1:5", "10.0.0.2:6", b"abcd");
        for (length, is_sound) in [(12u16, true), (11, true), (13, false), (7, false)] {
            packet[24..26].copy_from_slice(&length.to_be_bytes());
            assert_eq!(Facts::parse(&packet).is_some(), is_sound, "length {length}");
        }
    }

    #[test]
    fn source_routing_is_refused_and_other_options_are_not() {
        for (option, is_sound) in
            [([1, 1, 1, 0], true), ([148, 4, 0, 0], true), ([131, 3, 4, 0], false), ([1, 137, 3, 4], false)]
        {
            let mut packet = Vec::new();
            etherparse::PacketBuilder::ip(etherparse::IpHeaders::Ipv4(
                etherparse::Ipv4Header {
                    options: option.into(),
                    ..etherparse::Ipv4Header::new(0, 9, etherparse::IpNumber::UDP, [1; 4], [2; 4]).unwrap()
                },
                etherparse::Ipv4Extensions::default(),
            ))
            .udp(5, 6)
            .write(&mut packet, b"abcd")
            .unwrap();
            assert_eq!(Facts::parse(&packet).map(|facts| facts.transport_at), is_sound.then_some(24));
        }
    }

    #[test]
    fn an_ipv6_packet_that_leaves_its_length_open_is_refused() {
        let mut packet = crate::packets_for_tests::udp("[fd00::1]:5", "[fd00::2]:6", b"abcd");
        assert!(Facts::parse(&packet).is_some());
        packet[4..6].fill(0);
        assert!(Facts::parse(&packet).is_none());
    }

    #[test]
    fn a_fragment_is_no_transport() {
        let mut packet = Vec::new();
        etherparse::PacketBuilder::ipv4([1, 1, 1, 1], [2, 2, 2, 2], 9)
            .udp(1, 2)
            .write(&mut packet, &[0; 64])
            .unwrap();
        packet[6] |= 0x20;
        super::super::checksum::write_ipv4_header(&mut packet, 20);
        assert_eq!(Facts::parse(&packet).unwrap().transport, Transport::Fragment);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Facts::parse(&bytes);
            let _ = Facts::parse_quoted(&bytes);
        }

        #[test]
        fn the_short_way_reads_the_same_as_the_long_one(
            is_ipv6: bool,
            first in prop_oneof![3 => Just(None), 1 => any::<u8>().prop_map(Some)],
            protocol in prop_oneof![Just(TCP), Just(UDP), Just(ICMP), Just(ICMPV6), any::<u8>()],
            length in prop_oneof![Just(0i32), -70..70i32],
            fragment in prop_oneof![3 => Just(0u16), 1 => any::<u16>()],
            rest in proptest::collection::vec(any::<u8>(), 20..120),
        ) {
            let mut bytes = rest;
            bytes[0] = first.unwrap_or(if is_ipv6 { 0x60 } else { 0x45 });
            let (length_at, protocol_at, header) = if is_ipv6 { (4, 6, 40) } else { (2, 9, 0) };
            let said = (bytes.len() as i32 - header + length).max(0) as u16;
            bytes[length_at..length_at + 2].copy_from_slice(&said.to_be_bytes());
            bytes[protocol_at] = protocol;
            if !is_ipv6 {
                bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
            }
            prop_assert_eq!(Facts::parse(&bytes), Facts::parse_any(&bytes));
        }
    }
}
