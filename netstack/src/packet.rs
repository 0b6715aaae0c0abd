//! IP packets as the datapath sees them: facts, checksums, offload headers, and packets of our own.

pub mod checksum;
pub mod echo;
pub mod facts;
pub mod fragment;
pub mod mss;
pub mod parts;
pub mod refusal;
pub mod segment;
pub mod too_big;
pub mod udp;
pub mod virtio;

/// IANA protocol number of ICMP.
pub const ICMP: u8 = 1;
/// IANA protocol number of TCP.
pub const TCP: u8 = 6;
/// IANA protocol number of UDP.
pub const UDP: u8 = 17;
/// IANA protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;
