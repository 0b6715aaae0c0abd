//! Complete IP packets that wait to be fetched.
use std::collections::VecDeque;

use super::limits::OUTBOX_PACKETS;
use super::recovery::{Sent, Verdict};
use crate::packet::checksum;
use crate::packet::facts::Tcp;

/// The packets, each with its link.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    packets: VecDeque<(u32, Vec<u8>)>,
    /// For the next packet, after one that does not go out.
    spare: Vec<u8>,
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

    pub(super) fn is_full(&self) -> bool {
        self.packets.len() >= OUTBOX_PACKETS
    }

    /// Lets `fill` write a packet of `length` bytes, which goes out as `judge` says.
    pub(super) fn write<R>(
        &mut self,
        link: u32,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
        judge: impl FnOnce(&[u8]) -> Option<(Sent, Verdict)>,
    ) -> R {
        let mut packet = std::mem::take(&mut self.spare);
        packet.clear();
        packet.resize(length, 0);
        let result = fill(&mut packet);
        match judge(&packet) {
            None | Some((_, Verdict::Send)) => self.push(link, packet),
            Some((sent, Verdict::Bare(sequence))) => {
                strip(&mut packet, &sent, sequence);
                self.push(link, packet);
            }
            Some((_, Verdict::Hold)) => self.spare = packet,
        }
        result
    }

    fn push(&mut self, link: u32, packet: Vec<u8>) {
        if self.is_full() {
            self.dropped += 1;
            return;
        }
        self.packets.push_back((link, packet));
    }
}

/// Leaves of a segment what it acknowledges, with that sequence number.
fn strip(packet: &mut Vec<u8>, sent: &Sent, sequence: u32) {
    let at = sent.transport_at;
    packet.truncate(sent.payload_at);
    packet[at + 4..at + 8].copy_from_slice(&sequence.to_be_bytes());
    packet[at + 13] = Tcp::ACK;
    let length = packet.len() as u16;
    let pseudo = match at {
        20 => {
            packet[2..4].copy_from_slice(&length.to_be_bytes());
            checksum::write_ipv4_header(packet, at);
            checksum::sum(&packet[12..20])
        }
        _ => {
            let length = length - at as u16;
            packet[4..6].copy_from_slice(&length.to_be_bytes());
            checksum::sum(&packet[8..40])
        }
    };
    packet[at + 16..at + 18].fill(0);
    let length = ((packet.len() - at) as u32).to_be_bytes();
    let sum = checksum::sum(&packet[at..]) + pseudo + checksum::sum(&[0, 0, 0, 6]) + checksum::sum(&length);
    packet[at + 16..at + 18].copy_from_slice(&(!checksum::fold(sum)).to_ne_bytes());
}
