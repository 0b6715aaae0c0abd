//! One flow of a peer: its two faces, how far it is, and how long it may be silent.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Limits;
use super::event::{FlowFacts, FlowId};
use crate::conntrack::{self, DeviceKey, Side, TcpState};
use crate::nat::Translation;
use crate::packet::facts::{Facts, Tcp, Transport};
use crate::packet::{TCP, UDP};
use crate::policy::Protocol;

/// The application of connections to the address that names are asked at.
pub(super) const NAMES: u32 = u32::MAX;
/// A SYN that nobody decides on, and a connection that nobody answers, are forgotten after this long: most hosts try for
/// about two minutes, but few people wait so long.
const OPENING: Duration = Duration::from_secs(60);
/// A connection that ended is known for so long, for what is repeated of its end.
const LINGER: Duration = Duration::from_secs(15);
/// The port of DNS.
const DNS: u16 = 53;

/// Half of the sequence space: what is less far ahead is later.
const HALF: u32 = 1 << 31;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its SYN waits for the caller.
    Held(Box<[u8]>),
    /// Packets pass.
    Open,
    /// Its end was told; what is repeated of it passes.
    Ended(Instant),
}

/// How it counts among its peer's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) is_open: bool,
    pub(super) is_half_open: bool,
}

/// A flow.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    pub(super) id: FlowId,
    /// The peer is the device, and its number is that of the tunnel.
    pub(super) tracked: conntrack::Flow,
    pub(super) began: Instant,
    pub(super) up: u64,
    pub(super) down: u64,
    pub(super) stage: Stage,
    pub(super) counted: Counted,
}

impl Flow {
    pub(super) fn peer(&self) -> u32 {
        self.tracked.tunnel.gateway
    }

    /// What the inner side sees of it.
    pub(super) fn inner_key(&self) -> DeviceKey {
        let tunnel = self.tracked.tunnel;
        DeviceKey {
            protocol: tunnel.protocol,
            source: self.tracked.local,
            source_port: tunnel.local_port,
            destination: tunnel.remote,
            destination_port: tunnel.remote_port,
        }
    }

    pub(super) fn facts(&self) -> FlowFacts {
        let DeviceKey { protocol, source, source_port, destination, destination_port } = self.tracked.device;
        FlowFacts {
            peer: self.peer(),
            application: Some(self.tracked.application).filter(|application| *application != NAMES),
            protocol: Protocol::from_number(protocol).unwrap_or(Protocol::Icmp),
            source: SocketAddr::new(source, source_port),
            destination: SocketAddr::new(destination, destination_port),
            began: self.began,
            up: self.up,
            down: self.down,
        }
    }

    pub(super) fn is_tcp(&self) -> bool {
        self.tracked.device.protocol == TCP
    }

    pub(super) fn is_held(&self) -> bool {
        matches!(self.stage, Stage::Held(_))
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    /// What its packets become for the inner side; `None`: they stay as they are.
    pub(super) fn inward(&self) -> Option<Translation> {
        let key = self.inner_key();
        (key != self.tracked.device).then_some(Translation {
            source: key.source,
            destination: key.destination,
            source_port: Some(key.source_port),
            destination_port: None,
        })
    }

    /// What packets of the inner side become for the peer.
    pub(super) fn outward(&self) -> Option<Translation> {
        let key = self.tracked.device;
        (key != self.inner_key()).then_some(Translation {
            source: key.destination,
            destination: key.source,
            source_port: None,
            destination_port: Some(key.source_port),
        })
    }

    /// Takes note of a packet.
    pub(super) fn note(&mut self, side: Side, facts: &Facts, now: Instant) {
        let payload = facts.payload_length();
        match side {
            Side::Device => self.up += payload as u64,
            Side::Remote => self.down += payload as u64,
        }
        let is_stray = |tcp: &Tcp| side == Side::Device && tcp.has(Tcp::RST) && !self.is_in_order(tcp);
        if matches!(&facts.transport, Transport::Tcp(tcp) if is_stray(tcp)) {
            self.tracked.last_seen = now;
            return;
        }
        self.tracked.note(side, &facts.transport, payload, now);
    }

    /// Whether a reset of the peer lies where the other side may take it (RFC 5961, section 3.2): one that it does not
    /// take must not hide the flow from us.
    fn is_in_order(&self, tcp: &Tcp) -> bool {
        let (first, last) = (self.tracked.remote_expects, self.tracked.remote_edge);
        tcp.sequence.wrapping_sub(first) <= last.wrapping_sub(first) && last.wrapping_sub(first) < HALF
    }

    /// How it counts now.
    pub(super) fn counts(&self) -> Counted {
        let is_open = !self.is_ended();
        Counted { is_open, is_half_open: is_open && self.is_tcp() && self.tracked.tcp == TcpState::Opening }
    }

    /// When it is over if nothing comes.
    pub(super) fn expires_at(&self, limits: &Limits) -> Instant {
        let (since, lifetime) = match (&self.stage, self.tracked.device.protocol) {
            (Stage::Ended(since), _) => (*since, LINGER),
            (Stage::Held(_), _) => (self.began, OPENING),
            (Stage::Open, TCP) if self.tracked.tcp == TcpState::Opening => (self.tracked.last_seen, OPENING),
            (Stage::Open, TCP) => (self.tracked.last_seen, limits.tcp_idle),
            (Stage::Open, UDP) if self.tracked.device.destination_port == DNS => {
                (self.tracked.last_seen, limits.dns_idle)
            }
            (Stage::Open, UDP) => (self.tracked.last_seen, limits.udp_idle),
            (Stage::Open, _) => (self.tracked.last_seen, limits.echo_idle),
        };
        since + lifetime
    }
}
