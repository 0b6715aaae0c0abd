//! The reference: what may pass, as what, and for how long, told in the plainest way.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::spec::{Spec, local_address};
use crate::wire::{self, ACK, FIN, RST, SYN, Segment};

/// Ended flows are looked for once a minute: for so long nobody can tell whether one is still known.
const GRACE: Duration = Duration::from_secs(61);

/// A flow as the device sees it: protocol, its address and port, the address and port that it speaks to.
pub type Key = (u8, IpAddr, u16, IpAddr, u16);

/// What a virtual address stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapped {
    /// Through which gateway.
    pub gateway: u32,
    /// The name that was asked for.
    pub name: &'static str,
    /// The internal host's address.
    pub real: IpAddr,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Only the device has spoken.
    Opening,
    /// Both have.
    Open,
    /// One side has finished: true for the device.
    HalfClosed(bool),
    /// It is over.
    Closed,
}

/// A flow that the device began.
#[derive(Debug, Clone)]
pub struct Flow {
    /// As the device sees it.
    pub key: Key,
    /// Through which gateway it goes.
    pub gateway: u32,
    /// The internal host's address.
    pub real: IpAddr,
    /// Our address in the tunnel.
    pub local: IpAddr,
    /// Our port in the tunnel, once it was seen.
    pub local_port: Option<u16>,
    /// When a packet last passed.
    pub last_seen: Duration,
    /// An internal host has answered.
    pub is_answered: bool,
    /// TCP only.
    pub state: State,
    /// How many bytes each side has sent, SYN and FIN included: device, internal host.
    pub sent: (u32, u32),
    /// How many bytes of the internal host the device has had in order, SYN and FIN included.
    pub received: u32,
    /// What the device has acknowledged of them.
    pub acknowledged: u32,
    /// Segments of the host came out of order since.
    pub is_disordered: bool,
    /// It may be another one under the same key: nobody can tell whether it was answered.
    pub is_vague: bool,
    /// How many bytes of the device's the internal host has seen.
    pub seen: u32,
    /// The device has reset it.
    pub is_reset: bool,
    /// ICMP errors about it that the device may get.
    pub errors_due: u32,
}

/// Whether a flow is still known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It must be.
    Yes,
    /// Either way.
    Perhaps,
}

/// What becomes of a packet of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It goes into the tunnel.
    Pass,
    /// A reset, or ICMP "administratively prohibited".
    Prohibit,
    /// ICMP "host unreachable".
    Unreachable,
    /// Nothing is said about it.
    Drop,
}

/// Where a new flow goes: gateway, real address, our address there.
pub type Way = (u32, IpAddr, IpAddr);

/// The reference's memory.
#[derive(Debug, Clone)]
pub struct Reference {
    /// The policy.
    pub spec: Spec,
    /// What virtual addresses stand for.
    pub mappings: BTreeMap<IpAddr, Mapped>,
    /// All flows there ever were, by number.
    pub flows: Vec<Flow>,
    /// The numbers of those that may still be known.
    pub live: BTreeMap<Key, usize>,
}

impl Reference {
    /// Nothing is known, everything is granted.
    pub fn new() -> Self {
        Self { spec: Spec::OPEN, mappings: BTreeMap::new(), flows: Vec::new(), live: BTreeMap::new() }
    }

    /// Which grant lets the device speak to an address, and through which gateway to which real address.
    pub fn destination(&self, address: IpAddr) -> Result<(u32, IpAddr, u32), Verdict> {
        if !is_virtual(address) {
            let (gateway, grant) = self.spec.network(address).ok_or(Verdict::Drop)?;
            return Ok((gateway, address, grant));
        }
        let mapped = self.mappings.get(&address).ok_or(Verdict::Prohibit)?;
        match self.spec.granted(mapped.name) {
            Some((gateway, grant))
                if gateway == mapped.gateway && self.spec.reaches(gateway, mapped.real) =>
            {
                Ok((gateway, mapped.real, grant))
            }
            Some(_) | None => Err(Verdict::Prohibit),
        }
    }

    /// Where the first packet of a flow goes.
    pub fn begin(&self, key: Key, segment: Option<Segment>) -> Result<Way, Verdict> {
        let (gateway, real, grant) = self.destination(key.3)?;
        if self.spec.is_blocked() || !self.spec.allows(grant, key.0, key.4) {
            return Err(Verdict::Prohibit);
        }
        if !self.spec.reaches(gateway, real) {
            return Err(Verdict::Drop);
        }
        let local = local_address(gateway, real).ok_or(Verdict::Drop)?;
        match segment.map(|segment| segment.flags) {
            Some(flags) if flags & RST != 0 => Err(Verdict::Drop),
            Some(flags) if flags & (SYN | ACK | FIN) != SYN => Err(Verdict::Prohibit),
            Some(_) | None => Ok((gateway, real, local)),
        }
    }

