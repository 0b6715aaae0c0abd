//! Echo requests of our own, which measure what a path carries (RFC 792, RFC 4443 section 4.1).

use std::net::IpAddr;

use super::{checksum, refusal};

/// ICMP echo request (RFC 792), and ICMPv6's (RFC 4443, section 4.1).
const REQUEST: [u8; 2] = [8, 128];

/// Bytes of its header.
const HEADER: usize = 8;

/// An echo request to be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Our address in the tunnel.
    pub source: IpAddr,
    /// Who is to answer.
    pub destination: IpAddr,
    /// Identifier.
    pub id: u16,
    /// Sequence number.
    pub sequence: u16,
    /// Routers that may pass it on; 1: the gateway answers "time exceeded" by itself.
    pub hop_limit: u8,
}

/// Writes an echo request of `length` bytes, IP header included, that is not to be fragmented, and returns `length`;
/// `None` when the families differ, or it does not fit.
pub fn write(out: &mut [u8], request: &Request, length: usize) -> Option<usize> {
    let is_ipv6 = request.source.is_ipv6();
    let out = out.get_mut(..length)?;
    let icmp_length = length.checked_sub(if is_ipv6 { 40 } else { 20 }).filter(|rest| *rest >= HEADER)?;
    let protocol = if is_ipv6 { super::ICMPV6 } else { super::ICMP };
    let at = refusal::write_network_header(out, request.source, request.destination, protocol, icmp_length)?;
    out[if is_ipv6 { 7 } else { 8 }] = request.hop_limit;
    if !is_ipv6 {
        checksum::write_ipv4_header(out, at);
    }
    let icmp = &mut out[at..];
    icmp.fill(0);
    icmp[0] = REQUEST[usize::from(is_ipv6)];
    icmp[4..6].copy_from_slice(&request.id.to_be_bytes());
    icmp[6..8].copy_from_slice(&request.sequence.to_be_bytes());
    refusal::finish_icmp(icmp, request.source, request.destination);
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::facts::Transport;
    use crate::packets_for_tests::{ip, sound};

    #[test]
    fn requests_are_sound_and_of_the_size_that_is_asked_for() {
        for (source, destination) in [("10.77.0.3", "10.77.0.53"), ("fd77::3", "fd77::53")] {
            let request = Request {
                source: ip(source),
                destination: ip(destination),
                id: 7,
                sequence: 9,
                hop_limit: 1,
            };
            for length in [48, 1_281, 1_420] {
                let mut out = [0xff; 1_500];
                assert_eq!(write(&mut out, &request, length), Some(length));
                let facts = sound(&out[..length]);
                assert_eq!(facts.transport, Transport::Echo { id: 7, is_request: true });
                assert_eq!(out[if facts.is_ipv6() { 7 } else { 8 }], 1);
            }
            assert_eq!(write(&mut [0; 1_500], &request, 27), None);
            assert_eq!(write(&mut [0; 100], &request, 101), None);
        }
    }
}
