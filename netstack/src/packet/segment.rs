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
