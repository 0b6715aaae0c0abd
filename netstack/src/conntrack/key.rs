//! How flows are found: by what the device sees, and by what the tunnel carries.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use crate::packet::facts::Facts;

/// A flow as the device sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceKey {
    /// Transport protocol (IANA number).
    pub protocol: u8,
    /// The device's address.
    pub source: IpAddr,
    /// The device's port, or the identifier of an echo.
    pub source_port: u16,
    /// The virtual (or, for a network, real) address.
    pub destination: IpAddr,
    /// The port there; 0 for an echo.
    pub destination_port: u16,
}

/// A flow as the tunnel carries it. Our own address is implied by gateway and family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelKey {
    /// Which gateway.
    pub gateway: u32,
    /// Transport protocol (IANA number).
    pub protocol: u8,
    /// Our port, or the identifier of an echo.
    pub local_port: u16,
    /// The internal host's real address.
    pub remote: IpAddr,
    /// The port there; 0 for an echo.
    pub remote_port: u16,
}

/// In as few and as wide words as hold it: it is looked for with each packet.
impl Hash for DeviceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (source, destination) = (bits(self.source), bits(self.destination));
        let ports = u128::from(self.source_port) << 16 | u128::from(self.destination_port);
        let rest = ports << 8 | u128::from(self.protocol);
        if self.source.is_ipv6() {
            state.write_u128(source);
            state.write_u128(destination);
            state.write_u128(rest);
        } else {
            state.write_u128((source << 32 | destination) << 64 | rest);
        }
    }
}

/// Likewise.
impl Hash for TunnelKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ports = u128::from(self.local_port) << 16 | u128::from(self.remote_port);
        let rest = (ports << 8 | u128::from(self.protocol)) << 32 | u128::from(self.gateway);
        if self.remote.is_ipv6() {
            state.write_u128(bits(self.remote));
            state.write_u128(rest);
        } else {
            state.write_u128(bits(self.remote) << 96 | rest);
        }
    }
}

/// An address as a number.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl DeviceKey {
    /// The key of a packet that the device sent; `None` when it has no ports.
    pub fn outbound(facts: &Facts) -> Option<Self> {
        let (source_port, destination_port) = facts.ports()?;
        let is_echo = !matches!(facts.protocol, crate::packet::TCP | crate::packet::UDP);
        Some(Self {
            protocol: facts.protocol,
            source: facts.source,
            source_port,
            destination: facts.destination,
            destination_port: if is_echo { 0 } else { destination_port },
        })
    }
}

impl DeviceKey {
    /// The key of a packet that the device got, and that it quotes in an ICMP error.
    pub fn quoted(facts: &Facts) -> Option<Self> {
        let (destination_port, source_port) = facts.ports()?;
        let is_echo = !matches!(facts.protocol, crate::packet::TCP | crate::packet::UDP);
        Some(Self {
            protocol: facts.protocol,
            source: facts.destination,
            source_port,
            destination: facts.source,
            destination_port: if is_echo { 0 } else { destination_port },
        })
    }
}

impl TunnelKey {
    /// The key of a packet that came from `gateway`; `None` when it has no ports.
    pub fn inbound(gateway: u32, facts: &Facts) -> Option<Self> {
        let (remote_port, local_port) = facts.ports()?;
        Some(Self::of(gateway, facts, facts.source, remote_port, local_port))
    }

    /// The key of a packet of ours that an ICMP error from `gateway` quotes.
    pub fn quoted(gateway: u32, facts: &Facts) -> Option<Self> {
        let (local_port, remote_port) = facts.ports()?;
        Some(Self::of(gateway, facts, facts.destination, remote_port, local_port))
    }

    fn of(gateway: u32, facts: &Facts, remote: IpAddr, remote_port: u16, local_port: u16) -> Self {
        let is_echo = !matches!(facts.protocol, crate::packet::TCP | crate::packet::UDP);
        let remote_port = if is_echo { 0 } else { remote_port };
        Self { gateway, protocol: facts.protocol, local_port, remote, remote_port }
    }
}
