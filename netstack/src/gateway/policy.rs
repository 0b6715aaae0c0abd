//! Who may reach what: peers with their applications, what stands behind an address, and which ports are open.

use std::net::IpAddr;

use foldhash::fast::FixedState;

use super::prefixes::PrefixTable;
use crate::counters::RefusalReason;
use crate::policy::{Ports, Prefix, Protocol};

/// A device that may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Its public key, by which it is known.
    pub public_key: [u8; 32],
    /// A preshared key on top.
    pub preshared_key: Option<[u8; 32]>,
    /// The addresses that it may send from; the most specific prefix of all peers counts, and the first that lists it.
    pub allowed_ips: Vec<Prefix>,
    /// What it may reach, by index in [`Policy::applications`].
    pub applications: Vec<u32>,
}

/// An application: what it may be reached on. Its index in [`Policy::applications`] is its number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Application {
    /// Ports, and whether echo requests are let through.
    pub ports: Vec<Ports>,
}

/// An application that is a range of real addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The range.
    pub prefix: Prefix,
    /// Which application.
    pub application: u32,
}

/// What stands behind an address that the gateway gave out for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Applications of that name; the first that the peer has and that allows the port names the flow.
    pub applications: Vec<u32>,
    /// Kernel egress: the real address; `None`: packets keep the destination, as they do with userspace egress.
    pub real: Option<IpAddr>,
}

/// Everything the gateway enforces but [`Destination`]s. Default: nobody may connect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Devices.
    pub peers: Vec<PeerConfig>,
    /// Applications by number.
    pub applications: Vec<Application>,
    /// Ranges of real addresses; of those that cover an address and belong to a peer's applications the most specific
    /// count.
    pub networks: Vec<Network>,
    /// Ranges that wider networks do not reach into, such as loopback and the gateway's own addresses: only an
    /// application that lists that very range, or one within it, does.
    pub guarded: Vec<Prefix>,
}

/// What may be reached, made for look-ups.
pub(super) struct Rights {
    applications: Vec<Application>,
    networks: PrefixTable<Behind>,
    guarded: PrefixTable<u8>,
    destinations: std::collections::HashMap<IpAddr, Destination, FixedState>,
    seed: u64,
}

/// Applications of a range.
#[derive(Debug, Default)]
struct Behind {
    length: u8,
    applications: Vec<u32>,
}

/// What a peer may do at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) application: u32,
    /// What the inner side is to see as the destination.
    pub(super) real: IpAddr,
}

