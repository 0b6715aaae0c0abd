//! Routes: into our own table, and the list of all tables.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::{
    RouteNetlinkMessage,
    route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType},
};
use serde::{Deserialize, Serialize};

use super::{Netlink, PROTOCOL, connection::Dump};
use crate::{Error, Family, IpPrefix};

/// Answers of the kernel that say that there is no way, or none that is allowed.
const NO_WAY: [i32; 7] = [
    libc::ENETUNREACH,
    libc::EHOSTUNREACH,
    libc::ENETDOWN,
    libc::EACCES,
    libc::EINVAL,
    libc::EAFNOSUPPORT,
    libc::EOPNOTSUPP,
];

/// How packets to one address leave the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Index of the link.
    pub link: u32,
    /// The next hop's address, where it is not on the link itself.
    pub gateway: Option<IpAddr>,
    /// The source address that the kernel takes.
    pub source: Option<IpAddr>,
}

/// A route of one of the kernel's tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where to.
    pub prefix: IpPrefix,
    /// Number of the table; 254 is the main one.
    pub table: u32,
    /// Index of the link, or `None` (several next hops, or none at all).
    pub link: Option<u32>,
    /// The next hop's address, where it is not on the link itself.
    pub gateway: Option<IpAddr>,
    /// The source address that the kernel prefers.
    pub source: Option<IpAddr>,
    /// What becomes of packets.
    pub kind: RouteKind,
}

/// What becomes of packets on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteKind {
    /// They leave by a link.
    Unicast,
    /// They are for this device.
    Local,
    /// They are refused or dropped.
    Refused,
    /// Broadcast, multicast, and everything else.
    Other,
}

impl Route {
    /// A route that leads into a link.
    pub fn into_link(prefix: IpPrefix, table: u32, link: u32, source: Option<IpAddr>) -> Self {
        Self { prefix, table, link: Some(link), gateway: None, source, kind: RouteKind::Unicast }
    }

    /// A route that makes all addresses of a prefix this device's own; `link` is the loopback.
    pub fn local(prefix: IpPrefix, table: u32, link: u32) -> Self {
        Self { prefix, table, link: Some(link), gateway: None, source: None, kind: RouteKind::Local }
    }
}

impl Netlink {
    /// Adds a route, or replaces the one with the same prefix and table.
    ///
    /// # Errors
    /// The link is down or missing, no CAP_NET_ADMIN, a source that is no address of the device.
    pub fn replace_route(&mut self, route: &Route) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRoute(message(route));
        self.change(&message, NLM_F_CREATE | NLM_F_REPLACE)
            .map_err(|source| Error::system("add", "route", route.prefix, source))
    }

    /// Removes a route of ours; answers whether there was one.
    ///
    /// # Errors
    /// No CAP_NET_ADMIN.
    pub fn delete_route(&mut self, route: &Route) -> Result<bool, Error> {
        match self.change(&RouteNetlinkMessage::DelRoute(message(route)), 0) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENOENT | libc::ENODEV)) => {
                Ok(false)
            }
            Err(source) => Err(Error::system("remove", "route", route.prefix, source)),
        }
    }

    /// The routes of all tables and both families.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn routes(&mut self) -> Result<Vec<Route>, Error> {
        Ok(self.dump_routes()?.items)
    }

    /// Asks how the kernel would send packets with this mark to an address; `None`: not at all.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn way_to(&mut self, address: IpAddr, mark: u32) -> Result<Option<Way>, Error> {
        let mut message = RouteMessage::default();
        message.header.address_family = Family::of(address).to_netlink();
        message.header.destination_prefix_length = IpPrefix::host(address).length();
        message.attributes =
            vec![RouteAttribute::Destination(RouteAddress::from(address)), RouteAttribute::Mark(mark)];
        match self.ask(&RouteNetlinkMessage::GetRoute(message)) {
            Ok(answer) => {
                Ok(answer.and_then(read).filter(|route| route.kind != RouteKind::Refused).and_then(way))
            }
            // the kernel's words for "no route", and for a family that it does not have
            Err(error) if NO_WAY.map(Some).contains(&error.raw_os_error()) => Ok(None),
            Err(source) => Err(Error::system("look up", "route", address, source)),
        }
    }

    pub(super) fn dump_routes(&mut self) -> Result<Dump<Route>, Error> {
        self.dump(&RouteNetlinkMessage::GetRoute(RouteMessage::default()), read)
            .map_err(|source| Error::system("list", "routes", "all", source))
    }
}

fn way(route: Route) -> Option<Way> {
    Some(Way { link: route.link?, gateway: route.gateway, source: route.source })
}

fn message(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = Family::of(route.prefix.address()).to_netlink();
    message.header.destination_prefix_length = route.prefix.length();
    message.header.protocol = RouteProtocol::Other(PROTOCOL);
    message.header.kind = kernel_kind(route.kind);
    message.header.scope = scope(route);
    // The header's own field has 8 bits; the attribute carries the whole number (rtnetlink(7)).
    message.header.table = u8::try_from(route.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    message.attributes.push(RouteAttribute::Table(route.table));
    message.attributes.push(RouteAttribute::Destination(RouteAddress::from(route.prefix.address())));
    message.attributes.extend(route.link.map(RouteAttribute::Oif));
    message.attributes.extend(route.gateway.map(|address| RouteAttribute::Gateway(address.into())));
    message.attributes.extend(route.source.map(|address| RouteAttribute::PrefSource(address.into())));
    message
}

/// IPv4 wants "link" for a destination that is reached without a next hop, "host" for this device's own; IPv6 has no
/// scopes.
fn scope(route: &Route) -> RouteScope {
    if route.kind == RouteKind::Local {
        RouteScope::Host
    } else if route.gateway.is_none() && route.prefix.address().is_ipv4() {
        RouteScope::Link
    } else {
        RouteScope::Universe
    }
}

/// Reads a message of the "new" kind; those that take away are made one before.
pub(crate) fn read(message: RouteNetlinkMessage) -> Option<Route> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    let family = Family::from_netlink(message.header.address_family)?;
    let unspecified = match family {
        Family::V4 => IpAddr::from([0; 4]),
        Family::V6 => IpAddr::from([0; 16]),
    };
    let mut destination = unspecified;
    let mut route = Route {
        prefix: IpPrefix::host(unspecified),
        table: u32::from(message.header.table),
        link: None,
        gateway: None,
        source: None,
        kind: kind(message.header.kind),
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = ip(address).unwrap_or(destination),
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Oif(index) => route.link = Some(*index),
            RouteAttribute::Gateway(address) => route.gateway = ip(address),
            RouteAttribute::PrefSource(address) => route.source = ip(address),
            _ => {}
        }
    }
    route.prefix = IpPrefix::new(destination, message.header.destination_prefix_length).ok()?;
    Some(route)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

fn kernel_kind(kind: RouteKind) -> RouteType {
    match kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Local => RouteType::Local,
        RouteKind::Refused => RouteType::Unreachable,
        RouteKind::Other => RouteType::Unspec,
    }
}

fn kind(kind: RouteType) -> RouteKind {
    match kind {
        RouteType::Unicast => RouteKind::Unicast,
        RouteType::Local => RouteKind::Local,
        RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit => RouteKind::Refused,
        _ => RouteKind::Other,
    }
}
