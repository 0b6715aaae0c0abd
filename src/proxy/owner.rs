//! Which user a loopback client is, as the kernel's socket table says.

use std::io;
use std::net::SocketAddr;

use platform::socket_owner::{tcp_owner, udp_owner};

use crate::access::Caller;

/// Whose a client's connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// This user's.
    User(Caller),
    /// Nobody has it any more.
    Nobody,
    /// The system did not say, mostly for want of descriptors.
    Unknown,
}

/// Whose the client at `peer` of a connection to `server` is.
pub(super) fn of_tcp(peer: SocketAddr, server: SocketAddr) -> Owner {
    owner(tcp_owner(peer, server))
}

/// Whose the socket is that sends from `source`.
pub(super) fn of_udp(source: SocketAddr) -> Owner {
    owner(udp_owner(source))
}

impl Owner {
    /// The user, if there is one.
    pub(super) fn caller(self) -> Option<Caller> {
        match self {
            Self::User(caller) => Some(caller),
            Self::Nobody | Self::Unknown => None,
        }
    }
}

fn owner(found: io::Result<Option<u32>>) -> Owner {
    match found {
        Ok(Some(uid)) => Owner::User(Caller { uid }),
        Ok(None) => Owner::Nobody,
        Err(error) => {
            tracing::warn!(%error, "failed to learn whose a connection to the proxies is: it is refused");
            Owner::Unknown
        }
    }
}
