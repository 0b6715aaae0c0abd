//! One TCP connection: dialed first, then the peer's is let through, then both are joined.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use netstack::gateway::{Close, FlowFacts, FlowId};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Shared;
use super::accept::Accepted;
use super::buffers::Share;
use crate::dialer::Stream;
use crate::gateway::access::Service;
use crate::gateway::job::{Dialed, Order};
use crate::gateway::roster::PeerFacts;
use crate::relay::{Early, Limits, relay};

/// All addresses of a name together are tried for so long; peers give up later.
const DIAL_PATIENCE: Duration = Duration::from_secs(15);
/// An address is tried for at least so long before the next one.
const LEAST_PATIENCE: Duration = Duration::from_secs(3);
/// How long the peer may take to finish its handshake once it was let through.
const ACCEPT_PATIENCE: Duration = Duration::from_secs(60);
/// How long a flow may rest, as `netstack` counts it too (RFC 5382, REQ-5), and with one side closed.
const LIMITS: Limits =
    Limits { idle: Duration::from_secs(2 * 3600 + 4 * 60), half_closed: Duration::from_secs(1800) };

/// Carries one connection from its SYN to its end.
pub(super) async fn carry(
    shared: Shared,
    flow: FlowId,
    facts: FlowFacts,
    peer: Arc<PeerFacts>,
    accepted: io::Result<Accepted>,
) {
    let service = Service::Tcp(facts.destination.port());
    let names = &shared.names;
    let target =
        names.lookout.target(&names.addresses, &shared.roster, &peer, facts.destination.ip(), service).await;
    let target = match target {
        Ok(target) => target,
        Err(why) => return shared.close(flow, Close::Prohibited, why.code(), None).await,
    };
    let accepted = match accepted {
        Ok(accepted) => accepted,
        Err(_) => return shared.close(flow, Close::Refused, "no_listener", target.name).await,
    };
    let Some(share) = shared.reserve(&peer) else {
        return shared.close(flow, Close::Refused, "buffers_full", target.name).await;
    };
    match dial(&target.addresses, facts.destination.port()).await {
        Ok((far, address)) => {
            share.limit(&far);
            let dialed = Dialed { name: target.name, address };
            shared.order(Order::Admit(flow, dialed)).await;
            join(&shared, flow, accepted, far, &share).await;
        }
        Err(error) => {
            let (how, code) = explain(&error);
            shared.close(flow, how, code, target.name).await;
        }
    }
}

async fn join(shared: &Shared, flow: FlowId, accepted: Accepted, far: TcpStream, share: &Share) {
    match timeout(ACCEPT_PATIENCE, accepted).await {
        Ok(Ok(near)) => {
            if let Stream::Tcp(near) = &near {
                share.limit(near);
            }
            let _ = relay(near, Stream::from(far), Early::default(), LIMITS).await;
        }
        // It never finished its handshake, or another connection has taken its place.
        Ok(Err(_)) | Err(_) => shared.close(flow, Close::Done, "not_accepted", None).await,
    }
}

/// The first address that answers.
async fn dial(addresses: &[IpAddr], port: u16) -> io::Result<(TcpStream, IpAddr)> {
    let share = DIAL_PATIENCE / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut last = io::Error::from(io::ErrorKind::HostUnreachable);
    let attempts = async {
        for address in addresses {
            let attempt = TcpStream::connect(SocketAddr::new(*address, port));
            match timeout(share.max(LEAST_PATIENCE), attempt).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true); // pieces come as the peer sent them
                    return Some((stream, *address));
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        None
    };
    match timeout(DIAL_PATIENCE, attempts).await {
        Ok(Some(connected)) => Ok(connected),
        Ok(None) => Err(last),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// What the peer is told, and the audit.
pub(super) fn explain(error: &io::Error) -> (Close, &'static str) {
    let known = [
        (io::ErrorKind::ConnectionRefused, Close::Refused, "connection_refused"),
        (io::ErrorKind::ConnectionReset, Close::Refused, "connection_reset"),
        (io::ErrorKind::HostUnreachable, Close::Unreachable, "host_unreachable"),
        (io::ErrorKind::NetworkUnreachable, Close::Unreachable, "network_unreachable"),
        (io::ErrorKind::TimedOut, Close::Unreachable, "timed_out"),
    ];
    let found = known.into_iter().find(|(kind, _, _)| *kind == error.kind());
    found.map_or((Close::Unreachable, "dial_failed"), |(_, how, code)| (how, code))
}

impl Shared {
    /// What a flow of this peer may keep in buffers.
    pub(super) fn reserve(&self, peer: &PeerFacts) -> Option<Share> {
        let limits = self.roster.config.limits;
        self.budgets.reserve(&peer.name, limits.buffer_bytes_per_peer, limits.flows_per_peer)
    }

    /// Ends a flow.
    pub(super) async fn close(&self, flow: FlowId, how: Close, code: &'static str, name: Option<Arc<str>>) {
        self.order(Order::Close(flow, how, code, name)).await;
    }

    /// Tells the engine; it may have ended.
    pub(super) async fn order(&self, order: Order) {
        let _ = self.orders.send(order).await;
    }
}
