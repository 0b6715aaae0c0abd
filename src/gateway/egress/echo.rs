//! Echoes (ping): asked by a socket of the kernel's, and answered to the peer under its own number.

mod message;
mod socket;

use std::sync::Arc;

use netstack::gateway::{Close, FlowFacts, FlowId};
use tokio::sync::mpsc;

use super::{Shared, tcp};
use crate::gateway::access::Service;
use crate::gateway::job::{Dialed, Order};
use crate::gateway::roster::PeerFacts;
use socket::EchoSocket;

/// Requests of one flow that may wait while the name is resolved.
pub(super) const QUEUE: usize = 8;

/// Carries requests out and answers back until the engine says that the flow is over.
pub(super) async fn carry(
    shared: Shared,
    flow: FlowId,
    facts: FlowFacts,
    peer: Arc<PeerFacts>,
    mut requests: mpsc::Receiver<(u16, Vec<u8>)>,
) {
    let names = &shared.names;
    let destination = facts.destination.ip();
    let target =
        names.lookout.target(&names.addresses, &shared.roster, &peer, destination, Service::Echo).await;
    let target = match target {
        Ok(target) => target,
        Err(why) => return shared.close(flow, Close::Prohibited, why.code(), None).await,
    };
    let Some(address) = target.addresses.iter().find(|address| address.is_ipv4() == destination.is_ipv4())
    else {
        return shared.close(flow, Close::Unreachable, "name_not_found", target.name).await;
    };
    let socket = match EchoSocket::open(*address) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::debug!("failed to open a socket for echoes: {error}");
            return shared.close(flow, Close::Prohibited, "echo_not_permitted", target.name).await;
        }
    };
    let dialed = Dialed { name: target.name.clone(), address: *address };
    shared.order(Order::Dialed(flow, dialed)).await;
    loop {
        tokio::select! {
            request = requests.recv() => {
                let Some((sequence, payload)) = request else { return };
                let _ = socket.send(sequence, &payload); // lost, as on any network
            }
            reply = socket.receive() => match reply {
                Ok((sequence, payload)) => shared.order(Order::EchoReply(flow, sequence, payload)).await,
                Err(error) => {
                    let (how, code) = tcp::explain(&error);
                    return shared.close(flow, how, code, target.name).await;
                }
            },
        }
    }
}
