//! The TUN device: packets with their offload facts, in and out of the kernel.

mod linux;

use serde::{Deserialize, Serialize};

pub use linux::Tun;

/// Length in bytes of the virtio_net_hdr before every packet, in host byte order (Linux `virtio_net.h`):
/// flags u8, gso_type u8, hdr_len u16, gso_size u16, csum_start u16, csum_offset u16.
pub const VNET_HEADER_LEN: usize = 10;

/// How the device is to be made.
#[derive(Debug, Clone)]
pub struct TunConfig {
    /// First part of the name; the kernel adds the first free number.
    pub name_prefix: String,
    /// Largest packet in bytes, without offload.
    pub mtu: u16,
    /// Leave offload out even where the kernel has it.
    pub force_plain: bool,
}

/// What the kernel does for us, and expects of us, on this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offloads {
    /// The header before a packet is real: partial checksums may come and may be sent.
    pub vnet_header: bool,
    /// TCP super-packets up to 64 KiB may come and may be sent.
    pub tcp_segmentation: bool,
    /// UDP super-packets likewise (Linux 6.2).
    pub udp_segmentation: bool,
}
