//! The in-memory device between smoltcp and the caller: one packet in, a bounded queue of packets out.
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

use super::outbox::Outbox;
use super::recovery::{Recovery, Sent, Verdict};

/// What became of the packet that smoltcp made last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// It made none.
    Nothing,
    /// It takes nothing of the sequence space.
    Bare,
    /// It carries data, a SYN or a FIN.
    Data,
    /// It is not to go out.
    Held,
}

/// What smoltcp sees for the length of one call.
pub(super) struct Device<'a> {
    /// The packet to be handled, whose checksums were verified.
    pub(super) inbound: Option<&'a [u8]>,
    pub(super) outbox: &'a mut Outbox,
    pub(super) link: u32,
    pub(super) mtu: usize,
    /// The flow's, if the call is for a flow.
    pub(super) recovery: Option<&'a mut Recovery>,
    /// The caller's time.
    pub(super) now: std::time::Instant,
    pub(super) made: Made,
}

impl<'a> Device<'a> {
    /// With nothing to be handled, for no flow.
    pub(super) fn new(outbox: &'a mut Outbox, link: u32, mtu: usize, now: std::time::Instant) -> Self {
        Self { inbound: None, outbox, link, mtu, recovery: None, now, made: Made::Nothing }
    }

    fn outbound(&mut self) -> Outbound<'_> {
        Outbound {
            outbox: self.outbox,
            link: self.link,
            recovery: self.recovery.as_deref_mut(),
            now: self.now,
            made: &mut self.made,
        }
    }
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
        Some((Inbound(packet), self.outbound()))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outbound<'_>> {
        if self.outbox.is_full() {
            return None;
        }
        Some(self.outbound())
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
    recovery: Option<&'a mut Recovery>,
    now: std::time::Instant,
    made: &'a mut Made,
}

impl phy::TxToken for Outbound<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let Self { outbox, link, mut recovery, now, made } = self;
        outbox.write(link, len, fill, |packet| {
            let sent = Sent::parse(packet)?;
            let verdict = recovery.as_mut().map_or(Verdict::Send, |recovery| recovery.judge(&sent, now));
            *made = match (verdict, sent.length > 0 || sent.is_syn) {
                (Verdict::Send, true) => Made::Data,
                (Verdict::Send, false) => Made::Bare,
                (Verdict::Bare(_) | Verdict::Hold, _) => Made::Held,
            };
            Some((sent, verdict))
        })
    }
}
