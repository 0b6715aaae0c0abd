//! Datagrams in parts, put together: what is carried by its content must be whole, and is judged as a whole.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::packet::checksum;
use crate::packet::facts::Facts;
use crate::packet::fragment::Fragment;

/// How long the parts of a datagram may take (RFC 1122, section 3.3.2 allows more; Linux forgets after 30 s).
const LIFETIME: Duration = Duration::from_secs(15);
/// Datagrams in parts of one sender at a time; beyond, its oldest is forgotten.
const MOST_OF_SENDER: usize = 16;
/// Bytes that the parts of one sender may take: four of the largest datagrams.
const MOST_BYTES_OF_SENDER: usize = 4 * 65_535;
/// Bytes that the parts of all may take.
const MOST_BYTES: usize = 32 * 65_535;
/// Parts of a datagram: the largest one in parts of 1,232 bytes.
const MOST_PARTS: usize = 64;
/// Largest IP packet in bytes.
const LARGEST_PACKET: usize = 65_535;
/// IPv6's fragment header (IANA number), and its length in bytes.
const FRAGMENT: u8 = 44;
const FRAGMENT_HEADER: usize = 8;

/// Datagrams whose parts are not all there, by who sends them; `None`: the inner side.
#[derive(Debug, Default)]
pub struct Reassembly {
    senders: BTreeMap<Option<u32>, Sender>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Sender {
    /// Oldest first.
    datagrams: VecDeque<Datagram>,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    id: u32,
}

#[derive(Debug)]
struct Datagram {
    key: Key,
    since: Instant,
    /// The IP header that the whole is to have; empty before the first part.
    header: Vec<u8>,
    content: Vec<u8>,
    parts: Vec<Range<usize>>,
    length: Option<usize>,
    /// Parts contradict each other: nothing of it is let through (RFC 5722).
    is_refused: bool,
}

impl Reassembly {
    /// Takes a part; the whole packet once all parts are there. False parts, and what there is no room for, give `None`.
    pub fn add(
        &mut self,
        sender: Option<u32>,
        packet: &[u8],
        facts: &Facts,
        part: &Fragment,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let Facts { source, destination, protocol, .. } = *facts;
        let key = Key { source, destination, protocol, id: part.id };
        let (header, content) = split(packet, facts)?;
        let range = part.offset..part.offset + content.len();
        let is_sound = !content.is_empty()
            && (!part.has_more || content.len().is_multiple_of(8))
            && header.len() + range.end <= LARGEST_PACKET;
        if !is_sound {
            return None;
        }
        self.expire(now);
        let all = self.bytes;
        let from = self.senders.entry(sender).or_default();
        let before = from.bytes;
        let whole = from.add(key, &header, content, range, part, all - before, now);
        self.bytes = all - before + from.bytes;
        if from.datagrams.is_empty() {
            self.senders.remove(&sender);
        }
        whole
    }

    /// Forgets what took too long.
    pub fn expire(&mut self, now: Instant) {
        for sender in self.senders.values_mut() {
            let before = sender.bytes;
            sender.expire(now);
            self.bytes -= before - sender.bytes;
        }
        self.senders.retain(|_, sender| !sender.datagrams.is_empty());
    }

    /// When [`Self::expire`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let oldest = self.senders.values().filter_map(|sender| sender.datagrams.front());
        oldest.map(|datagram| datagram.since + LIFETIME).min()
    }

    /// Forgets everything: rights have changed.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Sender {
    #[expect(clippy::too_many_arguments, reason = "what a part says is said once")]
    fn add(
        &mut self,
        key: Key,
        header: &[u8],
        content: &[u8],
        range: Range<usize>,
        part: &Fragment,
        others: usize,
        now: Instant,
    ) -> Option<Vec<u8>> {
        let known = self.datagrams.iter().position(|datagram| datagram.key == key);
        let index = known.unwrap_or_else(|| self.begin(key, now));
        let datagram = &mut self.datagrams[index];
        let growth = range.end.saturating_sub(datagram.content.len());
        if self.bytes + growth > MOST_BYTES_OF_SENDER || others + self.bytes + growth > MOST_BYTES {
            datagram.is_refused = true;
        }
        let before = datagram.content.len();
        datagram.add(header, content, range, part);
        self.bytes = self.bytes - before + datagram.content.len();
        if !datagram.is_whole() {
            return None;
        }
        let whole = self.datagrams.remove(index)?;
        self.bytes -= whole.content.len();
        Some(whole.packet())
    }

