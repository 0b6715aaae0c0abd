//! What a flow leads to: the name is resolved anew for each flow, and what must not be dialed is left out.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};

use crate::config::Prefix;
use crate::gateway::access::Service;
use crate::gateway::addresses::{Addresses, Named};
use crate::gateway::forbidden::forbidden;
use crate::gateway::own_addresses::OwnAddresses;
use crate::gateway::roster::{PeerFacts, Roster};
use crate::gateway::upstream;

/// Where a flow is dialed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name, if the peer asked for one.
    pub name: Option<Arc<str>>,
    /// What may be dialed, IPv4 first; not empty.
    pub addresses: Vec<IpAddr>,
}

/// Why a flow is not dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoTarget {
    /// The right was taken away since the name was answered.
    #[error("not_allowed")]
    NotAllowed,
    /// Only addresses that must not be dialed stand behind it.
    #[error("forbidden_address")]
    Forbidden,
    /// The name has no address any more.
    #[error("name_not_found")]
    NotFound,
    /// No DNS server answers.
    #[error("dns_failure")]
    NameServer,
}

impl NoTarget {
    /// A stable code for the audit.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::Forbidden => "forbidden_address",
            Self::NotFound => "name_not_found",
            Self::NameServer => "dns_failure",
        }
    }
}

/// Knows the servers of names, and the gateway's own addresses. Clones share what they learn.
#[derive(Debug, Clone, Default)]
pub struct Lookout {
    own: OwnAddresses,
    system: Arc<[SocketAddr]>,
}

impl Lookout {
    /// With the DNS servers that the system names now.
    pub fn of_system() -> Self {
        Self { own: OwnAddresses::default(), system: upstream::of_system().into() }
    }

    /// The servers that names are asked of.
    pub fn servers<'a>(&'a self, roster: &'a Roster) -> &'a [SocketAddr] {
        if roster.config.dns.is_empty() { &self.system } else { &roster.config.dns }
    }

    /// Those of `addresses` that may be dialed for the peer and the service (any service when none is given): not the
    /// gateway's own network, unless an application of the peer lists that very address or a range within.
    pub fn open(
        &self,
        roster: &Roster,
        peer: &PeerFacts,
        addresses: &[IpAddr],
        service: Option<Service>,
        now: Instant,
    ) -> Vec<IpAddr> {
        let Ok(own) = self.own.list(now) else { return Vec::new() };
        let inner = roster.config.inner_ranges();
        let is_open = |address: &IpAddr| match forbidden(*address, &own, &inner) {
            None => true,
            Some((_, range)) => is_listed(roster, peer, *address, range, service),
        };
        let mut open: Vec<IpAddr> = addresses.iter().copied().filter(is_open).collect();
        open.sort_by_key(IpAddr::is_ipv6);
        open
    }

    /// Where a flow of a peer is dialed.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn target(
        &self,
        table: &Mutex<Addresses>,
        roster: &Roster,
        peer: &PeerFacts,
        destination: IpAddr,
        service: Service,
    ) -> Result<Target, NoTarget> {
        let named = {
            let table = table.lock().unwrap_or_else(PoisonError::into_inner);
            table.get(roster, destination)
        };
        let (name, found) = match named {
            Some(named) if is_still(roster, peer, &named) => {
                let found = self.resolve(roster, &named.name).await?;
                (Some(named.name), found)
            }
            Some(_) => return Err(NoTarget::NotAllowed),
            None => {
                let listed = roster.access.listing(&peer.applications, destination, Some(service));
                listed.ok_or(NoTarget::NotAllowed)?;
                (None, vec![destination])
            }
        };
        let addresses = self.open(roster, peer, &found, Some(service), Instant::now());
        if addresses.is_empty() { Err(NoTarget::Forbidden) } else { Ok(Target { name, addresses }) }
    }

    /// All addresses of a name, of both families; asked for side by side.
    async fn resolve(&self, roster: &Roster, name: &str) -> Result<Vec<IpAddr>, NoTarget> {
        let name = Name::from_str(&format!("{name}.")).map_err(|_| NoTarget::NotFound)?;
        let servers = self.servers(roster);
        let ask = async |kind| upstream::ask(servers, &Query::query(name.clone(), kind)).await;
        let (four, six) = tokio::join!(ask(RecordType::A), ask(RecordType::AAAA));
        if four.is_err() && six.is_err() {
            return Err(NoTarget::NameServer);
        }
        let answers = [four, six].into_iter().flatten().flat_map(|answer| answer.answers);
        let found: Vec<IpAddr> = answers.filter_map(|record| record.data.ip_addr()).collect();
        if found.is_empty() { Err(NoTarget::NotFound) } else { Ok(found) }
    }
}

/// Whether the peer would be told this name under the same applications now.
pub fn is_still(roster: &Roster, peer: &PeerFacts, named: &Named) -> bool {
    roster.access.covering(&peer.applications, &named.name) == named.applications
}

fn is_listed(
    roster: &Roster,
    peer: &PeerFacts,
    address: IpAddr,
    forbidden: Prefix,
    service: Option<Service>,
) -> bool {
    let listed = roster.access.listing(&peer.applications, address, service);
    listed.is_some_and(|range| forbidden.covers(range))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::names::tests::roster;

    #[test]
    fn what_is_forbidden_opens_to_those_who_have_its_very_range() {
        let (lookout, roster) = (Lookout::default(), roster());
        let open = |own: &[u32], address: &str, service| {
            let peer = PeerFacts::new("ada", &[7; 32], own.to_vec());
            !lookout.open(&roster, &peer, &[address.parse().unwrap()], service, Instant::now()).is_empty()
        };
        assert!(open(&[0], "10.0.0.5", None));
        assert!(!open(&[0, 1], "127.0.0.1", None));
        assert!(open(&[2], "127.0.0.1", None) && open(&[2], "127.0.0.1", Some(Service::Tcp(80))));
        assert!(!open(&[2], "127.0.0.1", Some(Service::Tcp(22))) && !open(&[2], "127.0.0.2", None));
        assert!(!open(&[2], "::ffff:127.0.0.1", None));
    }

    #[test]
    fn a_range_that_is_wider_than_the_forbidden_one_does_not_open_it() {
        let lookout = Lookout::default();
        let mut config = roster().config.clone();
        config.applications[2].hosts = vec![crate::config::Host::parse("0.0.0.0/0").unwrap()];
        let roster = Roster::new(config);
        let peer = PeerFacts::new("ada", &[7; 32], vec![2]);
        let addresses = ["127.0.0.1", "169.254.169.254", "10.0.0.5"].map(|text| text.parse().unwrap());
        assert_eq!(lookout.open(&roster, &peer, &addresses, None, Instant::now()), addresses[2..]);
    }

    #[tokio::test]
    async fn an_address_that_no_application_lists_is_not_dialed() {
        let (lookout, roster) = (Lookout::default(), roster());
        let table = Mutex::new(Addresses::new(roster.config.pool, None, 0));
        let peer = PeerFacts::new("ada", &[7; 32], vec![0, 2]);
        let target = async |address: &str, port| {
            lookout.target(&table, &roster, &peer, address.parse().unwrap(), Service::Tcp(port)).await
        };
        assert_eq!(target("10.0.0.5", 80).await, Err(NoTarget::NotAllowed));
        assert_eq!(target("127.0.0.1", 22).await, Err(NoTarget::NotAllowed));
        assert!(target("127.0.0.1", 80).await.is_ok());
    }
}
