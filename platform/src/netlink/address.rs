//! Addresses of links: adding our own, listing all.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressMessage},
};
use serde::{Deserialize, Serialize};

use super::{Netlink, connection::Dump};
use crate::{Error, Family, IpPrefix};

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Index of the link.
    pub link: u32,
    /// The address itself.
    pub address: IpAddr,
    /// The network it says it is in.
    pub network: IpPrefix,
}

impl Netlink {
    /// Gives a link an address (/32 or /128), without a prefix route and without duplicate detection.
    ///
    /// # Errors
    /// No such link, no CAP_NET_ADMIN, IPv6 switched off on the link (EACCES).
    pub fn add_address(&mut self, link: u32, address: IpAddr) -> Result<(), Error> {
        let mut flags = AddressFlags::Noprefixroute;
        if address.is_ipv6() {
            // A TUN has no neighbours that could hold the same address (RFC 4862, 5.4).
            flags |= AddressFlags::Nodad;
        }
        let mut message = message(link, address);
        message.attributes.push(AddressAttribute::Flags(flags));
        match self.change(&RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL) {
            Ok(()) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            Err(source) => Err(Error::system("add", "address", address, source)),
        }
    }

    /// Takes an address (/32 or /128) from a link; answers whether it had it.
    ///
    /// # Errors
    /// No CAP_NET_ADMIN.
    pub fn delete_address(&mut self, link: u32, address: IpAddr) -> Result<bool, Error> {
        match self.change(&RouteNetlinkMessage::DelAddress(message(link, address)), 0) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV)) => {
                Ok(false)
            }
            Err(source) => Err(Error::system("remove", "address", address, source)),
        }
    }

    /// All addresses of all links.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        Ok(self.dump_addresses()?.items)
    }

    pub(super) fn dump_addresses(&mut self) -> Result<Dump<Address>, Error> {
        self.dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()), read)
            .map_err(|source| Error::system("list", "addresses", "all", source))
    }
}

fn message(link: u32, address: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = Family::of(address).to_netlink();
    message.header.prefix_len = IpPrefix::host(address).length();
    message.header.index = link;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    message
}

/// Reads a message of the "new" kind; those that take away are made one before.
pub(crate) fn read(message: RouteNetlinkMessage) -> Option<Address> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    let mut remote = None;
    let mut local = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(address) => remote = Some(*address),
            AddressAttribute::Local(address) => local = Some(*address),
            _ => {}
        }
    }
    // On a point-to-point link the network is the peer's, and "local" is the address (rtnetlink(7)).
    let network = IpPrefix::new(remote.or(local)?, message.header.prefix_len).ok()?;
    Some(Address { link: message.header.index, address: local.or(remote)?, network })
}
