//! The largest segment that a SYN asks for, lowered to what the path carries (RFC 9293, section 3.7.1; RFC 6691).

use std::ops::Range;

use super::checksum;
use super::facts::{Facts, Tcp, Transport};

/// Kinds of TCP options (RFC 9293, section 3.1).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;
/// What a SYN without the option asks for (RFC 9293, section 3.7.1), IPv4 and IPv6.
const DEFAULT: [u16; 2] = [536, 1_220];

/// Bytes of fixed IP and TCP headers, which the maximum segment size leaves out whatever options there are (RFC 6691).
pub fn headers(is_ipv6: bool) -> u16 {
    if is_ipv6 { 60 } else { 40 }
}

/// Lowers the maximum segment size of a SYN or SYN/ACK so that packets of the other side hold at most `packet` bytes;
/// it is never raised, and its checksum follows. `is_unfinished`: the checksum is the pseudo-header's sum that offload
/// leaves, which does not cover options. Returns the size in bytes of the packets that the other side may send now;
/// `None`: no SYN, nothing was changed.
#[inline]
pub fn clamp(packet: &mut [u8], facts: &Facts, most: usize, is_unfinished: bool) -> Option<u16> {
    match &facts.transport {
        Transport::Tcp(tcp) if tcp.has(Tcp::SYN) => clamp_syn(packet, facts, tcp, most, is_unfinished),
        Transport::Tcp(_)
        | Transport::Udp { .. }
        | Transport::Echo { .. }
        | Transport::Error
        | Transport::Fragment
        | Transport::Other => None,
    }
}

fn clamp_syn(packet: &mut [u8], facts: &Facts, tcp: &Tcp, most: usize, is_unfinished: bool) -> Option<u16> {
    let headers = headers(facts.is_ipv6());
    let most = u16::try_from(most).unwrap_or(u16::MAX).saturating_sub(headers).max(1);
    let options = facts.transport_at + 20..facts.transport_at + tcp.header_length;
    let Some(at) = find(packet.get(options.clone())?) else {
        return Some(DEFAULT[usize::from(facts.is_ipv6())].saturating_add(headers));
    };
    let at = options.start + at;
    let asked = u16::from_be_bytes([packet[at], packet[at + 1]]);
    if asked > most {
        write(packet, facts, options, at, most, is_unfinished);
    }
    Some(asked.min(most).saturating_add(headers))
}

fn write(packet: &mut [u8], facts: &Facts, options: Range<usize>, at: usize, size: u16, is_unfinished: bool) {
    // the value may stand at an odd place: the sum of all options is right wherever it is
    let old = checksum::sum(&packet[options.clone()]);
    packet[at..at + 2].copy_from_slice(&size.to_be_bytes());
    let new = checksum::sum(&packet[options]);
    if let Some(field) = facts.checksum_at().filter(|_| !is_unfinished) {
        checksum::adjust_finished(&mut packet[field..field + 2], checksum::change(old, new));
    }
}

