//! The in-memory device between smoltcp and the caller: one packet in, a bounded queue of packets out.
use std::collections::VecDeque;

use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use super::limits::OUTBOX_PACKETS;

/// Complete IP packets that wait to be fetched, each with its link.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    packets: VecDeque<(u32, Vec<u8>)>,
    /// Packets that found it full.
    pub(super) dropped: u64,
}

impl Outbox {
    pub(super) fn pop(&mut self) -> Option<(u32, Vec<u8>)> {
        self.packets.pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Bytes of the packet that came last, 0 if none waits.
    pub(super) fn newest_len(&self) -> usize {
        self.packets.back().map_or(0, |(_, packet)| packet.len())
    }

    pub(super) fn is_full(&self) -> bool {
        self.packets.len() >= OUTBOX_PACKETS
    }

    fn push(&mut self, link: u32, packet: Vec<u8>) {
        if self.is_full() {
            self.dropped += 1;
            return;
        }
        self.packets.push_back((link, packet));
    }
}

/// What smoltcp sees for the length of one call.
pub(super) struct Device<'a> {
    /// The packet to be handled, whose checksums were verified.
    pub(super) inbound: Option<&'a [u8]>,
    pub(super) outbox: &'a mut Outbox,
    pub(super) link: u32,
    pub(super) mtu: usize,
}

impl phy::Device for Device<'_> {
    type RxToken<'t>
        = Inbound<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Outbound<'t>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Inbound<'_>, Outbound<'_>)> {
        let packet = self.inbound.take()?;
        Some((Inbound(packet), Outbound { outbox: self.outbox, link: self.link }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outbound<'_>> {
        if self.outbox.is_full() {
            return None;
        }
        Some(Outbound { outbox: self.outbox, link: self.link })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        // Verified, and counted, before a packet comes here.
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities
    }
}

/// The packet to be handled.
pub(super) struct Inbound<'a>(&'a [u8]);

impl phy::RxToken for Inbound<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, handle: F) -> R {
        handle(self.0)
    }
}

/// Room for one packet.
pub(super) struct Outbound<'a> {
    outbox: &'a mut Outbox,
    link: u32,
}

impl phy::TxToken for Outbound<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut packet = vec![0; len];
        let result = fill(&mut packet);
        self.outbox.push(self.link, packet);
        result
    }
}
