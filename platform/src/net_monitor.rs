//! Tells when the network may have changed in a way that matters: links, addresses, routes and rules, over netlink.

mod firewall;
mod news;

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use netlink_sys::{Socket, SocketAddr, protocols};

pub use firewall::FirewallMonitor;

use crate::{Error, IpPrefix};

/// The kernel's multicast groups that tell of changes (Linux `rtnetlink.h`).
const GROUPS: [u32; 7] = [
    libc::RTNLGRP_LINK,
    libc::RTNLGRP_IPV4_IFADDR,
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV4_RULE,
    libc::RTNLGRP_IPV6_IFADDR,
    libc::RTNLGRP_IPV6_ROUTE,
    libc::RTNLGRP_IPV6_RULE,
];

/// Datagrams that one [`NetMonitor::drain`] reads: a flood of routes must not hold the caller for ever.
const MOST_DATAGRAMS: usize = 1_024;

/// What is ours, and what must be known of the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interests {
    /// Index of our own link: only what is taken away from it matters.
    pub own_link: u32,
    /// Number of our own table: only what is taken away from it matters.
    pub own_table: u32,
    /// Indices of the links that carry our traffic.
    pub links: Vec<u32>,
    /// A route that overlaps one of these matters; default routes always do.
    pub prefixes: Vec<IpPrefix>,
}

/// What changed since it was last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// A link came, went, or changed its state.
    pub link: bool,
    /// An address came or went.
    pub address: bool,
    /// A route that matters came or went.
    pub route: bool,
    /// A rule came or went.
    pub rule: bool,
    /// A link that carries our traffic went down, or lost an address or its default route, if only for a moment: what
    /// is behind it now may be another network that looks the same.
    pub interrupted: bool,
}

impl Changes {
    /// The kernel told more than there was room for: everything may have changed.
    pub const EVERYTHING: Self =
        Self { link: true, address: true, route: true, rule: true, interrupted: true };

    /// Whether anything changed.
    pub fn any(self) -> bool {
        self != Self::default()
    }

    /// These changes and those.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            link: self.link | other.link,
            address: self.address | other.address,
            route: self.route | other.route,
            rule: self.rule | other.rule,
            interrupted: self.interrupted | other.interrupted,
        }
    }
}

/// A subscription to the kernel's changes in this network namespace; readable when there are some.
pub struct NetMonitor {
    socket: Socket,
}

impl NetMonitor {
    /// Subscribes; changes from now on are told.
    ///
    /// # Errors
    /// The kernel has no netlink, or no descriptor is left.
    pub fn new() -> Result<Self, Error> {
        let socket = subscribe(protocols::NETLINK_ROUTE, &GROUPS);
        let socket = socket.map_err(|source| Error::system("watch", "network", "rtnetlink", source))?;
        Ok(Self { socket })
    }

    /// Takes what waits, and says what of it matters. More may be left: then the descriptor stays readable.
    ///
    /// # Errors
    /// The system's, which ends the subscription.
    pub fn drain(&self, interests: &Interests) -> io::Result<Changes> {
        let mut changes = Changes::default();
        drain(&self.socket, &mut |kind, payload| {
            changes = changes.and(news::read(kind, payload, interests));
        })
        .map(|is_whole| if is_whole { changes } else { Changes::EVERYTHING })
    }
}

impl AsRawFd for NetMonitor {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl std::fmt::Debug for NetMonitor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("NetMonitor").field("descriptor", &self.as_raw_fd()).finish()
    }
}

fn subscribe(protocol: isize, groups: &[u32]) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.set_non_blocking(true)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    for group in groups {
        socket.add_membership(*group)?;
    }
    Ok(socket)
}

/// Visits the messages that wait; false when some were lost (ENOBUFS).
fn drain(socket: &Socket, visit: &mut dyn FnMut(u16, &[u8])) -> io::Result<bool> {
    let mut is_whole = true;
    for _ in 0..MOST_DATAGRAMS {
        match socket.recv_from_full() {
            // only the kernel's word counts, which has the port 0
            Ok((datagram, sender)) if sender.port_number() == 0 => crate::netlink::visit(&datagram, visit),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => is_whole = false,
            Err(error) => return Err(error),
        }
    }
    Ok(is_whole)
}
