//! Packets on their way to the device, those of a flow joined into super-packets for one write: TCP segments in sequence,
//! UDP datagrams of one size.

use crate::packet::checksum;
use crate::packet::facts::{Facts, Tcp, Transport};
use crate::packet::virtio::{HEADER_LEN, Offload, Segmentation};

/// Largest IP packet in bytes; super-packets grow up to it.
const LARGEST_PACKET: usize = 65_535;
/// Head-room and the largest packet, and what boringtun wants behind a packet for its tag.
const FRAME_LEN: usize = HEADER_LEN + LARGEST_PACKET + 32;
/// Frames in one batch; a batch of datagrams from the network holds at most 64, answers come on top.
const MOST_FRAMES: usize = 256;
/// Datagrams of one super-packet (Linux `UDP_MAX_SEGMENTS`, the least of all versions).
const MOST_DATAGRAMS: usize = 64;
/// Flows whose last frame is remembered; of two in the same place the earlier one is only joined less.
const REMEMBERED: usize = 64;
/// Bytes of a UDP header.
const UDP_HEADER: usize = 8;
/// Flows of our own datagrams, apart from those of the tunnels, which are numbered from 0.
const OWN_FLOWS: u32 = 1 << 31;

/// What super-packets the device takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CanJoin {
    /// TCP segments.
    pub tcp: bool,
    /// UDP datagrams.
    pub udp: bool,
}

/// The batch.
#[derive(Debug)]
pub(crate) struct TunBatch {
    frames: Vec<Frame>,
    used: usize,
    next: usize,
    can_join: CanJoin,
    /// The last frame of a flow: its number and the frame's index, by the number's lowest bits.
    latest: [Option<(u32, usize)>; REMEMBERED],
}

#[derive(Debug)]
struct Frame {
    buffer: Box<[u8]>,
    length: usize,
    join: Option<Join>,
}

/// A frame that further segments of the flow may join.
#[derive(Debug, Clone, Copy)]
struct Join {
    facts: Facts,
    header: usize,
    size: usize,
    next_sequence: u32,
    count: usize,
    is_closed: bool,
}

impl TunBatch {
    /// An empty batch for a device that takes such super-packets.
    pub(crate) fn new(can_join: CanJoin) -> Self {
        Self { frames: Vec::new(), used: 0, next: 0, can_join, latest: [None; REMEMBERED] }
    }

    /// Where the next packet is to be written (without head-room); `None` when the batch must be written first.
    pub(crate) fn spare(&mut self) -> Option<&mut [u8]> {
        if self.used == MOST_FRAMES {
            return None;
        }
        if self.used == self.frames.len() {
            self.frames.push(Frame { buffer: vec![0; FRAME_LEN].into_boxed_slice(), length: 0, join: None });
        }
        Some(&mut self.frames[self.used].buffer[HEADER_LEN..])
    }

    /// Takes the packet of `length` bytes that was written to [`Self::spare`], as it is.
    pub(crate) fn push(&mut self, length: usize) {
        let frame = &mut self.frames[self.used];
        (frame.length, frame.join) = (length, None);
        self.used += 1;
    }

    /// Takes the packet of `flow` that was written to [`Self::spare`]; `facts` are those of the packet as it stands
    /// there. It joins an earlier one of the flow when the two are alike, sound and, of TCP, contiguous.
    pub(crate) fn push_flow(&mut self, flow: u32, facts: Facts) {
        let candidate = self.candidate(facts).filter(|join| self.is_sound(join));
        self.push_candidate(flow, &facts, candidate);
    }

    /// Takes a datagram of our own that was written to [`Self::spare`], with its checksum.
    pub(crate) fn push_own(&mut self, facts: Facts) {
        let port = facts.ports().map_or(0, |(_, port)| u32::from(port));
        self.push_candidate(OWN_FLOWS | port, &facts, self.candidate(facts));
    }

    fn push_candidate(&mut self, flow: u32, facts: &Facts, candidate: Option<Join>) {
        let place = flow as usize % REMEMBERED;
        let last = self.latest[place].filter(|(of, at)| *of == flow && *at >= self.next).map(|(_, at)| at);
        if let (Some(candidate), Some(at)) = (candidate, last)
            && self.try_join(at, &candidate)
        {
            return;
        }
        self.push(facts.length);
        let pushed = self.used - 1;
        self.frames[pushed].join = candidate;
        self.latest[place] = Some((flow, pushed));
    }