    fn begin(&mut self, key: Key, now: Instant) -> usize {
        while self.datagrams.len() >= MOST_OF_SENDER {
            self.remove_oldest();
        }
        self.datagrams.push_back(Datagram {
            key,
            since: now,
            header: Vec::new(),
            content: Vec::new(),
            parts: Vec::new(),
            length: None,
            is_refused: false,
        });
        self.datagrams.len() - 1
    }

    fn expire(&mut self, now: Instant) {
        while self.datagrams.front().is_some_and(|oldest| oldest.since + LIFETIME <= now) {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        if let Some(datagram) = self.datagrams.pop_front() {
            self.bytes -= datagram.content.len();
        }
    }
}

impl Datagram {
    fn add(&mut self, header: &[u8], content: &[u8], range: Range<usize>, part: &Fragment) {
        if self.is_refused || self.contradicts(&range, part) {
            self.is_refused = true;
            (self.content, self.parts) = (Vec::new(), Vec::new());
            return;
        }
        if part.first.is_some() {
            self.header = header.to_vec();
        }
        if !part.has_more {
            self.length = Some(range.end);
        }
        if self.content.len() < range.end {
            self.content.resize(range.end, 0);
        }
        self.content[range.clone()].copy_from_slice(content);
        let at = self.parts.partition_point(|other| other.start < range.start);
        self.parts.insert(at, range);
    }

    /// Parts overlap, reach behind the end, or are too many.
    fn contradicts(&self, range: &Range<usize>, part: &Fragment) -> bool {
        let overlaps = |other: &Range<usize>| other.start < range.end && range.start < other.end;
        let is_behind = self.length.is_some_and(|length| range.end > length || !part.has_more);
        let is_early_end = !part.has_more && self.content.len() > range.end;
        is_behind || is_early_end || self.parts.len() >= MOST_PARTS || self.parts.iter().any(overlaps)
    }

    fn is_whole(&self) -> bool {
        let have: usize = self.parts.iter().map(Range::len).sum();
        !self.is_refused && self.length == Some(have) && !self.header.is_empty()
    }

