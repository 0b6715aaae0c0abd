//! A local port for HTTP: taken when it is free; its connections known by user, and bounded in number, size and time.

mod admission;
mod connection;
pub mod foreign;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

pub use connection::{KeepOpen, serve as serve_connection};

use crate::access::Caller;
use admission::{Admission, Permit};

/// Connections that may wait in the kernel. The browser of a person opens six at a time.
const BACKLOG: u32 = 128;
/// How often a port that is taken is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Wait after an `accept` that failed for want of memory or descriptors, so that it is not tried in a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a port is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It takes connections here.
    Listening(SocketAddr),
    /// It cannot; it is tried again.
    Failed {
        /// The address that was asked for.
        address: SocketAddr,
        /// Why.
        error: String,
    },
}

/// Who is at the other end of a connection; an extension of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Where it came to.
    pub local: SocketAddr,
    /// Whose it is; `None` for another device's, and where the system does not say.
    pub caller: Option<Caller>,
}

impl Client {
    /// Whether it comes from another device.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !self.peer.ip().to_canonical().is_loopback() && self.caller.is_none()
    }
}

/// Serves a port until it is dropped, and with it all connections. A port that is taken is waited for; `tell` hears of
/// each change.
pub async fn serve(address: SocketAddr, router: Router, tell: impl Fn(State)) {
    let listener = listen(address, &tell).await;
    let Ok(local) = listener.local_addr() else { return };
    tell(State::Listening(local));
    let admission = Arc::new(Admission::default());
    let mut connections = JoinSet::new();
    loop {
        // finished connections give their memory back
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, peer)) => {
                let client = client(&stream, peer, local);
                // a user with too many is turned away at once: everybody else is not concerned
                if let Some(permit) = admission.admit(client.caller.map(|caller| caller.uid)) {
                    connections.spawn(welcome(stream, client, permit, router.clone()));
                }
            }
            Err(error) => {
                tracing::debug!(%error, "failed to accept a connection on a local port");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn listen(address: SocketAddr, tell: &impl Fn(State)) -> TcpListener {
    let mut last = None;
    loop {
        match bind(address) {
            Ok(listener) => return listener,
            Err(error) => {
                let error = error.to_string();
                if last.as_ref() != Some(&error) {
                    tell(State::Failed { address, error: error.clone() });
                    last = Some(error);
                }
            }
        }
        sleep(RETRY).await;
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn client(stream: &TcpStream, peer: SocketAddr, listening: SocketAddr) -> Client {
    let _ = stream.set_nodelay(true); // a connection that is gone already ends by itself
    let local = stream.local_addr().unwrap_or(listening);
    let caller = match platform::socket_owner::tcp_owner(peer, local) {
        Ok(uid) => uid.map(|uid| Caller { uid }),
        Err(error) => {
            tracing::debug!(%error, "failed to learn whose a local connection is");
            None
        }
    };
    Client { peer, local, caller }
}

async fn welcome(stream: TcpStream, client: Client, permit: Permit, router: Router) {
    let open = KeepOpen::default();
    connection::serve(stream, router.layer(Extension(client)).layer(Extension(open.clone())), open).await;
    drop(permit);
}