    /// The next frame to write, virtio header included; after the last one the batch is empty again.
    pub(crate) fn pop(&mut self) -> Option<&[u8]> {
        if self.is_empty() {
            self.clear();
            return None;
        }
        let frame = &mut self.frames[self.next];
        self.next += 1;
        frame.finish();
        Some(&frame.buffer[..HEADER_LEN + frame.length])
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.used
    }

    /// How many frames wait.
    pub(crate) fn len(&self) -> usize {
        self.used - self.next
    }

    /// Gives all frames free.
    pub(crate) fn clear(&mut self) {
        if self.used > 0 {
            (self.next, self.used) = (0, 0);
            self.latest.fill(None);
        }
    }

    /// What of the packet in the spare frame could be joined: a data segment with no flags but ACK and PSH, or a
    /// datagram, if the device takes super-packets of the kind.
    fn candidate(&self, facts: Facts) -> Option<Join> {
        let (header, next_sequence) = match facts.transport {
            Transport::Tcp(tcp) if self.can_join.tcp && tcp.flags & !Tcp::PSH == Tcp::ACK => {
                let header = facts.transport_at + tcp.header_length;
                (header, tcp.sequence.wrapping_add((facts.length - header) as u32))
            }
            Transport::Udp { .. } if self.can_join.udp => (facts.transport_at + UDP_HEADER, 0),
            Transport::Tcp(_) | Transport::Udp { .. } => return None,
            Transport::Echo { .. } | Transport::Error | Transport::Fragment | Transport::Other => {
                return None;
            }
        };
        let size = facts.length - header;
        let is_plain = facts.transport_at == if facts.is_ipv6() { 40 } else { 20 };
        (size > 0 && is_plain).then_some(Join {
            facts,
            header,
            size,
            next_sequence,
            count: 1,
            is_closed: false,
        })
    }

    /// Whether the packet in the spare frame is as its sender made it: the device must see what is broken, and a datagram
    /// without a checksum (RFC 768) stays without.
    fn is_sound(&self, join: &Join) -> bool {
        let facts = &join.facts;
        let packet = &self.frames[self.used].buffer[HEADER_LEN..HEADER_LEN + facts.length];
        let (transport, length) = (&packet[facts.transport_at..], facts.transport_length());
        if matches!(facts.transport, Transport::Udp { .. })
            && (transport[4..6] != (length as u16).to_be_bytes() || transport[6..8] == [0, 0])
        {
            return false;
        }
        let pseudo = checksum::pseudo_header(facts.source, facts.destination, facts.protocol, length);
        checksum::is_valid(transport, pseudo)
    }

    fn try_join(&mut self, at: usize, new: &Join) -> bool {
        let (earlier, later) = self.frames.split_at_mut(self.used);
        let (frame, packet) = (&mut earlier[at], &later[0].buffer[HEADER_LEN..]);
        let Some(join) = &mut frame.join else { return false };
        let follows = match (join.facts.transport, new.facts.transport) {
            (Transport::Tcp(_), Transport::Tcp(tcp)) => join.next_sequence == tcp.sequence,
            (Transport::Udp { .. }, Transport::Udp { .. }) => join.count < MOST_DATAGRAMS,
            _ => false,
        };
        let fits = follows
            && !join.is_closed
            && new.size <= join.size
            && frame.length + new.size <= LARGEST_PACKET
            && is_alike(&frame.buffer[HEADER_LEN..], packet, join, new);
        if !fits {
            return false;
        }
        let end = HEADER_LEN + frame.length;
        frame.buffer[end..end + new.size].copy_from_slice(&packet[new.header..new.facts.length]);
        if let Transport::Tcp(tcp) = new.facts.transport {
            frame.buffer[HEADER_LEN + join.facts.transport_at + 13] |= tcp.flags;
        }
        frame.length += new.size;
        join.next_sequence = new.next_sequence;
        join.count += 1;
        join.is_closed = new.size < join.size;
        true
    }
}

