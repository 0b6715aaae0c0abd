//! Frames as a TUN gives and takes them: a virtio header, then a packet.

use std::net::SocketAddr;

use netstack::packet::checksum;
use netstack::packet::udp;
use netstack::packet::virtio::{HEADER_LEN, Offload, Segmentation};

/// A buffer for one frame.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer(Vec<u8>);

impl FrameBuffer {
    /// A packet behind an empty header.
    pub(super) fn write(&mut self, packet: &[u8]) -> &mut [u8] {
        self.0.clear();
        self.0.resize(HEADER_LEN, 0);
        self.0.extend_from_slice(packet);
        &mut self.0
    }

    /// A datagram; `None` when it fits no packet. Over IPv4 it may be cut on its way, as a program's socket that does
    /// not measure the path would let it, and its parts are known by `id` (RFC 6864).
    pub(super) fn write_datagram(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
        id: u16,
    ) -> Option<&mut [u8]> {
        self.0.clear();
        self.0.resize(HEADER_LEN + udp::header_length(source.is_ipv6()) + payload.len(), 0);
        let packet = &mut self.0[HEADER_LEN..];
        let _ = udp::write(packet, source, destination, payload)?;
        if source.is_ipv4() {
            packet[4..6].copy_from_slice(&id.to_be_bytes());
            packet[6] = 0;
            checksum::write_ipv4_header(packet, 20);
        }
        Some(&mut self.0)
    }

    /// What was written last.
    pub(super) fn whole(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// The packet of a frame, and whether its checksums need not be looked at again; `None`: it is no sound frame.
pub(super) fn read(frame: &[u8]) -> Option<(&[u8], bool)> {
    let offload = Offload::parse(frame)?;
    let is_joined = match offload.segmentation {
        Segmentation::None => false,
        Segmentation::Tcp { .. } => true,
        Segmentation::Udp { .. } => return None,
    };
    Some((&frame[HEADER_LEN..], is_joined))
}
