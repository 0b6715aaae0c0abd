//! One tracked flow: its two faces, its state and how long it may be silent.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::{DeviceKey, FlowFacts, TunnelKey};
use crate::packet::facts::{Tcp, Transport};
use crate::packet::refusal::Reset;

/// A connection that was never answered (RFC 5382, REQ-5: at least 4 minutes once begun; here the device's own SYN retries end sooner).
const TCP_OPENING: Duration = Duration::from_secs(240);
/// An established connection (RFC 5382, REQ-5: at least 2 hours 4 minutes).
const TCP_ESTABLISHED: Duration = Duration::from_secs(2 * 3600 + 4 * 60);
/// A connection that was closed or reset (twice the usual maximum segment lifetime).
const TCP_CLOSED: Duration = Duration::from_secs(60);
/// UDP that was answered (RFC 4787, REQ-5: five minutes recommended).
const UDP_ANSWERED: Duration = Duration::from_secs(300);
/// UDP that was not (RFC 4787, REQ-5: at least two minutes).
const UDP_UNANSWERED: Duration = Duration::from_secs(120);
/// Echo (RFC 5508, REQ-1: at least 60 s).
const ECHO: Duration = Duration::from_secs(60);

/// Half of the sequence space: what is less far ahead is later.
const HALF: u32 = 1 << 31;

/// Who sent a packet of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The device.
    Device,
    /// The internal host.
    Remote,
}

/// How far a TCP connection is, as far as a tracker must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpState {
    /// Only the device has spoken.
    Opening,
    /// Both have.
    Established,
    /// One side has finished.
    HalfClosed(Side),
    /// Both have, or one has reset.
    Closed,
}

/// A flow.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// As the device sees it.
    pub device: DeviceKey,
    /// As the tunnel carries it.
    pub tunnel: TunnelKey,
    /// Our address in the tunnel.
    pub local: IpAddr,
    /// Under which grant it was let pass.
    pub grant: u32,
    /// Which application allowed it.
    pub application: u32,
    /// When its first packet passed.
    pub began_at: Instant,
    /// When a packet last passed.
    pub last_seen: Instant,
    /// Bytes from the device behind the transport header.
    pub sent: u64,
    /// Bytes to the device, likewise.
    pub received: u64,
    /// Whether the internal host has ever answered.
    pub is_answered: bool,
    /// TCP only.
    pub tcp: TcpState,
    /// What the device expects next from the remote end: its last acknowledgement number, or the end of what was
    /// passed to it in order since, which it may acknowledge later.
    pub device_expects: u32,
    /// What the remote end expects next from the device: its last acknowledgement number.
    pub remote_expects: u32,
    /// What the remote end expects once it has all that the device sent in order.
    pub remote_edge: u32,
    /// How often in a row the device sent the first segment that is not acknowledged again, without any progress.
    pub repeats: u8,
    /// Size in bytes of the largest packets that the remote end of a TCP flow was asked to send; 0 before that.
    pub remote_most: u16,
}

impl Flow {
    /// A flow that the device begins.
    pub fn new(
        device: DeviceKey,
        tunnel: TunnelKey,
        local: IpAddr,
        grant: u32,
        application: u32,
        now: Instant,
    ) -> Self {
        let (tcp, is_answered) = (TcpState::Opening, false);
        Self {
            device,
            tunnel,
            local,
            grant,
            application,
            began_at: now,
            last_seen: now,
            sent: 0,
            received: 0,
            is_answered,
            tcp,
            device_expects: 0,
            remote_expects: 0,
            remote_edge: 0,
            repeats: 0,
            remote_most: 0,
        }
    }

    /// Takes note of a packet from `side`, of `payload` bytes behind the transport header. Whether the TCP state is
    /// another one now.
    #[inline]
    pub fn note(&mut self, side: Side, transport: &Transport, payload: usize, now: Instant) -> bool {
        self.last_seen = now;
        match side {
            Side::Device => self.sent += payload as u64,
            Side::Remote => {
                self.received += payload as u64;
                self.is_answered = true;
            }
        }
        match transport {
            Transport::Tcp(tcp) => {
                self.note_numbers(side, tcp, payload);
                let was_closed = self.is_closed();
                let has_changed = self.note_state(side, tcp);
                if has_changed && was_closed {
                    (self.began_at, self.sent, self.received) = (now, 0, 0); // the same ports, another connection
                }
                has_changed
            }
            Transport::Udp { .. }
            | Transport::Echo { .. }
            | Transport::Error
            | Transport::Fragment
            | Transport::Other => false,
        }
    }

    fn note_numbers(&mut self, side: Side, tcp: &Tcp, payload: usize) {
        let counted = payload as u32 + u32::from(tcp.has(Tcp::SYN)) + u32::from(tcp.has(Tcp::FIN));
        let behind = tcp.sequence.wrapping_add(counted);
        match side {
            Side::Device => {
                self.note_repeat(tcp, payload, behind);
                if tcp.has(Tcp::SYN) {
                    self.remote_expects = behind; // until its acknowledgement is seen
                }
                advance(&mut self.remote_edge, tcp, behind);
                if tcp.has(Tcp::ACK) {
                    advance_to(&mut self.device_expects, tcp.acknowledgement);
                }
            }
            Side::Remote => {
                advance(&mut self.device_expects, tcp, behind);
                if tcp.has(Tcp::ACK) {
                    if self.remote_expects != tcp.acknowledgement {
                        self.repeats = 0;
                    }
                    self.remote_expects = tcp.acknowledgement;
                    advance_to(&mut self.remote_edge, tcp.acknowledgement);
                }
            }
        }
    }

