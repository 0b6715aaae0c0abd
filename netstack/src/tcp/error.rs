//! Why a connection cannot be opened.
use std::net::SocketAddr;

/// Errors of [`TcpStack::connect`](super::TcpStack::connect).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// As many flows as [`Limits::max_flows`](super::Limits) are open and none of them can be given up.
    #[error("failed to open TCP flow to `{remote}`: all {max_flows} flows are in use")]
    Full {
        /// The peer that was wanted.
        remote: SocketAddr,
        /// The limit that was reached.
        max_flows: usize,
    },
    /// A flow with the same link, addresses and ports exists; choose another local port.
    #[error("failed to open TCP flow to `{remote}`: `{local}` already has a flow there")]
    InUse {
        /// Our end.
        local: SocketAddr,
        /// The peer that was wanted.
        remote: SocketAddr,
    },
    /// Port 0, an address that is not unicast, or two address families.
    #[error("failed to open TCP flow to `{remote}`: not reachable from `{local}`")]
    Unaddressable {
        /// Our end.
        local: SocketAddr,
        /// The peer that was wanted.
        remote: SocketAddr,
    },
}
