//! Packets on their way to the device, TCP segments of a flow joined into super-packets for one write.

use crate::packet::checksum;
use crate::packet::facts::{Facts, Tcp, Transport};
use crate::packet::virtio::{HEADER_LEN, Offload, Segmentation};

/// Largest IP packet in bytes; super-packets grow up to it.
const LARGEST_PACKET: usize = 65_535;
/// Head-room and the largest packet, and what boringtun wants behind a packet for its tag.
const FRAME_LEN: usize = HEADER_LEN + LARGEST_PACKET + 32;
/// Frames in one batch; a batch of datagrams from the network holds at most 64, answers come on top.
const MOST_FRAMES: usize = 256;

/// The batch.
#[derive(Debug, Default)]
pub(crate) struct TunBatch {
    frames: Vec<Frame>,
    used: usize,
    next: usize,
    can_join: bool,
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
    flow: u32,
    facts: Facts,
    header: usize,
    size: usize,
    next_sequence: u32,
    count: usize,
    is_closed: bool,
}

impl TunBatch {
    /// An empty batch; `can_join`: the device takes TCP super-packets.
    pub(crate) fn new(can_join: bool) -> Self {
        Self { can_join, ..Self::default() }
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
    /// there. It joins an earlier segment when the two are contiguous, alike and sound.
    pub(crate) fn push_flow(&mut self, flow: u32, facts: Facts) {
        let candidate = if self.can_join { self.candidate(flow, facts) } else { None };
        let last = self.frames[self.next..self.used]
            .iter()
            .rposition(|frame| frame.join.is_some_and(|j| j.flow == flow));
        if let (Some(candidate), Some(at)) = (candidate, last)
            && self.try_join(self.next + at, &candidate)
        {
            return;
        }
        if let Some(at) = last {
            let frame = &mut self.frames[self.next + at];
            frame.join = frame.join.map(|join| Join { is_closed: true, ..join });
        }
        self.push(facts.length);
        let pushed = self.used - 1;
        self.frames[pushed].join = candidate;
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
        (self.next, self.used) = (0, 0);
    }

    /// What of the packet in the spare frame could be joined: a sound data segment with no flags but ACK and PSH.
    fn candidate(&self, flow: u32, facts: Facts) -> Option<Join> {
        let Transport::Tcp(tcp) = facts.transport else { return None };
        let header = facts.transport_at + tcp.header_length;
        let size = facts.length - header;
        if size == 0
            || tcp.flags & !Tcp::PSH != Tcp::ACK
            || facts.transport_at != if facts.is_ipv6() { 40 } else { 20 }
        {
            return None;
        }
        let packet = &self.frames[self.used].buffer[HEADER_LEN..HEADER_LEN + facts.length];
        let pseudo = checksum::pseudo_header(
            facts.source,
            facts.destination,
            facts.protocol,
            facts.transport_length(),
        );
        if !checksum::is_valid(&packet[facts.transport_at..], pseudo) {
            return None; // the device must see that it is broken
        }
        let next_sequence = tcp.sequence.wrapping_add(size as u32);
        Some(Join { flow, facts, header, size, next_sequence, count: 1, is_closed: false })
    }

    fn try_join(&mut self, at: usize, new: &Join) -> bool {
        let (earlier, later) = self.frames.split_at_mut(self.used);
        let (frame, packet) = (&mut earlier[at], &later[0].buffer[HEADER_LEN..]);
        let Some(join) = &mut frame.join else { return false };
        let Transport::Tcp(tcp) = new.facts.transport else { return false };
        let fits = !join.is_closed
            && join.next_sequence == tcp.sequence
            && new.size <= join.size
            && frame.length + new.size <= LARGEST_PACKET
            && is_alike(&frame.buffer[HEADER_LEN..], packet, join, new);
        if !fits {
            return false;
        }
        let end = HEADER_LEN + frame.length;
        frame.buffer[end..end + new.size].copy_from_slice(&packet[new.header..new.facts.length]);
        frame.buffer[HEADER_LEN + join.facts.transport_at + 13] |= tcp.flags;
        frame.length += new.size;
        join.next_sequence = new.next_sequence;
        join.count += 1;
        join.is_closed = new.size < join.size;
        true
    }
}

/// Whether all that one header must say for both is the same: type of service, hop limit, fragment bits, addresses,
/// ports, acknowledgement, and options.
fn is_alike(a: &[u8], b: &[u8], join: &Join, new: &Join) -> bool {
    let at = join.facts.transport_at;
    if join.header != new.header || at != new.facts.transport_at {
        return false;
    }
    let network = match join.facts.is_ipv6() {
        true => a[..4] == b[..4] && a[6..40] == b[6..40],
        false => a[..2] == b[..2] && a[6..10] == b[6..10] && a[12..20] == b[12..20],
    };
    network
        && a[at..at + 4] == b[at..at + 4]
        && a[at + 8..at + 12] == b[at + 8..at + 12]
        && a[at + 20..join.header] == b[at + 20..join.header]
}

impl Frame {
    /// Writes the offload facts, and the lengths and sums of a super-packet.
    fn finish(&mut self) {
        let Some(join) = self.join.filter(|join| join.count > 1) else {
            self.buffer[..HEADER_LEN].fill(0);
            return;
        };
        let (is_ipv6, at) = (join.facts.is_ipv6(), join.facts.transport_at);
        let segmentation = Segmentation::Tcp { size: join.size as u16 };
        let offload = Offload { checksum_start: Some(at as u16), checksum_offset: 16, segmentation };
        offload.write(&mut self.buffer, is_ipv6, join.header as u16);
        let packet = &mut self.buffer[HEADER_LEN..HEADER_LEN + self.length];
        if is_ipv6 {
            let length = (packet.len() - 40) as u16;
            packet[4..6].copy_from_slice(&length.to_be_bytes());
        } else {
            let length = packet.len() as u16;
            packet[2..4].copy_from_slice(&length.to_be_bytes());
            checksum::write_ipv4_header(packet, at);
        }
        let pseudo = checksum::pseudo_header(
            join.facts.source,
            join.facts.destination,
            join.facts.protocol,
            packet.len() - at,
        );
        packet[at + 16..at + 18].copy_from_slice(&checksum::fold(pseudo).to_ne_bytes());
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
        let mut batch = TunBatch::new(can_join);
        for segment in segments {
            batch.spare().unwrap()[..segment.len()].copy_from_slice(segment);
            batch.push_flow(3, Facts::parse(segment).unwrap());
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
}
