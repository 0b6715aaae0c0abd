//! From the network: opened in place, TCP segments in sequence joined into one super-packet, written with one call.

use platform::tun::Tun;
use ring::aead::{Aad, LessSafeKey};

use crate::{HEAD, VNET, checksum, nonce};

pub(crate) struct Inbound {
    key: LessSafeKey,
    /// The super-packet so far, behind its virtio header.
    frame: Vec<u8>,
    header: usize,
    size: usize,
    count: usize,
    next: u32,
}

impl Inbound {
    pub(crate) fn new(key: LessSafeKey) -> Self {
        Self { key, frame: Vec::with_capacity(1 << 17), header: 0, size: 0, count: 0, next: 0 }
    }

    /// Takes one datagram.
    pub(crate) fn take(&mut self, datagram: &mut [u8], tun: &Tun) {
        let Some((head, sealed)) = datagram.split_at_mut_checked(HEAD) else { return };
        let mut counter = [0; 8];
        counter.copy_from_slice(&head[8..]);
        let opened = self.key.open_in_place(nonce(u64::from_le_bytes(counter)), Aad::empty(), sealed);
        if let Ok(packet) = opened
            && packet.len() >= 20
            && packet[0] >> 4 == 4
        {
            self.join(packet, tun);
        }
    }

    /// Writes the super-packet.
    pub(crate) fn flush(&mut self, tun: &Tun) {
        if self.count > 1 {
            let (header, size) = (self.header as u16, self.size as u16);
            let (offload, packet) = self.frame.split_at_mut(VNET);
            offload[..2].copy_from_slice(&[1, 1]); // checksum to be finished, TCP over IPv4
            for (at, value) in [(2, header), (4, size), (6, 20), (8, 16)] {
                offload[at..at + 2].copy_from_slice(&value.to_ne_bytes());
            }
            checksum::finish_ipv4(packet, 20);
            let unfinished = checksum::fold(checksum::pseudo_header(packet, packet.len() - 20));
            packet[36..38].copy_from_slice(&unfinished.to_ne_bytes());
        }
        if self.count > 0 {
            let _ = tun.send(&self.frame); // what the TUN does not take is lost, as on any link
        }
        self.count = 0;
    }

    fn join(&mut self, packet: &[u8], tun: &Tun) {
        let at = usize::from(packet[0] & 15) * 4;
        let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        let Some(packet) = packet.get(..length).filter(|packet| packet.len() >= at) else { return };
        let is_tcp = packet[9] == 6 && at == 20 && length >= 40;
        let header = if is_tcp { at + usize::from(packet[at + 12] >> 4) * 4 } else { 0 };
        let can_join = is_tcp
            && length > header
            && packet[33] & !0x08 == 0x10
            && checksum::fold(checksum::sum(&packet[at..]) + checksum::pseudo_header(packet, length - at))
                == 0xffff;
        let sequence = match can_join {
            true => u32::from_be_bytes([packet[24], packet[25], packet[26], packet[27]]),
            false => 0,
        };
        let size = length - header;
        if can_join && self.fits(packet, header, sequence) {
            self.frame.extend_from_slice(&packet[header..]);
            self.frame[VNET + 33] |= packet[33];
            self.next = self.next.wrapping_add(size as u32);
            self.count += 1;
            if size < self.size {
                self.flush(tun);
            }
            return;
        }
        self.flush(tun);
        self.frame.clear();
        self.frame.resize(VNET, 0);
        self.frame.extend_from_slice(packet);
        (self.header, self.size, self.next) = (header, size, sequence.wrapping_add(size as u32));
        self.count = 1;
        if !can_join {
            self.flush(tun);
        }
    }

    /// Whether it continues the super-packet: same ends, acknowledgement and options, next in sequence.
    fn fits(&self, packet: &[u8], header: usize, sequence: u32) -> bool {
        let Some(first) = self.frame.get(VNET..).filter(|_| self.count > 0) else { return false };
        header == self.header
            && sequence == self.next
            && packet.len() - header <= self.size
            && first[12..24] == packet[12..24]
            && first[28..32] == packet[28..32]
            && first[40..header] == packet[40..header]
            && first.len() + packet.len() - header <= 65_535
    }
}