/// Where the value of the first such option stands; options that cannot be read end the search.
fn find(options: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *options.get(at..)? {
            [] | [END, ..] => return None,
            [NO_OPERATION, ..] => at += 1,
            [MAXIMUM_SEGMENT_SIZE, 4, _, _, ..] => return Some(at + 2),
            [MAXIMUM_SEGMENT_SIZE, ..] => return None,
            [_, length, ..] if length >= 2 => at += usize::from(length),
            [_, ..] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::packets_for_tests::{at, sound};

    fn syn(from: &str, to: &str, options: &[u8]) -> Vec<u8> {
        let (from, to) = (at(from), at(to));
        let builder = match (from.ip(), to.ip()) {
            (std::net::IpAddr::V4(a), std::net::IpAddr::V4(b)) => {
                etherparse::PacketBuilder::ipv4(a.octets(), b.octets(), 64)
            }
            (std::net::IpAddr::V6(a), std::net::IpAddr::V6(b)) => {
                etherparse::PacketBuilder::ipv6(a.octets(), b.octets(), 64)
            }
            _ => panic!("two families"),
        };
        let mut packet = Vec::new();
        let builder = builder.tcp(from.port(), to.port(), 1, 9).syn().options_raw(options).unwrap();
        builder.write(&mut packet, &[]).unwrap();
        packet
    }

    fn ends(is_ipv6: bool) -> (&'static str, &'static str) {
        if is_ipv6 { ("[fd00::1]:5", "[fd00::2]:6") } else { ("10.0.0.1:5", "10.0.0.2:6") }
    }

    fn value(packet: &[u8]) -> u16 {
        let facts = Facts::parse(packet).unwrap();
        let at = facts.transport_at + 20;
        let at = at + find(&packet[at..]).unwrap();
        u16::from_be_bytes([packet[at], packet[at + 1]])
    }

    #[test]
    fn it_is_lowered_to_the_path_and_never_raised() {
        for is_ipv6 in [false, true] {
            let (from, to) = ends(is_ipv6);
            for (asked, packet_size, becomes) in [
                (1_460, 1_420, 1_420 - headers(is_ipv6)),
                (536, 1_420, 536),
                (1_460, 928, 928 - headers(is_ipv6)),
            ] {
                let [high, low] = u16::to_be_bytes(asked);
                let mut packet = syn(from, to, &[1, 2, 4, high, low, 1, 3, 3, 7]);
                let facts = sound(&packet);
                let now = clamp(&mut packet, &facts, packet_size, false).unwrap();
                sound(&packet);
                assert_eq!((value(&packet), now), (becomes, becomes + headers(is_ipv6)));
            }
        }
    }

    #[test]
    fn a_checksum_that_offload_finishes_later_is_left_alone() {
        let (from, to) = ends(false);
        let mut packet = syn(from, to, &[2, 4, 5, 0xb4]);
        let facts = sound(&packet);
        let sum = checksum::fold(checksum::pseudo_header(
            facts.source,
            facts.destination,
            6,
            facts.transport_length(),
        ));
        packet[36..38].copy_from_slice(&sum.to_ne_bytes());
        assert_eq!(clamp(&mut packet, &facts, 1_000, true), Some(1_000));
        let offload = crate::packet::virtio::Offload {
            checksum_start: Some(20),
            checksum_offset: 16,
            segmentation: crate::packet::virtio::Segmentation::None,
        };
        assert!(crate::packet::segment::finish_checksum(&mut packet, &offload));
        sound(&packet);
        assert_eq!(value(&packet), 960);
    }

    #[test]
    fn without_the_option_or_a_syn_nothing_is_changed() {
        let (from, to) = ends(true);
        for options in [&[][..], &[1, 1, 1, 0], &[2, 3, 9, 9], &[8, 0, 2, 4, 5, 5, 1, 1], &[3, 40, 2, 4]] {
            let mut packet = syn(from, to, options);
            let (before, facts) = (packet.clone(), sound(&packet));
            assert_eq!(clamp(&mut packet, &facts, 600, false), Some(1_280));
            assert_eq!(packet, before);
        }
        let mut packet = syn(from, to, &[2, 4, 5, 0xb4]);
        packet[53] = Tcp::ACK;
        let facts = Facts::parse(&packet).unwrap();
        assert_eq!(clamp(&mut packet, &facts, 600, false), None);
    }

    proptest! {
        #[test]
        fn any_options_keep_a_right_checksum(
            options in proptest::collection::vec(prop_oneof![Just(1u8), Just(2), Just(4), any::<u8>()], 0..=40),
            most in 0usize..70_000,
            is_ipv6: bool,
        ) {
            let (from, to) = ends(is_ipv6);
            let mut packet = syn(from, to, &options);
            let facts = sound(&packet);
            clamp(&mut packet, &facts, most, false);
            sound(&packet);
        }
    }
}
