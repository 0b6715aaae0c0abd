//! Packets cut into fragments: what is longer than the path and may be fragmented (RFC 791 section 3.2, RFC 8200
//! section 4.5).

use super::checksum;
use super::facts::Facts;

/// IPv6 extension headers (IANA numbers).
const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
/// Bytes of a fragment header.
const FRAGMENT_HEADER: usize = 8;
/// No content reaches beyond this many bytes: lengths have 16 bits.
const LARGEST_DATAGRAM: usize = 65_535;
/// The "don't fragment" and "more fragments" bits in the high byte of IPv4's fragment field.
const DONT_FRAGMENT: u8 = 0x40;
const MORE: u16 = 1 << 13;

/// Whether a whole packet, or a fragment, of IPv4 may be cut further: its sender did not forbid it.
pub fn may_be_cut(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first >> 4 == 4)
        && packet.get(6).is_some_and(|bits| bits & DONT_FRAGMENT == 0)
}

/// Cuts `packet`, whole or itself a fragment, into fragments of at most `most` bytes and gives each to `emit`, in
/// order; `scratch` holds one at a time. `id` is the identification of an IPv6 packet that has none yet. False when
/// `most` leaves no room for content, or `scratch` is too short.
pub fn cut(
    packet: &[u8],
    facts: &Facts,
    most: usize,
    id: u32,
    scratch: &mut [u8],
    emit: impl FnMut(&[u8]),
) -> bool {
    let packet = &packet[..facts.length.min(packet.len())];
    match facts.is_ipv6() {
        false => cut_v4(packet, most, scratch, emit),
        true => cut_v6(packet, most, id, scratch, emit),
    }
}

fn cut_v4(packet: &[u8], most: usize, scratch: &mut [u8], mut emit: impl FnMut(&[u8])) -> bool {
    let header = usize::from(packet[0] & 15) * 4;
    let Some(size) = room(most, header) else { return false };
    if scratch.len() < header + size || packet.len() <= header {
        return false;
    }
    let field = u16::from_be_bytes([packet[6], packet[7]]);
    let (first_offset, has_more) = (field & 0x1fff, field & MORE != 0);
    let (headers, content) = packet.split_at(header);
    if usize::from(first_offset) * 8 + content.len() > LARGEST_DATAGRAM {
        return false;
    }
    let count = content.len().div_ceil(size);
    for (index, part) in content.chunks(size).enumerate() {
        let out = &mut scratch[..header + part.len()];
        out[..header].copy_from_slice(headers);
        out[header..].copy_from_slice(part);
        if index > 0 {
            blank_uncopied_options(&mut out[20..header]);
        }
        let offset = first_offset + (index * size / 8) as u16;
        let more = if has_more || index + 1 < count { MORE } else { 0 };
        let length = out.len() as u16;
        out[2..4].copy_from_slice(&length.to_be_bytes());
        out[6..8].copy_from_slice(&(offset | more).to_be_bytes());
        checksum::write_ipv4_header(out, header);
        emit(out);
    }
    true
}

/// Options that stand in the first fragment only give way to "no operation" (RFC 791, section 3.1: the copied flag).
fn blank_uncopied_options(options: &mut [u8]) {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const COPIED: u8 = 0x80;
    let mut at = 0;
    while at < options.len() {
        let length = match options[at] {
            END => return,
            NO_OPERATION => 1,
            _ => usize::from(options.get(at + 1).copied().unwrap_or(0)).max(2),
        };
        let end = (at + length).min(options.len());
        if options[at] & COPIED == 0 {
            options[at..end].fill(NO_OPERATION);
        }
        at = end;
    }
}

