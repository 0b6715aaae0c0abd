//! The network inside: its TUN, addresses, default routes, and the way in for every destination.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{Config, settings, wire::Place};
use crate::{
    Error, Family, IpPrefix,
    netlink::{Netlink, Route, Rule, RuleAction},
    tun::{Tun, TunConfig},
};

/// The kernel's main table.
const MAIN_TABLE: u32 = 254;

/// Our table of "every address is this device's own"; any number does, since nobody else is here.
const ACCEPT_TABLE: u32 = 100;

/// Its rule's priority: after the kernel's own addresses (0), before the main table (32766).
const ACCEPT_PRIORITY: u32 = 100;

/// Answers of the kernel where a network has no IPv6.
const NO_IPV6: [i32; 4] = [libc::EACCES, libc::EAFNOSUPPORT, libc::EOPNOTSUPP, libc::EPERM];

/// What stands inside, to be changed later.
pub(super) struct Network {
    netlink: Netlink,
    link: u32,
    addresses: Vec<IpAddr>,
    pub(super) has_ipv6: bool,
}

impl Network {
    /// Makes the TUN and everything around it in the namespace that this process is in.
    pub(super) fn make(config: &Config) -> Result<(Self, Tun), Error> {
        settings::write_all();
        let tun = Tun::open(&TunConfig {
            name_prefix: config.name_prefix.clone(),
            mtu: config.mtu,
            force_plain: config.force_plain,
        })?;
        let mut netlink = Netlink::open()?;
        let loopback = bring_up_loopback(&mut netlink)?;
        if let Some(segments) = config.most_segments {
            // Super-packets are longer without it, which costs a little and breaks nothing.
            let _ = netlink.set_most_segments(tun.index(), segments);
        }
        netlink.bring_up(tun.index())?;
        let mut network = Self { netlink, link: tun.index(), addresses: Vec::new(), has_ipv6: true };
        network.has_ipv6 = network.can_have_ipv6()?;
        network.set_addresses(config.addresses.clone())?;
        if config.accept_any {
            network.accept_any(tun.name(), loopback)?;
        }
        Ok((network, tun))
    }

    /// Takes over what another process has made in the namespace that this one is in now.
    pub(super) fn adopt(place: Place) -> Result<Self, Error> {
        let Place { link, addresses, has_ipv6 } = place;
        let addresses = addresses.into_iter().filter(|address| address.is_ipv4() || has_ipv6).collect();
        Ok(Self { netlink: Netlink::open()?, link, addresses, has_ipv6 })
    }

    /// Puts these addresses in the place of the former ones, whose flows end; all else goes into the TUN.
    pub(super) fn set_addresses(&mut self, addresses: Vec<IpAddr>) -> Result<(), Error> {
        let addresses: Vec<IpAddr> =
            addresses.into_iter().filter(|address| address.is_ipv4() || self.has_ipv6).collect();
        for address in &addresses {
            self.netlink.add_address(self.link, *address)?;
        }
        for family in self.families() {
            let source = addresses.iter().copied().find(|address| Family::of(*address) == family);
            let route = Route::into_link(everything(family), MAIN_TABLE, self.link, source);
            self.netlink.replace_route(&route)?;
        }
        for former in self.addresses.iter().filter(|former| !addresses.contains(former)) {
            self.netlink.delete_address(self.link, *former)?;
        }
        self.addresses = addresses;
        Ok(())
    }

    /// Sets the largest packet of the TUN, in bytes.
    pub(super) fn set_mtu(&mut self, mtu: u16) -> Result<(), Error> {
        self.netlink.set_mtu(self.link, mtu.into())
    }

    fn accept_any(&mut self, tun: &str, loopback: u32) -> Result<(), Error> {
        for family in self.families() {
            self.netlink.replace_route(&Route::local(everything(family), ACCEPT_TABLE, loopback))?;
            let rule = Rule::new(family, ACCEPT_PRIORITY, RuleAction::Lookup(ACCEPT_TABLE));
            self.netlink.add_rule(&Rule { input_link: Some(tun.to_owned()), ..rule })?;
        }
        Ok(())
    }

    fn families(&self) -> impl Iterator<Item = Family> + use<> {
        let has_ipv6 = self.has_ipv6;
        [Family::V4, Family::V6].into_iter().filter(move |family| has_ipv6 || *family == Family::V4)
    }

    /// Tries it with an address for documentation (RFC 3849), since there is no other way to be sure.
    fn can_have_ipv6(&mut self) -> Result<bool, Error> {
        let trial = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
        match self.netlink.add_address(self.link, trial) {
            Ok(()) => self.netlink.delete_address(self.link, trial),
            Err(error) if NO_IPV6.map(Some).contains(&error.errno()) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn bring_up_loopback(netlink: &mut Netlink) -> Result<u32, Error> {
    let Some(loopback) = netlink.links()?.into_iter().find(|link| link.loopback) else {
        return Err(Error::system("set up", "link", "lo", io::Error::from_raw_os_error(libc::ENODEV)));
    };
    netlink.bring_up(loopback.index)?;
    Ok(loopback.index)
}

fn everything(family: Family) -> IpPrefix {
    let unspecified: IpAddr = match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    IpPrefix::new(unspecified, 0).unwrap_or(IpPrefix::host(unspecified))
}
