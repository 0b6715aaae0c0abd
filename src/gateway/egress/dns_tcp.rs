//! Names asked over TCP (RFC 7766): one query after the other on each connection, no faster than over UDP.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dns::tcp_frame::frame_length;
use netstack::gateway::{Close, FlowFacts, FlowId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Shared;
use super::accept::Accepted;
use crate::dialer::Stream;
use crate::gateway::job::{Dialed, Order};
use crate::gateway::names::Reply;
use crate::gateway::roster::PeerFacts;

/// A connection may rest for so long between two queries (RFC 7766 section 6.2.3: a few seconds).
const IDLE: Duration = Duration::from_secs(10);
/// Queries of one connection; then it is closed, and the peer may open another one.
const MOST_QUERIES: u32 = 200;
/// Longest query in bytes, as over UDP: a name, an OPT record and its padding stay far below.
const LARGEST_QUERY: usize = 4096;

/// Serves one connection.
pub(super) async fn serve(
    shared: Shared,
    flow: FlowId,
    facts: FlowFacts,
    peer: Arc<PeerFacts>,
    accepted: io::Result<Accepted>,
) {
    let Ok(accepted) = accepted else {
        return shared.close(flow, Close::Refused, "no_listener", None).await;
    };
    let dialed = Dialed { name: None, address: facts.destination.ip() };
    shared.order(Order::Admit(flow, dialed)).await;
    let Ok(Ok(stream)) = timeout(IDLE, accepted).await else {
        return shared.close(flow, Close::Done, "not_accepted", None).await;
    };
    // However it ends: the connection is closed, and the peer asks again if it wants to.
    let _ = answer_all(&shared, &peer, stream).await;
}

async fn answer_all(shared: &Shared, peer: &PeerFacts, mut stream: Stream) -> io::Result<()> {
    let least = Duration::from_secs(1) / shared.roster.config.limits.queries_per_second_per_peer.max(1);
    for _ in 0..MOST_QUERIES {
        let length = usize::from(timeout(IDLE, stream.read_u16()).await??);
        if length > LARGEST_QUERY {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut query = vec![0; length];
        timeout(IDLE, stream.read_exact(&mut query)).await??;
        let reply = shared.names.answer(&shared.roster, peer, &query, None).await;
        let Some(Reply { payload, destination }) = reply else { return Ok(()) };
        if let Some(given) = destination {
            shared.order(Order::Destination(given, Arc::clone(&shared.roster))).await;
        }
        let length = frame_length(&payload).ok_or(io::ErrorKind::InvalidData)?;
        timeout(IDLE, stream.write_all(&[&length, payload.as_slice()].concat())).await??;
        tokio::time::sleep(least).await;
    }
    Ok(())
}
