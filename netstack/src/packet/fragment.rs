//! Fragments of IP datagrams (RFC 791 section 3.2, RFC 8200 section 4.5): which datagram, and which part of it.

use etherparse::{Ipv6ExtensionSlice, Ipv6Slice};

use super::facts::{self, Facts, Transport};

/// Bytes of a TCP header: no later fragment may reach into them (RFC 3128).
const TCP_HEADER: usize = 20;

/// What a fragment says beyond [`Facts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// The datagram's identification; 16 bits in IPv4.
    pub id: u32,
    /// Where its content stands in the datagram, in bytes.
    pub offset: usize,
    /// It is not the last.
    pub has_more: bool,
    /// The facts with the transport header, when this is the first fragment.
    pub first: Option<Facts>,
}

/// Reads a packet whose facts say [`Transport::Fragment`]; `None` when it is malformed, is of a protocol that is not
/// translated, or hides its transport header (RFC 1858, RFC 3128).
pub fn parse(packet: &[u8], facts: &Facts) -> Option<Fragment> {
    let (id, offset, has_more) = if facts.is_ipv6() { ipv6(packet)? } else { ipv4(packet) };
    if offset > 0 {
        let is_hiding = facts.protocol == super::TCP && offset < TCP_HEADER;
        return (!is_hiding).then_some(Fragment { id, offset, has_more, first: None });
    }
    let transport = facts::transport(facts.protocol, packet.get(facts.transport_at..facts.length)?, false)?;
    match transport {
        Transport::Tcp(_) | Transport::Udp { .. } | Transport::Echo { .. } => {
            Some(Fragment { id, offset, has_more, first: Some(Facts { transport, ..*facts }) })
        }
        Transport::Error | Transport::Fragment | Transport::Other => None,
    }
}

/// Identification, offset in bytes, and whether more follow.
fn ipv4(packet: &[u8]) -> (u32, usize, bool) {
    let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    (word(4).into(), usize::from(word(6) & 0x1fff) * 8, packet[6] & 0x20 != 0)
}

fn ipv6(packet: &[u8]) -> Option<(u32, usize, bool)> {
    let slice = Ipv6Slice::from_slice(packet).ok()?;
    slice.extensions().clone().into_iter().find_map(|extension| match extension {
        Ipv6ExtensionSlice::Fragment(header) => {
            let offset = usize::from(header.fragment_offset().value()) * 8;
            Some((header.identification(), offset, header.more_fragments()))
        }
        Ipv6ExtensionSlice::HopByHop(_)
        | Ipv6ExtensionSlice::Routing(_)
        | Ipv6ExtensionSlice::DestinationOptions(_)
        | Ipv6ExtensionSlice::Authentication(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{TCP, UDP};
    use crate::packets_for_tests::{fragments, udp};

    fn parsed(packet: &[u8]) -> Option<Fragment> {
        let facts = Facts::parse(packet).unwrap();
        assert_eq!(facts.transport, Transport::Fragment);
        parse(packet, &facts)
    }

    #[test]
    fn the_first_fragment_shows_its_ports_and_all_share_an_id() {
        for (from, to) in [("10.0.0.1:7", "10.0.0.2:9"), ("[fd00::1]:7", "[fd00::2]:9")] {
            let parts = fragments(&udp(from, to, &[5; 3000]), 1400, 77);
            assert_eq!(parts.len(), 3);
            let read: Vec<_> = parts.iter().map(|part| parsed(part).unwrap()).collect();
            assert!(read.iter().all(|fragment| fragment.id == 77));
            assert_eq!(read[0].first.unwrap().transport, Transport::Udp { source: 7, destination: 9 });
            assert!(read[1].first.is_none() && read[2].first.is_none());
        }
    }

    #[test]
    fn fragments_that_hide_a_header_are_refused() {
        let whole = udp("10.0.0.1:7", "10.0.0.2:9", &[5; 3000]);
        let mut tiny = fragments(&whole, 28, 1).remove(0);
        assert!(parsed(&tiny).is_some(), "8 bytes hold a UDP header");
        tiny[9] = TCP;
        assert!(parsed(&tiny).is_none(), "but no TCP header");
        let mut overlapping = fragments(&whole, 36, 1).remove(1);
        assert_eq!(overlapping[9], UDP);
        overlapping[9] = TCP;
        assert!(parsed(&overlapping).is_none());
    }
}
