//! A port of the proxies: taken when it is free, and its connections handed out.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use super::shared::{Client, Shared};
use super::{http, owner, pac, socks};

/// Connections that may wait in the kernel: a burst of programs that all start at once.
const BACKLOG: u32 = 4_096;
/// How often a port that is taken is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// Wait after an `accept` that failed for want of memory or descriptors, so that it is not tried in a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SOCKS5, SOCKS4 and SOCKS4a.
    Socks,
    /// HTTP, as to a proxy.
    Http,
    /// The PAC file.
    Pac,
}

/// How a port is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It takes connections here.
    Listening(SocketAddr),
    /// It cannot; it is tried again.
    Failed {
        /// The port that was asked for.
        port: u16,
        /// Why.
        error: String,
    },
}

/// Where each port tells how it is.
pub(super) type States = watch::Sender<std::collections::BTreeMap<Kind, State>>;

/// Serves a port until it is dropped. A port that is taken is waited for.
pub(super) async fn serve(kind: Kind, port: u16, shared: Arc<Shared>, states: States) {
    let listener = loop {
        match bind(port) {
            Ok(listener) => break listener,
            Err(error) => {
                let state = State::Failed { port, error: error.to_string() };
                tell(&states, kind, state, || {
                    tracing::warn!("failed to listen for {kind} on port {port}: {error}")
                });
            }
        }
        sleep(RETRY).await;
    };
    let Ok(address) = listener.local_addr() else { return };
    tell(&states, kind, State::Listening(address), || tracing::info!("{kind} is served on {address}"));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => welcome(kind, stream, peer, address, &shared),
            Err(error) => {
                tracing::debug!(%error, "failed to accept a connection of {kind}");
                if !is_of_one_connection(&error) {
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn bind(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    socket.listen(BACKLOG)
}

fn tell(states: &States, kind: Kind, state: State, log: impl Fn()) {
    states.send_if_modified(|states| {
        let is_new = states.get(&kind) != Some(&state);
        if is_new {
            log();
            states.insert(kind, state);
        }
        is_new
    });
}

fn welcome(kind: Kind, stream: TcpStream, peer: SocketAddr, server: SocketAddr, shared: &Arc<Shared>) {
    shared.counters.accept();
    let _ = stream.set_nodelay(true); // a connection that is gone already ends by itself
    let owner = owner::of_tcp(peer, server);
    let Some(permit) = shared.admission.admit(owner.caller().map(|caller| caller.uid)) else {
        shared.counters.turn_away();
        return;
    };
    let client = Client { shared: Arc::clone(shared), owner, permit };
    match kind {
        Kind::Socks => drop(tokio::spawn(socks::serve(stream, client))),
        Kind::Http => drop(tokio::spawn(http::serve(stream, client))),
        Kind::Pac => drop(tokio::spawn(pac::serve(stream, client))),
    }
}

/// The client has gone before it was accepted; the next one is not concerned.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socks => "SOCKS",
            Self::Http => "HTTP proxy",
            Self::Pac => "proxy.pac",
        })
    }
}
