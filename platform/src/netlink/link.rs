//! Links: up, MTU, removal by name, and the list of all.

use std::io;

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
};
use serde::{Deserialize, Serialize};

use super::{Netlink, connection::Dump};
use crate::Error;

/// A link of the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The kernel's number for it, never used again while the system runs (in practice).
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its driver's kind as the kernel names it (`tun`, `veth`, `bridge`), empty for hardware.
    pub kind: String,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// It has a carrier.
    pub running: bool,
    /// `lo`.
    pub loopback: bool,
}

impl Netlink {
    /// Brings a link up; it is given no IPv6 link-local address, so that it stays silent by itself.
    ///
    /// # Errors
    /// No such link, no CAP_NET_ADMIN.
    pub fn bring_up(&mut self, index: u32) -> Result<(), Error> {
        self.keep_silent(index).map_err(|source| Error::system("set up", "link", index, source))?;
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.set(message).map_err(|source| Error::system("set up", "link", index, source))
    }

    /// Sets the largest packet of a link, in bytes.
    ///
    /// # Errors
    /// No such link, no CAP_NET_ADMIN, an MTU that the driver refuses.
    pub fn set_mtu(&mut self, index: u32, mtu: u32) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.set(message).map_err(|source| Error::system("set MTU of", "link", index, source))
    }

    /// Sets how many segments a super-packet of a link may have.
    ///
    /// # Errors
    /// No such link, no CAP_NET_ADMIN, a number that the kernel refuses.
    pub fn set_most_segments(&mut self, index: u32, segments: u32) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::GsoMaxSegs(segments));
        self.set(message).map_err(|source| Error::system("set segments of", "link", index, source))
    }

    /// Sets how many packets may wait for a link to take them.
    ///
    /// # Errors
    /// No such link, no CAP_NET_ADMIN.
    pub fn set_queue_length(&mut self, index: u32, packets: u32) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::TxQueueLen(packets));
        self.set(message).map_err(|source| Error::system("set queue of", "link", index, source))
    }

    /// Removes the link of this name; answers whether there was one.
    ///
    /// # Errors
    /// No CAP_NET_ADMIN, or a link that cannot be removed.
    pub fn delete_link(&mut self, name: &str) -> Result<bool, Error> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.change(&RouteNetlinkMessage::DelLink(message), 0) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(false),
            Err(source) => Err(Error::system("remove", "link", name, source)),
        }
    }

    /// All links, in the kernel's order.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        Ok(self.dump_links()?.items)
    }

    pub(super) fn dump_links(&mut self) -> Result<Dump<Link>, Error> {
        self.dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()), read)
            .map_err(|source| Error::system("list", "links", "all", source))
    }

    fn keep_silent(&mut self, index: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        message.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]));
        match self.set(message) {
            // The link has no IPv6 at all: as silent as can be.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EINVAL)) => Ok(()),
            other => other,
        }
    }

    fn set(&mut self, message: LinkMessage) -> io::Result<()> {
        self.change(&RouteNetlinkMessage::SetLink(message), 0)
    }
}

/// Reads a message of the "new" kind; those that take away are made one before.
pub(crate) fn read(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: String::new(),
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        running: message.header.flags.contains(LinkFlags::Running),
        loopback: message.header.flags.contains(LinkFlags::Loopback),
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::LinkInfo(info) => link.kind = kind(&info),
            _ => {}
        }
    }
    Some(link)
}

fn kind(info: &[LinkInfo]) -> String {
    let mut kinds = info.iter().filter_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    });
    kinds.next_back().unwrap_or_default()
}
