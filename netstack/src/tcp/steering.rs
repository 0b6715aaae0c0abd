//! The windows that smoltcp is shown instead of the peer's, so that it sends what [`Recovery`](super::recovery) allows.
use std::net::IpAddr;

use super::flow::Flow;
use super::segment::Segment;
use crate::packet::facts::Tcp;

/// Longest packet that is copied, in bytes: IPv6 and TCP headers with all options.
pub(super) const MOST_COPIED: usize = 40 + 60;
/// Longest packet that is made: the same without options.
const MOST_MADE: usize = 40 + 20;
const WINDOW: std::ops::Range<usize> = 14..16;

/// The packet as smoltcp is to see it: one without payload says how much may be sent. One with payload is not copied;
/// [`acknowledgement`] corrects it before anything is sent.
pub(super) fn shown<'a>(
    flow: &mut Flow,
    segment: &Segment<'_>,
    packet: &'a [u8],
    copy: &'a mut [u8; MOST_COPIED],
) -> &'a [u8] {
    if segment.has_payload() || packet.len() > MOST_COPIED || segment.is_reset() {
        flow.recovery.was_shown(segment.window());
        return packet;
    }
    let window = flow.recovery.window_to_show(segment.data_begin().is_none());
    let copy = &mut copy[..packet.len()];
    copy.copy_from_slice(packet);
    let at = segment.transport_at();
    copy[at..][WINDOW].copy_from_slice(&window.to_be_bytes());
    copy
}

/// A packet of the peer's that says nothing but how much may be sent, if smoltcp was told of more.
pub(super) fn acknowledgement(flow: &mut Flow) -> Option<Made> {
    if !flow.recovery.is_over_told() {
        return None;
    }
    let expected = flow.next_expected()?;
    let window = flow.recovery.window_to_show(true);
    let mut bytes = [0; MOST_MADE];
    let at = write_network_header(&mut bytes, flow.key.remote.ip(), flow.key.local.ip());
    let header = &mut bytes[at..at + 20];
    header[..2].copy_from_slice(&flow.key.remote.port().to_be_bytes());
    header[2..4].copy_from_slice(&flow.key.local.port().to_be_bytes());
    header[4..8].copy_from_slice(&expected.to_be_bytes());
    header[8..12].copy_from_slice(&flow.recovery.acknowledged().to_be_bytes());
    (header[12], header[13]) = (5 << 4, Tcp::ACK);
    header[WINDOW].copy_from_slice(&window.to_be_bytes());
    Some(Made { bytes, length: at + 20 })
}

/// A packet that was made here; smoltcp looks at no checksum.
pub(super) struct Made {
    bytes: [u8; MOST_MADE],
    length: usize,
}

impl Made {
    pub(super) fn packet(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Gives its length.
fn write_network_header(bytes: &mut [u8; MOST_MADE], source: IpAddr, destination: IpAddr) -> usize {
    const TTL: u8 = 64;
    const TCP: u8 = 6;
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            (bytes[0], bytes[3], bytes[8], bytes[9]) = (0x45, 40, TTL, TCP);
            bytes[12..16].copy_from_slice(&source.octets());
            bytes[16..20].copy_from_slice(&destination.octets());
            20
        }
        (source, destination) => {
            let octets = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            (bytes[0], bytes[5], bytes[6], bytes[7]) = (0x60, 20, TCP, TTL);
            bytes[8..24].copy_from_slice(&octets(source));
            bytes[24..40].copy_from_slice(&octets(destination));
            40
        }
    }
}