    fn packet(self) -> Vec<u8> {
        let mut packet = self.header;
        packet.extend_from_slice(&self.content);
        if packet[0] >> 4 == 4 {
            let (header, length) = (usize::from(packet[0] & 15) * 4, packet.len() as u16);
            packet[2..4].copy_from_slice(&length.to_be_bytes());
            packet[6..8].fill(0);
            checksum::write_ipv4_header(&mut packet, header);
        } else {
            let length = (packet.len() - 40) as u16;
            packet[4..6].copy_from_slice(&length.to_be_bytes());
        }
        packet
    }
}

/// The header that the whole would have, and the content of the part. Of IPv6 only what has no other extension header:
/// a transport header that hides behind one is none that we would carry.
fn split<'a>(packet: &'a [u8], facts: &Facts) -> Option<(Vec<u8>, &'a [u8])> {
    let packet = packet.get(..facts.length)?;
    if !facts.is_ipv6() {
        let (header, content) = packet.split_at_checked(usize::from(packet[0] & 15) * 4)?;
        return Some((header.to_vec(), content));
    }
    let (header, rest) = packet.split_at_checked(40)?;
    let content = rest.get(FRAGMENT_HEADER..)?;
    let mut header = header.to_vec();
    let is_plain = header[6] == FRAGMENT && rest[0] == facts.protocol;
    header[6] = facts.protocol;
    is_plain.then_some((header, content))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packet::fragment;
    use crate::packets_for_tests::{fragments, sound, start, udp};

    fn add(table: &mut Reassembly, packet: &[u8], now: Instant) -> Option<Vec<u8>> {
        let facts = Facts::parse(packet).unwrap();
        let part = fragment::parse(packet, &facts)?;
        table.add(Some(3), packet, &facts, &part, now)
    }

    fn whole(is_ipv6: bool, length: usize) -> Vec<u8> {
        let body: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
        let (from, to) = if is_ipv6 { ("[fd00::1]:7", "[fd00::2]:9") } else { ("10.0.0.1:7", "10.0.0.2:9") };
        udp(from, to, &body)
    }

    proptest! {
        #[test]
        fn parts_in_any_order_become_the_packet_that_was_cut(
            is_ipv6: bool,
            length in 1_500usize..9_000,
            mtu in 1_000usize..1_420,
            order: [u8; 16],
        ) {
            let packet = whole(is_ipv6, length);
            let mut parts: Vec<_> = fragments(&packet, mtu, 77).into_iter().zip(order).collect();
            parts.sort_by_key(|(_, order)| *order);
            let (mut table, now) = (Reassembly::default(), start());
            let results: Vec<_> = parts.iter().map(|(part, _)| add(&mut table, part, now)).collect();
            let (last, earlier) = results.split_last().unwrap();
            prop_assert!(earlier.iter().all(Option::is_none));
            let again = last.as_ref().unwrap();
            sound(again);
            prop_assert_eq!(&again[20..], {
                // the flags of IPv4's header are not those of the sender
                &packet[20..]
            });
            prop_assert_eq!((table.bytes, table.senders.len()), (0, 0));
        }

        #[test]
        fn arbitrary_parts_never_panic_and_take_bounded_room(
            parts in proptest::collection::vec((0u16..4, 0u16..9_000, 1usize..1_400, any::<bool>()), 1..200),
        ) {
            let (mut table, now) = (Reassembly::default(), start());
            let cut = fragments(&whole(false, 3_000), 1_420, 5).remove(1);
            for (id, offset, length, has_more) in parts {
                let mut part = cut[..20].to_vec();
                part.resize(20 + length, 1);
                part[2..4].copy_from_slice(&((20 + length) as u16).to_be_bytes());
                part[4..6].copy_from_slice(&id.to_be_bytes());
                part[6..8].copy_from_slice(&((offset & 0x1fff) | (u16::from(has_more) << 13)).to_be_bytes());
                checksum::write_ipv4_header(&mut part, 20);
                if Facts::parse(&part).is_some_and(|facts| facts.transport == crate::packet::facts::Transport::Fragment) {
                    add(&mut table, &part, now);
                }
                prop_assert!(table.bytes <= MOST_BYTES_OF_SENDER);
                prop_assert_eq!(table.bytes, table.senders.values().map(|sender| sender.bytes).sum::<usize>());
            }
        }
    }

    #[test]
    fn parts_that_overlap_spoil_the_whole() {
        let (mut table, now) = (Reassembly::default(), start());
        let parts = fragments(&whole(false, 3_000), 1_420, 5);
        assert_eq!(add(&mut table, &parts[0], now), None);
        let mut overlapping = parts[1].clone();
        overlapping[7] -= 1; // eight bytes earlier
        checksum::write_ipv4_header(&mut overlapping, 20);
        assert_eq!(add(&mut table, &overlapping, now), None);
        assert_eq!(add(&mut table, &parts[1], now), None);
        assert_eq!(add(&mut table, &parts[2], now), None);
    }

    #[test]
    fn what_is_never_whole_is_forgotten_and_senders_do_not_disturb_each_other() {
        let (mut table, now) = (Reassembly::default(), start());
        let packet = whole(false, 3_000);
        for id in 0..1_000 {
            add(&mut table, &fragments(&packet, 1_420, id)[1], now);
        }
        assert_eq!(table.senders[&Some(3)].datagrams.len(), MOST_OF_SENDER);
        let facts = Facts::parse(&fragments(&packet, 1_420, 5)[0]).unwrap();
        let mut other = |part: &Vec<u8>| {
            let facts = Facts { length: part.len(), ..facts };
            let read = fragment::parse(part, &facts).unwrap();
            table.add(None, part, &facts, &read, now)
        };
        let results: Vec<_> = fragments(&packet, 1_420, 5).iter().map(&mut other).collect();
        assert!(results[2].is_some(), "of the inner side");
        assert_eq!(table.poll_timeout(), Some(now + LIFETIME));
        table.expire(now + LIFETIME);
        assert_eq!((table.bytes, table.poll_timeout()), (0, None));
    }
}
