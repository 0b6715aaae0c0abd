//! Super-packets cut into the packets that travel: segmentation and checksums (RFC 9293, RFC 768).

use super::checksum;
use super::facts::{Facts, Tcp, Transport};
use super::virtio::{Offload, Segmentation};

/// The smallest segment that is cut, in bytes of payload: Linux's least MSS of 48 less 40 bytes of TCP options.
const LEAST_SEGMENT: usize = 8;

/// Finishes the checksum that offload left open in a single packet. False when the facts point outside the packet.
pub fn finish_checksum(packet: &mut [u8], offload: &Offload) -> bool {
    let Some(start) = offload.checksum_start.map(usize::from) else { return true };
    let field = start + usize::from(offload.checksum_offset);
    if field + 2 > packet.len() {
        return false;
    }
    let finished = match !checksum::fold(checksum::sum(&packet[start..])) {
        0 => 0xffff, // for UDP zero means "none"; for others both are zero
        sum => sum,
    };
    packet[field..field + 2].copy_from_slice(&finished.to_ne_bytes());
    true
}

/// Offload facts that agree with the packet: the checksum that is left open is the transport's own. That of an echo
/// or of a packet within the payload is finished here. `None`: they contradict the packet; what they would have us
/// write might change what was allowed.
pub fn settle(packet: &mut [u8], facts: &Facts, offload: Offload) -> Option<Offload> {
    if offload.checksum_start.is_none() || offload.is_of_transport(facts) {
        return Some(offload);
    }
    let is_finished = offload.is_apart_from_ports(facts) && finish_checksum(packet, &offload);
    is_finished.then_some(Offload::NONE)
}

/// Cuts `packet` as `offload` says and gives each finished packet to `emit`, in order; `scratch` holds one at a time.
/// False when the facts contradict the packet.
pub fn cut(
    packet: &mut [u8],
    facts: &Facts,
    offload: &Offload,
    scratch: &mut [u8],
    mut emit: impl FnMut(&[u8]),
) -> bool {
    let (header, size) = match (offload.segmentation, facts.transport) {
        (Segmentation::None, _) => {
            let is_sound = finish_checksum(packet, offload);
            if is_sound {
                emit(packet);
            }
            return is_sound;
        }
        (Segmentation::Tcp { size }, Transport::Tcp(tcp)) => {
            (facts.transport_at + tcp.header_length, usize::from(size))
        }
        (Segmentation::Udp { size }, Transport::Udp { .. }) => (facts.transport_at + 8, usize::from(size)),
        _ => return false,
    };
    if size < LEAST_SEGMENT || header + size > scratch.len() || packet.len() <= header {
        return false;
    }
    let (headers, payload) = packet.split_at(header);
    let count = payload.len().div_ceil(size);
    for (index, part) in payload.chunks(size).enumerate() {
        let segment = &mut scratch[..header + part.len()];
        segment[..header].copy_from_slice(headers);
        segment[header..].copy_from_slice(part);
        write_network_header(segment, facts, index);
        write_transport_header(segment, facts, index, index * size, index + 1 == count);
        emit(segment);
    }
    true
}

/// Size in bytes of the largest packet that [`cut`] makes.
pub fn largest(facts: &Facts, offload: &Offload) -> usize {
    let size = match offload.segmentation {
        Segmentation::None => return facts.length,
        Segmentation::Tcp { size } | Segmentation::Udp { size } => usize::from(size),
    };
    let header = match facts.transport {
        Transport::Tcp(tcp) => tcp.header_length,
        Transport::Udp { .. } => 8,
        Transport::Echo { .. } | Transport::Error | Transport::Fragment | Transport::Other => 0,
    };
    facts.length.min(facts.transport_at + header + size)
}

