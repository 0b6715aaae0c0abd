//! What programs and hosts send: recognisable, checkable, and never to be seen on the network.

use std::net::IpAddr;

use crate::wire::Packet;

/// Stands in every payload.
pub const MARK: &[u8; 8] = b"PLAINTXT";

/// Who sent a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// A program of the device.
    Device,
    /// An internal host, in answer.
    Host,
    /// Somebody from whom nothing may arrive.
    Stranger,
}

/// A payload of `length` bytes (at least 13) with a tag.
pub fn tagged(from: From, tag: usize, length: usize) -> Vec<u8> {
    let mut payload = MARK.to_vec();
    payload.push(from as u8);
    payload.extend((tag as u32).to_be_bytes());
    let filler = (0..length.saturating_sub(payload.len())).map(|at| (at as u8).wrapping_mul(29) ^ tag as u8);
    payload.extend(filler.collect::<Vec<u8>>());
    payload
}

/// Who sent a payload, and its tag.
pub fn tag_of(payload: &[u8]) -> Option<(From, usize)> {
    let rest = payload.strip_prefix(MARK.as_slice())?;
    let from = match rest.first()? {
        0 => From::Device,
        1 => From::Host,
        _ => From::Stranger,
    };
    let tag: [u8; 4] = rest.get(1..5)?.try_into().ok()?;
    Some((from, u32::from_be_bytes(tag) as usize))
}

/// Bytes of a connection, which are known by their place.
pub fn stream(from: From, flow: usize, offset: u32, length: u32) -> Vec<u8> {
    let byte = |at: u32| match at % 16 {
        place @ 0..8 => MARK[place as usize],
        8 => from as u8,
        9 => flow as u8,
        place => ((at / 16) >> (8 * (place % 4))) as u8,
    };
    (offset..offset + length).map(byte).collect()
}

/// Sequence number of a side's first byte: it shows the flow.
pub fn first_sequence(from: From, flow: usize) -> u32 {
    (flow as u32) << 20 | if from == From::Host { 0x8_0000 } else { 0 }
}

/// The flow and the offset that a sequence number of a side shows.
pub fn place(from: From, sequence: u32) -> (usize, u32) {
    let flow = (sequence >> 20) as usize;
    (flow, sequence.wrapping_sub(first_sequence(from, flow)))
}

/// A packet of the device as a frame of its TUN; `offload` leaves the checksum open, as the kernel does.
pub fn frame(packet: &Packet, offload: bool, segment: Option<u16>) -> Vec<u8> {
    let mut bytes = packet.bytes();
    let at = bytes.len() - packet.body.len();
    let mut header = [0u8; 10];
    let field = if packet.protocol == crate::wire::TCP { 16usize } else { 6 };
    let has_ports = matches!(packet.protocol, crate::wire::TCP | crate::wire::UDP);
    if (offload || segment.is_some()) && has_ports && packet.part.is_none() {
        header[0] = 1;
        header[6..8].copy_from_slice(&(at as u16).to_ne_bytes());
        header[8..10].copy_from_slice(&(field as u16).to_ne_bytes());
        let pseudo =
            crate::wire::pseudo_header(packet.source, packet.destination, packet.protocol, packet.body.len());
        let sum = !crate::wire::checksum(&[&pseudo]);
        bytes[at + field..at + field + 2].copy_from_slice(&sum.to_be_bytes());
    }
    if let Some(size) = segment {
        header[1] = match (packet.protocol, packet.source) {
            (crate::wire::UDP, _) => 5,
            (_, IpAddr::V4(_)) => 1,
            (_, IpAddr::V6(_)) => 4,
        };
        header[2..4].copy_from_slice(&((at + 20) as u16).to_ne_bytes());
        header[4..6].copy_from_slice(&size.to_ne_bytes());
    }
    [header.as_slice(), &bytes].concat()
}