    /// The flow of a key, if it may still be known.
    pub fn known(&mut self, key: &Key, now: Duration) -> Option<(usize, Known)> {
        let id = *self.live.get(key)?;
        let silent = now.saturating_sub(self.flows[id].last_seen);
        let (least, most) = self.flows[id].life();
        if silent >= most + GRACE {
            self.live.remove(key);
            return None;
        }
        Some((id, if silent < least { Known::Yes } else { Known::Perhaps }))
    }

    /// Takes note of a new flow, and gives its number.
    pub fn add(&mut self, key: Key, (gateway, real, local): Way, now: Duration) -> usize {
        let id = self.flows.len();
        self.flows.push(Flow {
            key,
            gateway,
            real,
            local,
            local_port: None,
            last_seen: now,
            is_answered: false,
            state: State::Opening,
            sent: (0, 0),
            received: 0,
            acknowledged: 0,
            is_disordered: false,
            is_vague: false,
            seen: 0,
            is_reset: false,
            errors_due: 0,
        });
        self.live.insert(key, id);
        id
    }

    /// Whether an open flow keeps its right under the policy of now: it could begin anew, and would go the same way.
    pub fn keeps_right(&self, id: usize) -> bool {
        let flow = &self.flows[id];
        self.begin(flow.key, None) == Ok((flow.gateway, flow.real, flow.local))
    }

    /// The flow that a packet from a gateway's inside belongs to.
    pub fn inbound(
        &mut self,
        gateway: u32,
        protocol: u8,
        local_port: u16,
        remote: (IpAddr, u16),
        now: Duration,
    ) -> Option<(usize, Known)> {
        let is_it = |flow: &Flow| {
            flow.gateway == gateway
                && flow.key.0 == protocol
                && flow.local_port == Some(local_port)
                && (flow.real, flow.key.4) == remote
        };
        let key = self.live.iter().find(|(_, id)| is_it(&self.flows[**id])).map(|(key, _)| *key)?;
        self.known(&key, now)
    }

    /// How many flows there must be at least, and may be at most.
    pub fn count(&mut self, now: Duration) -> (usize, usize) {
        let keys: Vec<Key> = self.live.keys().copied().collect();
        let known: Vec<Known> =
            keys.iter().filter_map(|key| self.known(key, now)).map(|(_, known)| known).collect();
        (known.iter().filter(|known| **known == Known::Yes).count(), known.len())
    }
}

impl Flow {
    /// How long it may be silent (RFC 5382, RFC 4787, RFC 5508): at least, and at most.
    fn life(&self) -> (Duration, Duration) {
        let life = Duration::from_secs(match (self.key.0, self.state) {
            (wire::TCP, State::Opening) => 240,
            (wire::TCP, State::Open | State::HalfClosed(_)) => 2 * 3_600 + 4 * 60,
            (wire::TCP, State::Closed) => 60,
            (wire::UDP, _) if self.is_answered => 300,
            (wire::UDP, _) => 120,
            _ => 60,
        });
        let is_udp = self.is_vague && self.key.0 == wire::UDP;
        if is_udp { (Duration::from_secs(120), Duration::from_secs(300)) } else { (life, life) }
    }

    /// The device has had bytes of the internal host, from which to which.
    pub fn receive(&mut self, from: u32, to: u32) {
        if from <= self.received {
            self.received = self.received.max(to);
        } else {
            self.is_disordered = true;
        }
    }

    /// A packet of it passed.
    pub fn note(&mut self, is_device: bool, segment: Option<Segment>, now: Duration) {
        self.last_seen = now;
        self.is_answered |= !is_device;
        let Some(flags) = segment.map(|segment| segment.flags) else { return };
        self.is_reset |= is_device && flags & RST != 0;
        self.state = match self.state {
            _ if flags & RST != 0 => State::Closed,
            State::Closed if flags & SYN != 0 && is_device => State::Opening,
            State::Closed => State::Closed,
            State::HalfClosed(first) if flags & FIN != 0 && first != is_device => State::Closed,
            State::HalfClosed(first) => State::HalfClosed(first),
            State::Opening | State::Open if flags & FIN != 0 => State::HalfClosed(is_device),
            State::Opening if is_device => State::Opening,
            State::Opening | State::Open => State::Open,
        };
    }
}

/// Whether an address is one of the pool of virtual ones.
pub fn is_virtual(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[..2] == [100, 64],
        IpAddr::V6(v6) => v6.segments()[..3] == [0xfd99, 0, 0],
    }
}