/// Whether all that one header must say for both is the same: type of service, hop limit, fragment bits, addresses,
/// ports, and of TCP acknowledgement and options.
fn is_alike(a: &[u8], b: &[u8], join: &Join, new: &Join) -> bool {
    let at = join.facts.transport_at;
    if join.header != new.header || at != new.facts.transport_at {
        return false;
    }
    let network = match join.facts.is_ipv6() {
        true => a[..4] == b[..4] && a[6..40] == b[6..40],
        false => a[..2] == b[..2] && a[6..10] == b[6..10] && a[12..20] == b[12..20],
    };
    let is_tcp = matches!(join.facts.transport, Transport::Tcp(_));
    network
        && a[at..at + 4] == b[at..at + 4]
        && (!is_tcp
            || a[at + 8..at + 12] == b[at + 8..at + 12] && a[at + 20..join.header] == b[at + 20..join.header])
}

impl Frame {
    /// Writes the offload facts, and the lengths and sums of a super-packet.
    fn finish(&mut self) {
        let Some(join) = self.join.filter(|join| join.count > 1) else {
            self.buffer[..HEADER_LEN].fill(0);
            return;
        };
        let (is_ipv6, at) = (join.facts.is_ipv6(), join.facts.transport_at);
        let size = join.size as u16;
        let is_udp = matches!(join.facts.transport, Transport::Udp { .. });
        let segmentation = if is_udp { Segmentation::Udp { size } } else { Segmentation::Tcp { size } };
        let field = if is_udp { 6 } else { 16 };
        let offload = Offload { checksum_start: Some(at as u16), checksum_offset: field, segmentation };
        offload.write(&mut self.buffer, is_ipv6, join.header as u16);
        let packet = &mut self.buffer[HEADER_LEN..HEADER_LEN + self.length];
        let length = packet.len() - at;
        if is_ipv6 {
            packet[4..6].copy_from_slice(&(length as u16).to_be_bytes());
        } else {
            let total = packet.len() as u16;
            packet[2..4].copy_from_slice(&total.to_be_bytes());
            checksum::write_ipv4_header(packet, at);
        }
        if is_udp {
            packet[at + 4..at + 6].copy_from_slice(&(length as u16).to_be_bytes());
        }
        let (source, destination) = (join.facts.source, join.facts.destination);
        let pseudo = checksum::pseudo_header(source, destination, join.facts.protocol, length);
        let field = at + usize::from(field);
        packet[field..field + 2].copy_from_slice(&checksum::fold(pseudo).to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(sequence: u32, payload: usize, acknowledgement: u32, flags: u8) -> Vec<u8> {
        let builder =
            etherparse::PacketBuilder::ipv4([10, 0, 0, 1], [100, 64, 0, 1], 60).tcp(80, 5000, sequence, 500);
        let mut packet = Vec::new();
        let builder = if flags & Tcp::FIN != 0 { builder.fin() } else { builder };
        builder.ack(acknowledgement).write(&mut packet, &vec![sequence as u8; payload]).unwrap();
        packet
    }

    fn frames(segments: &[Vec<u8>], can_join: bool) -> Vec<Vec<u8>> {
        let flows: Vec<_> = segments.iter().map(|segment| (3, segment.clone())).collect();
        frames_of(&flows, CanJoin { tcp: can_join, udp: can_join })
    }

    fn frames_of(packets: &[(u32, Vec<u8>)], can_join: CanJoin) -> Vec<Vec<u8>> {
        let mut batch = TunBatch::new(can_join);
        for (flow, packet) in packets {
            batch.spare().unwrap()[..packet.len()].copy_from_slice(packet);
            batch.push_flow(*flow, Facts::parse(packet).unwrap());
        }
        let mut frames = Vec::new();
        while let Some(frame) = batch.pop() {
            frames.push(frame.to_vec());
        }
        frames
    }

    #[test]
    fn contiguous_segments_become_one_super_packet_that_cuts_back_into_them() {
        let segments = [segment(0, 1000, 9, 0), segment(1000, 1000, 9, 0), segment(2000, 300, 9, 0)];
        let mut joined = frames(&segments, true);
        assert_eq!(joined.len(), 1);
        let offload = Offload::parse(&joined[0]).unwrap();
        assert_eq!(offload.segmentation, Segmentation::Tcp { size: 1000 });
        let packet = &mut joined[0][HEADER_LEN..];
        let facts = Facts::parse(packet).unwrap();
        let mut cut = Vec::new();
        assert!(
            crate::packet::segment::cut(packet, &facts, &offload, &mut [0; 2000], |s| cut.push(s.to_vec()))
        );
        for (ours, original) in cut.iter().zip(&segments) {
            assert_eq!(ours[20..], original[20..]);
        }
        assert_eq!(cut.len(), 3);
    }

    #[test]
    fn what_is_not_alike_or_not_contiguous_stays_apart_and_in_order() {
        let broken = {
            let mut segment = segment(1000, 1000, 9, 0);
            segment[60] ^= 1;
            segment
        };
        for second in
            [segment(1001, 1000, 9, 0), segment(1000, 1000, 10, 0), segment(1000, 9, 9, Tcp::FIN), broken]
        {
            let apart = frames(&[segment(0, 1000, 9, 0), second.clone(), segment(2000, 5, 9, 0)], true);
            assert!(apart.len() >= 2);
            assert_eq!(apart[1][HEADER_LEN..][..second.len()], second);
        }
        assert_eq!(frames(&[segment(0, 1000, 9, 0), segment(1000, 1000, 9, 0)], false).len(), 2);
    }

    #[test]
    fn a_shorter_segment_ends_a_super_packet() {
        assert_eq!(
            frames(&[segment(0, 1000, 9, 0), segment(1000, 10, 9, 0), segment(1010, 10, 9, 0)], true).len(),
            2
        );
    }

    #[test]
    fn super_packets_stay_below_the_largest_packet() {
        let segments: Vec<_> = (0..100).map(|n| segment(n * 1000, 1000, 9, 0)).collect();
        let joined = frames(&segments, true);
        assert_eq!(joined.len(), 2);
        assert!(joined.iter().all(|frame| frame.len() <= HEADER_LEN + LARGEST_PACKET));
    }

    fn datagram(port: u16, payload: usize) -> Vec<u8> {
        crate::packets_for_tests::udp(
            "10.0.0.1:53",
            &format!("100.64.0.1:{port}"),
            &vec![port as u8; payload],
        )
    }

    #[test]
    fn datagrams_of_one_size_become_one_super_packet_that_cuts_back_into_them() {
        let datagrams = [datagram(9, 100), datagram(9, 100), datagram(9, 40), datagram(9, 40)];
        let mut joined = frames(&datagrams, true);
        assert_eq!(joined.len(), 2, "a shorter one ends a super-packet");
        let offload = Offload::parse(&joined[0]).unwrap();
        assert_eq!(offload.segmentation, Segmentation::Udp { size: 100 });
        let packet = &mut joined[0][HEADER_LEN..];
        let facts = Facts::parse(packet).unwrap();
        let mut cut = Vec::new();
        assert!(
            crate::packet::segment::cut(packet, &facts, &offload, &mut [0; 200], |s| cut.push(s.to_vec()))
        );
        for (ours, original) in cut.iter().zip(&datagrams) {
            assert_eq!(ours[20..], original[20..]);
        }
        assert_eq!(cut.len(), 3);
        assert_eq!(
            frames_of(&[(3, datagram(9, 50)), (3, datagram(9, 50))], CanJoin { tcp: true, udp: false }).len(),
            2
        );
    }

    #[test]
    fn a_datagram_that_is_longer_broken_or_without_a_checksum_stays_apart() {
        let mut bare = datagram(9, 100);
        bare[26..28].fill(0);
        let mut broken = datagram(9, 100);
        broken[40] ^= 1;
        for second in [datagram(9, 101), datagram(8, 100), bare, broken] {
            let apart = frames(&[datagram(9, 100), second.clone()], true);
            assert_eq!(apart[1][HEADER_LEN..], second);
        }
        let many: Vec<_> = (0..150).map(|_| datagram(9, 20)).collect();
        assert_eq!(frames(&many, true).len(), 3, "64 at most");
    }

    #[test]
    fn flows_between_each_other_join_their_own() {
        let mut packets = Vec::new();
        for n in 0..4u32 {
            packets.push((3, segment(n * 1000, 1000, 9, 0)));
            packets.push((4, datagram(9, 100)));
            packets.push((3 + REMEMBERED as u32, datagram(8, 100))); // in the place of flow 3
        }
        let joined = frames_of(&packets, CanJoin { tcp: true, udp: true });
        assert_eq!(joined.len(), 9, "one of flow 4, and eight that take turns in one place");
        let mut sequences = Vec::new();
        for frame in &joined {
            if let Transport::Tcp(tcp) = Facts::parse(&frame[HEADER_LEN..]).unwrap().transport {
                sequences.push(tcp.sequence);
            }
        }
        assert_eq!(sequences, [0, 1000, 2000, 3000]);
    }
}