fn cut_v6(packet: &[u8], most: usize, id: u32, scratch: &mut [u8], mut emit: impl FnMut(&[u8])) -> bool {
    let Some(split) = split_v6(packet, id) else { return false };
    let header = split.header + FRAGMENT_HEADER;
    let Some(size) = room(most, header) else { return false };
    let Some(content) = packet.get(split.content..) else { return false };
    let is_sound = usize::from(split.offset) + content.len() <= LARGEST_DATAGRAM;
    if scratch.len() < header + size || content.is_empty() || !is_sound {
        return false;
    }
    let count = content.len().div_ceil(size);
    for (index, part) in content.chunks(size).enumerate() {
        let out = &mut scratch[..header + part.len()];
        out[..split.header].copy_from_slice(&packet[..split.header]);
        out[split.next_header_at] = FRAGMENT;
        let more = u16::from(split.has_more || index + 1 < count);
        let offset = split.offset + (index * size) as u16;
        let fragment = &mut out[split.header..header];
        fragment[..2].copy_from_slice(&[split.protocol, 0]);
        fragment[2..4].copy_from_slice(&(offset | more).to_be_bytes());
        fragment[4..8].copy_from_slice(&split.id);
        out[header..].copy_from_slice(part);
        let length = (out.len() - 40) as u16;
        out[4..6].copy_from_slice(&length.to_be_bytes());
        emit(out);
    }
    true
}

/// How an IPv6 packet divides into what every fragment carries and what is cut.
struct Split {
    /// Bytes of the headers that every fragment carries.
    header: usize,
    /// Where their last says what follows.
    next_header_at: usize,
    /// What follows the fragment header.
    protocol: u8,
    /// Where the content begins that is cut.
    content: usize,
    /// Where in the datagram that content stands, in bytes.
    offset: u16,
    has_more: bool,
    id: [u8; 4],
}

/// A hop-by-hop header goes into every fragment; a fragment header that is there is replaced.
fn split_v6(packet: &[u8], id: u32) -> Option<Split> {
    let (mut header, mut next_header_at) = (40, 6);
    if *packet.get(6)? == HOP_BY_HOP {
        next_header_at = 40;
        header += (usize::from(*packet.get(41)?) + 1) * 8;
    }
    let protocol = *packet.get(next_header_at)?;
    let whole = Split {
        header,
        next_header_at,
        protocol,
        content: header,
        offset: 0,
        has_more: false,
        id: id.to_be_bytes(),
    };
    if protocol != FRAGMENT {
        return (header <= packet.len()).then_some(whole);
    }
    let fragment: &[u8; FRAGMENT_HEADER] = packet.get(header..)?.first_chunk()?;
    let field = u16::from_be_bytes([fragment[2], fragment[3]]);
    let id = [fragment[4], fragment[5], fragment[6], fragment[7]];
    let (content, offset, has_more) = (header + FRAGMENT_HEADER, field & !7, field & 1 != 0);
    Some(Split { protocol: fragment[0], content, offset, has_more, id, ..whole })
}

