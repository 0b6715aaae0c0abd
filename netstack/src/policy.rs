//! What the datapath may let pass: gateways, grants and networks, as one immutable snapshot.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::packet;

/// An address range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// Its first address; bits behind `length` do not count.
    pub address: IpAddr,
    /// How many leading bits are fixed.
    pub length: u8,
}

impl Prefix {
    /// Whether `address` lies in the range; never across families.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                same_bits(u128::from(ours.to_bits()) << 96, u128::from(theirs.to_bits()) << 96, self.length)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                same_bits(ours.to_bits(), theirs.to_bits(), self.length)
            }
            _ => false,
        }
    }
}

fn same_bits(a: u128, b: u128, length: u8) -> bool {
    length == 0 || (a ^ b) >> (128 - u32::from(length).min(128)) == 0
}

/// What the datapath knows of a gateway; its index in [`Policy::gateways`] is its id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gateway {
    /// Our IPv4 address inside the tunnel.
    pub ipv4: Option<Ipv4Addr>,
    /// Our IPv6 address inside the tunnel.
    pub ipv6: Option<Ipv6Addr>,
    /// What may be reached through it, and what may come from it.
    pub allowed_ips: Vec<Prefix>,
    /// Hosts behind it that may answer an echo, the likeliest first: the path is measured with them; none: it is not.
    pub probe_targets: Vec<IpAddr>,
}

impl Gateway {
    /// Our address inside the tunnel, of the family of `peer`.
    pub fn local_address(&self, peer: IpAddr) -> Option<IpAddr> {
        match peer {
            IpAddr::V4(_) => self.ipv4.map(IpAddr::V4),
            IpAddr::V6(_) => self.ipv6.map(IpAddr::V6),
        }
    }

    /// Whether `address` is one that the tunnel may carry.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.allowed_ips.iter().any(|prefix| prefix.contains(address))
    }
}

/// Transport protocols that an application can be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6 echo.
    Icmp,
}

impl Protocol {
    /// By IANA number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            packet::TCP => Some(Self::Tcp),
            packet::UDP => Some(Self::Udp),
            packet::ICMP | packet::ICMPV6 => Some(Self::Icmp),
            _ => None,
        }
    }

    /// Its IANA number; ICMP has one a family.
    pub fn number(self, is_ipv6: bool) -> u8 {
        match self {
            Self::Tcp => packet::TCP,
            Self::Udp => packet::UDP,
            Self::Icmp if is_ipv6 => packet::ICMPV6,
            Self::Icmp => packet::ICMP,
        }
    }
}

/// A range of ports of a protocol; ICMP has none and ignores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// The protocol.
    pub protocol: Protocol,
    /// First port.
    pub first: u16,
    /// Last port, included.
    pub last: u16,
}

/// An application within a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its number in the root's list.
    pub id: u32,
    /// What it may be reached on.
    pub ports: Vec<Ports>,
}

/// The applications that share a destination; its index in [`Policy::grants`] is its id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// In order of configuration; the first that allows a port names the flow.
    pub applications: Vec<Application>,
}

/// An application that is a range of real addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The range.
    pub prefix: Prefix,
    /// Through which gateway.
    pub gateway: u32,
    /// Under which grant.
    pub grant: u32,
}

/// Everything the datapath enforces. Default: nothing passes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Gateways by id.
    pub gateways: Vec<Gateway>,
    /// Grants by id.
    pub grants: Vec<Grant>,
    /// Ranges of real addresses.
    pub networks: Vec<Network>,
    /// Applications, by id and in ascending order, that this device may not use now, whatever their grants say.
    pub withheld: Vec<u32>,
    /// Nothing passes, whatever else is granted: disconnected, or an error state.
    pub is_blocked: bool,
}

impl Policy {
    /// Which application allows `protocol` to `port` under `grant`, of those that are not withheld.
    pub fn application(&self, grant: u32, protocol: u8, port: u16) -> Option<u32> {
        self.applications(grant, protocol, port).find(|id| self.withheld.binary_search(id).is_err())
    }

    /// Whether only applications that are withheld allow it.
    pub fn is_withheld(&self, grant: u32, protocol: u8, port: u16) -> bool {
        !self.withheld.is_empty()
            && self.application(grant, protocol, port).is_none()
            && self.applications(grant, protocol, port).next().is_some()
    }

    /// All applications that allow it, in order.
    fn applications(&self, grant: u32, protocol: u8, port: u16) -> impl Iterator<Item = u32> {
        let protocol = Protocol::from_number(protocol);
        let allows = move |ports: &Ports| {
            Some(ports.protocol) == protocol
                && (ports.protocol == Protocol::Icmp || (ports.first..=ports.last).contains(&port))
        };
        let granted = self.grants.get(grant as usize).into_iter().flat_map(|grant| &grant.applications);
        granted
            .filter(move |application| application.ports.iter().any(allows))
            .map(|application| application.id)
    }

    /// The most specific network that covers `address`.
    pub fn network(&self, address: IpAddr) -> Option<&Network> {
        let covering = self.networks.iter().filter(|network| network.prefix.contains(address));
        covering.max_by_key(|network| network.prefix.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_contain_by_leading_bits_of_their_family() {
        let prefix = Prefix { address: "10.77.0.0".parse().unwrap(), length: 16 };
        assert!(prefix.contains("10.77.255.255".parse().unwrap()));
        assert!(!prefix.contains("10.78.0.0".parse().unwrap()));
        assert!(!prefix.contains("::ffff:10.77.0.1".parse().unwrap()));
        assert!(Prefix { address: "::".parse().unwrap(), length: 0 }.contains("fd00::1".parse().unwrap()));
    }

    #[test]
    fn the_first_application_that_allows_the_port_names_the_flow() {
        let tcp =
            |id, first, last| Application { id, ports: vec![Ports { protocol: Protocol::Tcp, first, last }] };
        let policy = Policy {
            grants: vec![Grant { applications: vec![tcp(7, 80, 80), tcp(9, 1, 100)] }],
            ..Policy::default()
        };
        assert_eq!(policy.application(0, packet::TCP, 80), Some(7));
        assert_eq!(policy.application(0, packet::TCP, 22), Some(9));
        assert_eq!(policy.application(0, packet::UDP, 80), None);
        assert_eq!(policy.application(1, packet::TCP, 80), None);
    }

    #[test]
    fn what_is_withheld_leaves_the_others_at_the_same_port() {
        let ports = vec![Ports { protocol: Protocol::Tcp, first: 80, last: 80 }];
        let grant =
            Grant { applications: [7, 9].map(|id| Application { id, ports: ports.clone() }).to_vec() };
        let with = |withheld: &[u32]| {
            let policy =
                Policy { grants: vec![grant.clone()], withheld: withheld.to_vec(), ..Policy::default() };
            (policy.application(0, packet::TCP, 80), policy.is_withheld(0, packet::TCP, 80))
        };
        assert_eq!(with(&[]), (Some(7), false));
        assert_eq!(with(&[7]), (Some(9), false));
        assert_eq!(with(&[7, 9]), (None, true));
        let policy = Policy { grants: vec![grant], withheld: vec![7, 9], ..Policy::default() };
        assert!(!policy.is_withheld(0, packet::TCP, 22), "nobody allows that anyway");
    }
}