impl Rights {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            applications: Vec::new(),
            networks: PrefixTable::new(seed),
            guarded: PrefixTable::new(seed),
            destinations: std::collections::HashMap::with_hasher(FixedState::with_seed(seed)),
            seed,
        }
    }

    pub(super) fn replace(
        &mut self,
        applications: Vec<Application>,
        networks: &[Network],
        guarded: &[Prefix],
    ) {
        self.applications = applications;
        self.networks = PrefixTable::new(self.seed);
        for network in networks {
            let behind = self.networks.entry(network.prefix);
            behind.length = network.prefix.length;
            behind.applications.push(network.application);
        }
        self.guarded = PrefixTable::new(self.seed);
        for prefix in guarded {
            *self.guarded.entry(*prefix) = prefix.length;
        }
    }

    /// Whether the address was given out for a name.
    pub(super) fn is_destination(&self, address: IpAddr) -> bool {
        self.destinations.contains_key(&address)
    }

    pub(super) fn destinations(&mut self) -> &mut std::collections::HashMap<IpAddr, Destination, FixedState> {
        &mut self.destinations
    }

    /// Under which application a peer that has `own` (sorted) may send there.
    pub(super) fn grant(
        &self,
        own: &[u32],
        address: IpAddr,
        protocol: Protocol,
        port: u16,
    ) -> Result<Grant, RefusalReason> {
        let (behind, real) = match self.destinations.get(&address) {
            Some(destination) => (&destination.applications, destination.real.unwrap_or(address)),
            None => (self.network(own, address).ok_or(RefusalReason::NoApplication)?, address),
        };
        let mut has_any = false;
        for application in behind.iter().filter(|application| own.binary_search(application).is_ok()) {
            has_any = true;
            if self.allows(*application, protocol, port) {
                return Ok(Grant { application: *application, real });
            }
        }
        Err(if has_any { RefusalReason::PortNotAllowed } else { RefusalReason::NoApplication })
    }

    /// The applications at the most specific range that covers the address and belongs to the peer.
    fn network(&self, own: &[u32], address: IpAddr) -> Option<&Vec<u32>> {
        let least = self.guarded.covering(address).next().copied().unwrap_or(0);
        let is_own = |behind: &&Behind| {
            let mut applications = behind.applications.iter();
            behind.length >= least && applications.any(|application| own.binary_search(application).is_ok())
        };
        self.networks.covering(address).find(is_own).map(|behind| &behind.applications)
    }

    fn allows(&self, application: u32, protocol: Protocol, port: u16) -> bool {
        let allows = |ports: &Ports| {
            ports.protocol == protocol
                && (protocol == Protocol::Icmp || (ports.first..=ports.last).contains(&port))
        };
        self.applications.get(application as usize).is_some_and(|known| known.ports.iter().any(allows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets_for_tests::ip;

    fn rights() -> Rights {
        let tcp = |first, last| Application { ports: vec![Ports { protocol: Protocol::Tcp, first, last }] };
        let network = |address, length, application| Network {
            prefix: Prefix { address: ip(address), length },
            application,
        };
        let mut rights = Rights::new(1);
        rights.replace(
            vec![tcp(443, 443), tcp(1, 65_535), tcp(22, 22)],
            &[
                network("10.0.0.0", 8, 1),
                network("10.1.2.3", 32, 0),
                network("10.1.2.3", 32, 2),
                network("10.66.6.0", 24, 2),
            ],
            &[Prefix { address: ip("10.66.0.0"), length: 16 }],
        );
        let destination = Destination { applications: vec![0, 2], real: Some(ip("10.9.9.9")) };
        rights.destinations().insert(ip("100.64.0.9"), destination);
        rights
    }

    fn granted(own: &[u32], address: &str, port: u16) -> Result<(u32, IpAddr), RefusalReason> {
        let grant = rights().grant(own, ip(address), Protocol::Tcp, port)?;
        Ok((grant.application, grant.real))
    }

    #[test]
    fn a_peer_reaches_its_own_applications_only() {
        assert_eq!(granted(&[0, 2], "100.64.0.9", 22), Ok((2, ip("10.9.9.9"))));
        assert_eq!(granted(&[0], "100.64.0.9", 22), Err(RefusalReason::PortNotAllowed));
        assert_eq!(granted(&[1], "100.64.0.9", 22), Err(RefusalReason::NoApplication));
        assert_eq!(granted(&[], "10.1.2.3", 443), Err(RefusalReason::NoApplication));
        assert_eq!(granted(&[0, 1, 2], "11.0.0.1", 443), Err(RefusalReason::NoApplication));
    }

    #[test]
    fn the_most_specific_range_of_the_peers_own_counts() {
        assert_eq!(granted(&[0, 1, 2], "10.1.2.3", 22), Ok((2, ip("10.1.2.3"))));
        assert_eq!(granted(&[0, 1, 2], "10.1.2.3", 80), Err(RefusalReason::PortNotAllowed));
        assert_eq!(granted(&[1], "10.1.2.3", 80), Ok((1, ip("10.1.2.3"))));
    }

    #[test]
    fn a_wide_range_does_not_reach_into_a_guarded_one() {
        assert_eq!(granted(&[1], "10.66.6.1", 22), Err(RefusalReason::NoApplication));
        assert_eq!(granted(&[1], "10.66.7.1", 22), Err(RefusalReason::NoApplication));
        assert_eq!(granted(&[1, 2], "10.66.6.1", 22), Ok((2, ip("10.66.6.1"))));
        assert_eq!(granted(&[1], "10.67.0.1", 22), Ok((1, ip("10.67.0.1"))));
    }

    #[test]
    fn an_application_opens_its_protocols_only() {
        for protocol in [Protocol::Udp, Protocol::Icmp] {
            let refused = rights().grant(&[1], ip("10.1.2.3"), protocol, 80);
            assert_eq!(refused, Err(RefusalReason::PortNotAllowed));
        }
    }
}
