//! Which user a loopback client is, as the kernel's socket table says.

use std::io;
use std::net::SocketAddr;

use platform::socket_owner::{tcp_owner, udp_owner};

use crate::access::Caller;

/// The user of the client at `peer` of a connection to `server`; `None` if nobody owns it any more.
pub(super) fn of_tcp(peer: SocketAddr, server: SocketAddr) -> Option<Caller> {
    caller(tcp_owner(peer, server))
}

/// The user of the socket that sends from `source`.
pub(super) fn of_udp(source: SocketAddr) -> Option<Caller> {
    caller(udp_owner(source))
}

fn caller(owner: io::Result<Option<u32>>) -> Option<Caller> {
    match owner {
        Ok(uid) => uid.map(|uid| Caller { uid }),
        Err(error) => {
            tracing::warn!(%error, "failed to learn whose a connection to the proxies is: it is refused");
            None
        }
    }
}
