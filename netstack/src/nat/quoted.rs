//! ICMP errors in translation: the packet that they quote is translated too (RFC 5508, section 4).

use super::{Translation, translate};
use crate::packet::checksum;
use crate::packet::facts::Facts;

/// Bytes of an ICMP error before the packet that it quotes.
pub(crate) const ERROR_HEADER: usize = 8;
/// The largest IPv4 header with a TCP header behind it, in bytes.
const LARGEST_HEADERS: usize = 60 + 20;

/// Gives an error whose quoted packet was rewritten its ends and its checksum; `None` when the families differ.
pub(crate) fn readdress(packet: &mut [u8], facts: &Facts, to: &Translation) -> Option<Facts> {
    if !translate(packet, facts, to, false) {
        return None;
    }
    let outside = Facts { source: to.source, destination: to.destination, ..*facts };
    let transport = &mut packet[facts.transport_at..facts.length];
    transport[2..4].fill(0);
    let sum = !checksum::fold(checksum::sum(transport) + pseudo_header(&outside));
    transport[2..4].copy_from_slice(&sum.to_ne_bytes());
    Some(outside)
}

/// Whether the error's own checksum is right: it is written anew, which must not make a broken one whole.
pub(crate) fn is_sound(packet: &[u8], facts: &Facts) -> bool {
    checksum::is_valid(&packet[facts.transport_at..facts.length], pseudo_header(facts))
}

/// ICMP has none.
fn pseudo_header(facts: &Facts) -> u64 {
    match facts.is_ipv6() {
        true => {
            checksum::pseudo_header(facts.source, facts.destination, facts.protocol, facts.transport_length())
        }
        false => 0,
    }
}

/// Rewrites the quoted packet; its transport checksum only where it was quoted whole.
pub(crate) fn translate_quoted(quoted_packet: &mut [u8], quoted: &Facts, to: &Translation) {
    let has_checksum = quoted.checksum_at().is_some_and(|field| field + 2 <= quoted_packet.len());
    if has_checksum {
        translate(quoted_packet, quoted, to, false);
        return;
    }
    let mut whole = [0; LARGEST_HEADERS];
    let length = quoted_packet.len().min(whole.len());
    whole[..length].copy_from_slice(&quoted_packet[..length]);
    translate(&mut whole, quoted, to, false);
    quoted_packet[..length].copy_from_slice(&whole[..length]);
}
