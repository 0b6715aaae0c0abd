//! From the TUN: super-packets cut, checksummed and sealed into one batch, sent with one call.

use std::net::{SocketAddr, UdpSocket};

use quinn_udp::{Transmit, UdpSocketState};
use ring::aead::{Aad, LessSafeKey};

use crate::{HEAD, VNET, checksum, nonce};

/// Datagrams of the same size that one call sends.
const MOST_SEGMENTS: usize = 44;

pub(crate) struct Outbound {
    buffer: Vec<u8>,
    used: usize,
    segment: usize,
    count: usize,
    counter: u64,
    key: LessSafeKey,
    peer: SocketAddr,
}

impl Outbound {
    pub(crate) fn new(key: LessSafeKey, peer: SocketAddr) -> Self {
        Self { buffer: vec![0; 1 << 17], used: 0, segment: 0, count: 0, counter: 0, key, peer }
    }

    /// Takes one frame of the TUN.
    pub(crate) fn take(&mut self, frame: &mut [u8], socket: &UdpSocket, state: &UdpSocketState) {
        const NEEDS_CHECKSUM: u8 = 1;
        const TCP_IPV4: u8 = 1;
        let (flags, kind) = (frame[0], frame[1] & 0x7f);
        let field = |at: usize| usize::from(u16::from_ne_bytes([frame[at], frame[at + 1]]));
        let (size, start, offset) = (field(4), field(6), field(8));
        let packet = &mut frame[VNET..];
        if kind == TCP_IPV4 {
            return self.cut(packet, size, socket, state);
        }
        if flags & NEEDS_CHECKSUM != 0 {
            let finished = !checksum::fold(checksum::sum(&packet[start..]));
            packet[start + offset..start + offset + 2].copy_from_slice(&finished.to_ne_bytes());
        }
        let at = self.room(packet.len(), socket, state);
        self.buffer[at..at + packet.len()].copy_from_slice(packet);
        self.seal(at, packet.len());
    }

    /// Sends what is in the batch.
    pub(crate) fn flush(&mut self, socket: &UdpSocket, state: &UdpSocketState) {
        // What the socket does not take is lost, as on any link.
        if self.count == 1 {
            let _ = socket.send(&self.buffer[..self.used]);
        } else if self.count > 1 {
            let contents = &self.buffer[..self.used];
            let segment_size = Some(self.segment);
            let batch = Transmit { destination: self.peer, ecn: None, contents, segment_size, src_ip: None };
            let _ = state.try_send(socket.into(), &batch);
        }
        (self.used, self.count) = (0, 0);
    }

    fn cut(&mut self, packet: &[u8], size: usize, socket: &UdpSocket, state: &UdpSocketState) {
        let at = usize::from(packet[0] & 15) * 4;
        let (header, payload) = packet.split_at(at + usize::from(packet[at + 12] >> 4) * 4);
        let id = u16::from_be_bytes([header[4], header[5]]);
        let sequence = u32::from_be_bytes([header[at + 4], header[at + 5], header[at + 6], header[at + 7]]);
        let last = payload.len().div_ceil(size) - 1;
        for (index, part) in payload.chunks(size).enumerate() {
            let length = header.len() + part.len();
            let place = self.room(length, socket, state);
            let segment = &mut self.buffer[place..place + length];
            segment[..header.len()].copy_from_slice(header);
            segment[header.len()..].copy_from_slice(part);
            segment[4..6].copy_from_slice(&id.wrapping_add(index as u16).to_be_bytes());
            checksum::finish_ipv4(segment, at);
            let sequence = sequence.wrapping_add((index * size) as u32);
            segment[at + 4..at + 8].copy_from_slice(&sequence.to_be_bytes());
            if index != last {
                segment[at + 13] &= !0x09; // FIN and PSH
            }
            segment[at + 16..at + 18].fill(0);
            let pseudo = checksum::pseudo_header(segment, length - at);
            let finished = !checksum::fold(checksum::sum(&segment[at..]) + pseudo);
            segment[at + 16..at + 18].copy_from_slice(&finished.to_ne_bytes());
            self.seal(place, length);
        }
    }

    /// Where a packet of that many bytes is to be written.
    fn room(&mut self, length: usize, socket: &UdpSocket, state: &UdpSocketState) -> usize {
        let sealed = length + 2 * HEAD;
        let is_ended = !self.used.is_multiple_of(self.segment.max(1));
        if self.count > 0 && (sealed > self.segment || self.count == MOST_SEGMENTS || is_ended) {
            self.flush(socket, state);
        }
        if self.count == 0 {
            self.segment = sealed;
        }
        let at = self.used + HEAD;
        self.used += sealed;
        self.count += 1;
        at
    }

    fn seal(&mut self, at: usize, length: usize) {
        self.buffer[at - 8..at].copy_from_slice(&self.counter.to_le_bytes());
        let packet = &mut self.buffer[at..at + length];
        if let Ok(tag) = self.key.seal_in_place_separate_tag(nonce(self.counter), Aad::empty(), packet) {
            self.buffer[at + length..at + length + HEAD].copy_from_slice(tag.as_ref());
        }
        self.counter += 1;
    }
}
