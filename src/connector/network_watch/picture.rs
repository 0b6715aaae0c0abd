//! How the device reaches the rest of the world: compared before and after a change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use platform::netlink::{Link, Netlink, Way};
use platform::socket_protect::FWMARK;

/// What stands for all that is not known by its address, such as gateways whose names are not resolved: addresses of
/// documentation (RFC 5737, RFC 3849), to which nothing is sent.
const STAND_INS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// The way to each destination; `None`: there is none, or its link has no carrier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Picture {
    ways: BTreeMap<IpAddr, Option<Way>>,
}

impl Picture {
    /// Looks at the ways that datagrams to these gateways take.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub(crate) fn take(
        netlink: &mut Netlink,
        links: &[Link],
        gateways: &BTreeSet<IpAddr>,
    ) -> Result<Self, platform::Error> {
        let is_running = |way: &Way| {
            links.iter().any(|link| link.index == way.link && link.up && (link.running || link.loopback))
        };
        let mut ways = BTreeMap::new();
        for destination in gateways.iter().copied().chain(STAND_INS) {
            let way = netlink.way_to(destination, FWMARK)?;
            ways.insert(destination, way.filter(is_running));
        }
        Ok(Self { ways })
    }

    /// Whether a destination of both is reached in another way than before.
    pub(crate) fn differs(&self, before: &Self) -> bool {
        let other = |(destination, way): (&IpAddr, &Option<Way>)| {
            before.ways.get(destination).is_some_and(|former| former != way)
        };
        self.ways.iter().any(other)
    }

    /// Whether nothing can be reached at all.
    pub(crate) fn is_offline(&self) -> bool {
        self.ways.values().all(Option::is_none)
    }

    /// The links that the ways take.
    pub(crate) fn links(&self) -> Vec<u32> {
        let links: BTreeSet<u32> = self.ways.values().flatten().map(|way| way.link).collect();
        links.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(ways: &[(&str, Option<(u32, &str)>)]) -> Picture {
        let way = |(link, source): (u32, &str)| Way { link, gateway: None, source: source.parse().ok() };
        let ways = ways.iter().map(|(address, taken)| (address.parse().unwrap(), taken.map(way)));
        Picture { ways: ways.collect() }
    }

    #[test]
    fn another_link_or_source_is_another_way_and_another_gateway_is_none() {
        let before = picture(&[("203.0.113.1", Some((2, "192.0.2.2"))), ("203.0.113.9", None)]);
        assert!(!before.differs(&before));
        assert!(picture(&[("203.0.113.1", Some((3, "192.0.2.2")))]).differs(&before));
        assert!(picture(&[("203.0.113.1", Some((2, "192.0.2.3")))]).differs(&before));
        assert!(picture(&[("203.0.113.1", None)]).differs(&before));
        assert!(!picture(&[("203.0.113.2", Some((7, "192.0.2.9")))]).differs(&before));
        assert_eq!(before.links(), [2]);
    }

    #[test]
    fn without_any_way_the_device_is_offline() {
        assert!(picture(&[("203.0.113.1", None)]).is_offline());
        assert!(!picture(&[("203.0.113.1", None), ("192.0.2.1", Some((2, "10.0.0.1")))]).is_offline());
    }
}