/// Bytes of content in a fragment: a multiple of 8.
fn room(most: usize, header: usize) -> Option<usize> {
    let size = most.checked_sub(header)? / 8 * 8;
    (size > 0).then_some(size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packets_for_tests::{fragments, reassembled, sound, udp};

    fn parts(packet: &[u8], most: usize) -> Vec<Vec<u8>> {
        let facts = Facts::parse(packet).unwrap();
        let mut parts = Vec::new();
        assert!(cut(packet, &facts, most, 77, &mut [0; 2_000], |part| parts.push(part.to_vec())));
        parts
    }

    fn packet(is_ipv6: bool, length: usize) -> Vec<u8> {
        let body: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
        let (from, to) = if is_ipv6 { ("[fd00::1]:7", "[fd00::2]:9") } else { ("10.0.0.1:7", "10.0.0.2:9") };
        let mut packet = udp(from, to, &body);
        if !is_ipv6 {
            packet[6] = 0;
            checksum::write_ipv4_header(&mut packet, 20);
        }
        packet
    }

    #[test]
    fn the_senders_wish_not_to_be_cut_is_read_from_the_packet() {
        let mut whole = packet(false, 9);
        assert!(may_be_cut(&whole));
        whole[6] |= DONT_FRAGMENT;
        assert!(!may_be_cut(&whole) && !may_be_cut(&packet(true, 9)) && !may_be_cut(&[]));
    }

    #[test]
    fn options_that_are_not_copied_stand_in_the_first_fragment_only() {
        let mut packet = Vec::new();
        let options = [7, 4, 4, 0, 0x94, 4, 0, 0].into(); // record route, router alert
        let header = etherparse::Ipv4Header {
            options,
            ..etherparse::Ipv4Header::new(0, 9, etherparse::IpNumber::UDP, [1; 4], [2; 4]).unwrap()
        };
        etherparse::PacketBuilder::ip(etherparse::IpHeaders::Ipv4(header, Default::default()))
            .udp(1, 2)
            .write(&mut packet, &[9; 100])
            .unwrap();
        let parts = parts(&packet, 100);
        assert_eq!(parts[0][20..28], [7, 4, 4, 0, 0x94, 4, 0, 0]);
        assert_eq!(parts[1][20..28], [1, 1, 1, 1, 0x94, 4, 0, 0]);
        parts.iter().for_each(|part| {
            sound(part);
        });
    }

    #[test]
    fn a_hop_by_hop_header_goes_into_every_fragment() {
        let whole = packet(true, 300);
        let mut packet = whole[..40].to_vec();
        packet[6] = HOP_BY_HOP;
        packet.extend([17, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend(&whole[40..]);
        let length = (packet.len() - 40) as u16;
        packet[4..6].copy_from_slice(&length.to_be_bytes());
        for part in parts(&packet, 200) {
            assert_eq!((part[6], part[40], part[48]), (HOP_BY_HOP, FRAGMENT, 17));
        }
    }

    #[test]
    fn a_path_without_room_gets_nothing() {
        for is_ipv6 in [false, true] {
            let packet = packet(is_ipv6, 300);
            let facts = Facts::parse(&packet).unwrap();
            assert!(!cut(&packet, &facts, 27, 1, &mut [0; 2_000], |_| panic!()));
            assert!(!cut(&packet, &facts, 200, 1, &mut [0; 50], |_| panic!()));
        }
    }

    proptest! {
        #[test]
        fn fragments_fit_and_make_the_same_packet(is_ipv6: bool, length in 1usize..4_000, most in 80usize..1_500) {
            let packet = packet(is_ipv6, length);
            let parts = parts(&packet, most);
            for part in &parts {
                prop_assert!(part.len() <= most);
                if parts.len() > 1 || is_ipv6 { sound(part); }
            }
            prop_assert_eq!(reassembled(&parts), packet);
        }

        #[test]
        fn fragments_of_fragments_make_the_same_packet(is_ipv6: bool, length in 2_000usize..4_000, most in 80usize..900) {
            let packet = packet(is_ipv6, length);
            let large = fragments(&packet, 1_400, 77);
            let small: Vec<Vec<u8>> = large.iter().flat_map(|part| parts(part, most)).collect();
            for part in &small {
                prop_assert!(part.len() <= most);
                sound(part);
            }
            let header = if is_ipv6 { 48 } else { 20 };
            let mut end = 0;
            for part in &small {
                let field = match is_ipv6 {
                    true => usize::from(u16::from_be_bytes([part[42], part[43]])) & !7,
                    false => usize::from(u16::from_be_bytes([part[6], part[7]]) & 0x1fff) * 8,
                };
                prop_assert_eq!(field, end);
                end += part.len() - header;
            }
            prop_assert!(reassembled(&small)[20..] == packet[20..]); // the identification is another
        }

        #[test]
        fn arbitrary_packets_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), most in 0usize..100) {
            if let Some(facts) = Facts::parse(&bytes) {
                cut(&bytes, &facts, most, 1, &mut [0; 300], |_| {});
            }
        }
    }
}