/// The offload facts that cut a TCP segment or super-packet into packets of at most `most` bytes: a sender may cut its
/// stream anywhere (RFC 9293, section 3.7). `None` where that would change its meaning (SYN, reset, urgent data), where
/// there is no room for payload, or where a checksum is wrong, which must not be made right.
pub fn recut(packet: &[u8], facts: &Facts, offload: &Offload, most: usize) -> Option<Offload> {
    let Transport::Tcp(tcp) = facts.transport else { return None };
    let room = most.checked_sub(facts.transport_at + tcp.header_length)?;
    let size = match offload.segmentation {
        Segmentation::None => room,
        Segmentation::Tcp { size } => room.min(size.into()),
        Segmentation::Udp { .. } => return None,
    };
    let is_plain = tcp.flags & (Tcp::SYN | Tcp::RST | Tcp::URG) == 0;
    let is_sound = offload.checksum_start.is_some() || {
        let length = facts.transport_length();
        let pseudo = checksum::pseudo_header(facts.source, facts.destination, facts.protocol, length);
        checksum::is_valid(&packet[facts.transport_at..facts.length], pseudo)
    };
    let size = u16::try_from(size).ok().filter(|size| usize::from(*size) >= LEAST_SEGMENT)?;
    let start = u16::try_from(facts.transport_at).ok()?;
    (is_plain && is_sound).then_some(Offload {
        checksum_start: Some(start),
        checksum_offset: 16,
        segmentation: Segmentation::Tcp { size },
    })
}

/// Length, and for IPv4 the identification (one more each, as the kernel's own segmentation) and checksum.
fn write_network_header(segment: &mut [u8], facts: &Facts, index: usize) {
    if facts.is_ipv6() {
        let length = (segment.len() - 40) as u16;
        segment[4..6].copy_from_slice(&length.to_be_bytes());
        return;
    }
    let length = (segment.len() as u16).to_be_bytes();
    segment[2..4].copy_from_slice(&length);
    let id = u16::from_be_bytes([segment[4], segment[5]]).wrapping_add(index as u16);
    segment[4..6].copy_from_slice(&id.to_be_bytes());
    let header_length = usize::from(segment[0] & 15) * 4;
    checksum::write_ipv4_header(segment, header_length);
}