    fn note_state(&mut self, side: Side, tcp: &Tcp) -> bool {
        let is_within = tcp.flags & (Tcp::SYN | Tcp::FIN | Tcp::RST) == 0;
        if is_within && self.tcp != TcpState::Opening {
            return false;
        }
        let before = self.tcp;
        self.tcp = match self.tcp {
            _ if tcp.has(Tcp::RST) => TcpState::Closed,
            TcpState::Closed if tcp.has(Tcp::SYN) && side == Side::Device => TcpState::Opening,
            TcpState::HalfClosed(first) if tcp.has(Tcp::FIN) && first != side => TcpState::Closed,
            TcpState::Opening | TcpState::Established if tcp.has(Tcp::FIN) => TcpState::HalfClosed(side),
            TcpState::Opening if side == Side::Remote => TcpState::Established,
            TcpState::Opening => TcpState::Opening,
            TcpState::Established => TcpState::Established,
            TcpState::HalfClosed(first) => TcpState::HalfClosed(first),
            TcpState::Closed => TcpState::Closed,
        };
        self.tcp != before
    }

    fn note_repeat(&mut self, tcp: &Tcp, payload: usize, behind: u32) {
        let was_sent = self.remote_edge.wrapping_sub(behind) < HALF;
        if payload > 0 && tcp.sequence == self.remote_expects && was_sent {
            self.repeats = self.repeats.saturating_add(1);
        }
    }

    /// When it will have been silent for longer than its kind may be.
    pub fn expires_at(&self) -> Instant {
        self.last_seen + self.lifetime()
    }

    /// Whether it has been.
    pub fn is_expired(&self, now: Instant) -> bool {
        self.expires_at() <= now
    }

    /// Whether a full table may forget it: it is closed, or was never answered.
    pub fn is_dispensable(&self) -> bool {
        self.tcp == TcpState::Closed || !self.is_answered
    }

    /// Whether it is a TCP connection that both sides have finished, or one has reset.
    pub fn is_closed(&self) -> bool {
        self.tcp == TcpState::Closed
    }

    /// What is told of it.
    pub fn facts(&self) -> FlowFacts {
        FlowFacts {
            protocol: self.device.protocol,
            source: SocketAddr::new(self.device.source, self.device.source_port),
            destination: SocketAddr::new(self.device.destination, self.device.destination_port),
            remote: SocketAddr::new(self.tunnel.remote, self.tunnel.remote_port),
            gateway: self.tunnel.gateway,
            application: self.application,
            began_at: self.began_at,
            last_seen: self.last_seen,
            sent: self.sent,
            received: self.received,
        }
    }

    /// Whether a TCP connection is open at the other end.
    pub fn is_open_tcp(&self) -> bool {
        self.device.protocol == crate::packet::TCP && self.is_answered && self.tcp != TcpState::Closed
    }

    /// The resets that end a TCP flow exactly (RFC 5961): to the device, and to the remote end.
    pub fn resets(&self) -> Option<(Reset, Reset)> {
        if self.device.protocol != crate::packet::TCP || self.tcp == TcpState::Closed {
            return None;
        }
        let to_device = Reset {
            source: SocketAddr::new(self.device.destination, self.device.destination_port),
            destination: SocketAddr::new(self.device.source, self.device.source_port),
            sequence: self.device_expects,
            acknowledgement: Some(self.remote_expects),
        };
        let to_remote = Reset {
            source: SocketAddr::new(self.local, self.tunnel.local_port),
            destination: SocketAddr::new(self.tunnel.remote, self.tunnel.remote_port),
            sequence: self.remote_expects,
            acknowledgement: Some(self.device_expects),
        };
        Some((to_device, to_remote))
    }

    fn lifetime(&self) -> Duration {
        match (self.device.protocol, self.tcp) {
            (crate::packet::TCP, TcpState::Opening) => TCP_OPENING,
            (crate::packet::TCP, TcpState::Established | TcpState::HalfClosed(_)) => TCP_ESTABLISHED,
            (crate::packet::TCP, TcpState::Closed) => TCP_CLOSED,
            (crate::packet::UDP, _) if self.is_answered => UDP_ANSWERED,
            (crate::packet::UDP, _) => UDP_UNANSWERED,
            _ => ECHO,
        }
    }
}

/// Moves the end of what was passed in order: a segment that begins at or before it and ends behind it.
fn advance(edge: &mut u32, tcp: &Tcp, behind: u32) {
    let begins_in_order = edge.wrapping_sub(tcp.sequence) < HALF;
    if tcp.has(Tcp::SYN) {
        *edge = behind;
    } else if begins_in_order {
        advance_to(edge, behind);
    }
}

/// Moves forward only, in sequence space (RFC 9293, section 3.4).
fn advance_to(edge: &mut u32, to: u32) {
    if to.wrapping_sub(*edge) < HALF {
        *edge = to;
    }
}
