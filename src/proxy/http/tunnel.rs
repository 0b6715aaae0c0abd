//! What follows when a connection stops to speak HTTP: octets, both ways.

use std::sync::Arc;

use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Connection;
use crate::dialer::Stream;
use crate::proxy::outbound::{Basis, Opened};
use crate::proxy::shared::FLOW_LIMITS;
use crate::relay::{Early, End, relay};

/// Carries everything between the client, once it has its answer, and `far`.
pub(super) async fn between_client_and(far: Opened, client: OnUpgrade, connection: Arc<Connection>) {
    let Some(near) = plain::<TcpStream>(client).await else { return };
    carry(near, (far.stream, Vec::new()), &far.basis, &connection).await;
}

/// The same when the host has agreed to another protocol.
pub(super) async fn between(client: OnUpgrade, host: OnUpgrade, basis: Basis, connection: Arc<Connection>) {
    let (near, far) = tokio::join!(plain::<TcpStream>(client), plain::<Stream>(host));
    let (Some(near), Some(far)) = (near, far) else { return };
    carry(near, far, &basis, &connection).await;
}

async fn carry<A: End, B: End>(
    near: (A, Vec<u8>),
    far: (B, Vec<u8>),
    basis: &Basis,
    connection: &Connection,
) {
    let early = Early { up: near.1, down: far.1 };
    tokio::select! {
        _ = relay(near.0, far.0, early, FLOW_LIMITS) => {}
        () = connection.client.revoked() => {}
        () = connection.client.shared.outbound.withdrawn(basis) => {}
    }
}

/// The connection below, and what was read of it already; `None` if it ended before.
async fn plain<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    upgrade: OnUpgrade,
) -> Option<(T, Vec<u8>)> {
    let upgraded: Upgraded = upgrade.await.ok()?;
    let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<T>>().ok()?;
    Some((io.into_inner(), read_buf.to_vec()))
}