fn write_transport_header(segment: &mut [u8], facts: &Facts, index: usize, offset: usize, is_last: bool) {
    const CWR: u8 = 0x80;
    let at = facts.transport_at;
    let length = segment.len() - at;
    if let Transport::Tcp(tcp) = facts.transport {
        let sequence = tcp.sequence.wrapping_add(offset as u32);
        segment[at + 4..at + 8].copy_from_slice(&sequence.to_be_bytes());
        let mut flags = tcp.flags;
        if !is_last {
            flags &= !(Tcp::FIN | Tcp::PSH);
        }
        if index > 0 {
            flags &= !CWR; // RFC 3168, section 6.1.2: once
        }
        segment[at + 13] = flags;
    } else {
        segment[at + 4..at + 6].copy_from_slice(&(length as u16).to_be_bytes());
    }
    let Some(field) = facts.checksum_at() else { return };
    segment[field..field + 2].fill(0);
    let pseudo = checksum::pseudo_header(facts.source, facts.destination, facts.protocol, length);
    let finished = match !checksum::fold(checksum::sum(&segment[at..]) + pseudo) {
        0 => 0xffff,
        sum => sum,
    };
    segment[field..field + 2].copy_from_slice(&finished.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn super_packet(v6: bool, payload: usize) -> (Vec<u8>, Facts, Offload) {
        let builder = if v6 {
            etherparse::PacketBuilder::ipv6([1; 16], [2; 16], 64).tcp(1, 2, 1000, 500).ack(5).psh()
        } else {
            etherparse::PacketBuilder::ipv4([1; 4], [2; 4], 64).tcp(1, 2, 1000, 500).ack(5).psh()
        };
        let mut packet = Vec::new();
        let body: Vec<u8> = (0..payload).map(|i| i as u8).collect();
        builder.write(&mut packet, &body).unwrap();
        let facts = Facts::parse(&packet).unwrap();
        let start = Some(facts.transport_at as u16);
        let segmentation = Segmentation::Tcp { size: 1000 };
        (packet, facts, Offload { checksum_start: start, checksum_offset: 16, segmentation })
    }

    #[test]
    fn segments_carry_all_bytes_once_with_right_headers() {
        for v6 in [false, true] {
            let (mut packet, facts, offload) = super_packet(v6, 3500);
            let (mut bytes, mut sequences, mut pushes) = (Vec::new(), Vec::new(), Vec::new());
            let cut = cut(&mut packet, &facts, &offload, &mut [0; 2000], |segment| {
                let f = Facts::parse(segment).unwrap();
                let Transport::Tcp(tcp) = f.transport else { panic!() };
                let pseudo = checksum::pseudo_header(f.source, f.destination, 6, f.transport_length());
                assert!(checksum::is_valid(&segment[f.transport_at..], pseudo));
                bytes.extend_from_slice(&segment[f.transport_at + tcp.header_length..]);
                sequences.push(tcp.sequence);
                pushes.push(tcp.has(Tcp::PSH));
            });
            assert!(cut);
            assert_eq!(bytes, (0..3500usize).map(|i| i as u8).collect::<Vec<_>>());
            assert_eq!(sequences, [1000, 2000, 3000, 4000]);
            assert_eq!(pushes, [false, false, false, true]);
        }
    }

    #[test]
    fn udp_super_packets_become_datagrams_with_their_own_lengths() {
        let mut packet = Vec::new();
        etherparse::PacketBuilder::ipv4([1; 4], [2; 4], 64).udp(7, 9).write(&mut packet, &[3; 250]).unwrap();
        let facts = Facts::parse(&packet).unwrap();
        let offload = Offload {
            checksum_start: Some(20),
            checksum_offset: 6,
            segmentation: Segmentation::Udp { size: 100 },
        };
        let mut lengths = Vec::new();
        assert!(cut(&mut packet, &facts, &offload, &mut [0; 2000], |s| {
            let f = Facts::parse(s).unwrap();
            assert!(checksum::is_valid(
                &s[20..],
                checksum::pseudo_header(f.source, f.destination, 17, s.len() - 20)
            ));
            lengths.push(s.len() - 28);
        }));
        assert_eq!(lengths, [100, 100, 50]);
    }

    #[test]
    fn a_segment_that_does_not_fit_is_cut_smaller() {
        for v6 in [false, true] {
            let (packet, facts, offload) = super_packet(v6, 3500);
            let single = Offload::NONE;
            assert_eq!(
                (largest(&facts, &single), largest(&facts, &offload)),
                (facts.length, 1_020 + facts.transport_at)
            );
            for (offload, most) in [(offload, 700), (single, 700), (offload, 1_400), (single, 1_400)] {
                let mut packet = packet.clone();
                let smaller = recut(&packet, &facts, &offload, most).unwrap();
                assert!(largest(&facts, &smaller) <= most);
                let (mut bytes, mut pushes, mut next) = (Vec::new(), 0, 1_000);
                assert!(cut(&mut packet, &facts, &smaller, &mut [0; 2000], |segment| {
                    let facts = crate::packets_for_tests::sound(segment);
                    let tcp = crate::packets_for_tests::tcp_facts(&facts);
                    assert!(segment.len() <= most && tcp.sequence == next);
                    let payload = &segment[facts.transport_at + tcp.header_length..];
                    next += payload.len() as u32;
                    pushes += u32::from(tcp.has(Tcp::PSH));
                    bytes.extend_from_slice(payload);
                }));
                assert_eq!((bytes.len(), pushes), (3_500, 1));
                assert_eq!(bytes, (0..3500usize).map(|i| i as u8).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn what_must_stay_whole_is_not_cut() {
        let (packet, facts, offload) = super_packet(false, 3500);
        let with = |flags: u8| {
            let Transport::Tcp(tcp) = facts.transport else { panic!() };
            Facts { transport: Transport::Tcp(Tcp { flags: tcp.flags | flags, ..tcp }), ..facts }
        };
        for flags in [Tcp::SYN, Tcp::RST, Tcp::URG] {
            assert_eq!(recut(&packet, &with(flags), &offload, 700), None);
        }
        assert!(recut(&packet, &with(Tcp::FIN), &offload, 700).is_some());
        assert_eq!(recut(&packet, &facts, &offload, 47), None, "no room");
        let mut broken = packet.clone();
        broken[2000] ^= 1;
        assert_eq!(recut(&broken, &facts, &Offload::NONE, 700), None, "a wrong checksum");
    }

    #[test]
    fn contradicting_facts_are_refused() {
        let (mut packet, facts, mut offload) = super_packet(false, 3500);
        offload.segmentation = Segmentation::Tcp { size: 3 };
        assert!(!cut(&mut packet, &facts, &offload, &mut [0; 2000], |_| panic!()));
        offload.segmentation = Segmentation::Udp { size: 1000 };
        assert!(!cut(&mut packet, &facts, &offload, &mut [0; 2000], |_| panic!()));
        offload =
            Offload { checksum_start: Some(9000), checksum_offset: 16, segmentation: Segmentation::None };
        assert!(!cut(&mut packet, &facts, &offload, &mut [0; 2000], |_| panic!()));
    }
}
