//! The wire format of DNS messages (RFC 1035 §4), as far as this crate looks into it.

mod answer;
mod message;
mod query;
mod read_name;

pub(crate) use answer::{ExtendedError, Reply, error_answer, reply, truncated_answer};
pub(crate) use message::{Malformed, Message, Record, Section, matches_question};
pub(crate) use query::{Edns, Query, QueryFault, lower_udp_size, udp_limit};
pub(crate) use read_name::{WireName, read_name, skip_name};

/// The length of a message's header (RFC 1035 §4.1.1).
pub(crate) const HEADER: usize = 12;

/// What a UDP client without EDNS takes (RFC 1035 §4.2.1).
pub(crate) const PLAIN_UDP_SIZE: u16 = 512;

/// The largest datagram that we ask for and send, in bytes: it crosses every IPv6 path without fragments
/// (DNS Flag Day 2020, RFC 9715), and fits through the tunnel, where fragments would be lost.
pub(crate) const MAX_UDP_SIZE: u16 = 1232;

/// Bits of the header's second 16-bit word.
pub(crate) mod flag {
    pub(crate) const RESPONSE: u16 = 0x8000;
    pub(crate) const OPCODE: u16 = 0x7800;
    pub(crate) const AUTHORITATIVE: u16 = 0x0400;
    pub(crate) const TRUNCATED: u16 = 0x0200;
    pub(crate) const RECURSION_DESIRED: u16 = 0x0100;
    pub(crate) const RECURSION_AVAILABLE: u16 = 0x0080;
    pub(crate) const AUTHENTIC: u16 = 0x0020;
    pub(crate) const CHECKING_DISABLED: u16 = 0x0010;
    pub(crate) const RCODE: u16 = 0x000f;
}

/// Response codes (IANA "DNS RCODEs"); those above 15 need EDNS.
pub(crate) mod rcode {
    pub(crate) const NO_ERROR: u16 = 0;
    pub(crate) const FORMAT_ERROR: u16 = 1;
    pub(crate) const SERVER_FAILURE: u16 = 2;
    pub(crate) const NAME_ERROR: u16 = 3;
    pub(crate) const NOT_IMPLEMENTED: u16 = 4;
    pub(crate) const REFUSED: u16 = 5;
    pub(crate) const BAD_VERSION: u16 = 16;
}

/// Record types (IANA "Resource Record (RR) TYPEs").
pub(crate) mod rtype {
    pub(crate) const A: u16 = 1;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const OPT: u16 = 41;
    pub(crate) const RRSIG: u16 = 46;
    pub(crate) const SVCB: u16 = 64;
    pub(crate) const HTTPS: u16 = 65;
    pub(crate) const IXFR: u16 = 251;
    pub(crate) const AXFR: u16 = 252;
    pub(crate) const ANY: u16 = 255;
}

/// The Internet class (RFC 1035 §3.2.4).
pub(crate) const CLASS_IN: u16 = 1;

/// Reads the 16-bit number at an offset.
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Reads the 32-bit number at an offset.
pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Writes a 16-bit number at an offset that is known to exist.
pub(crate) fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
