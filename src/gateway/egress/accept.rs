//! The peers' connections, taken by the kernel in the private namespace or by the stack in user space.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use platform::Family;
use platform::private_namespace::SocketBroker;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::dialer::Stream;

/// Listeners at one time, each a descriptor; the one that was used longest ago makes room.
const MOST_LISTENERS: usize = 512;

/// DNS over TCP (RFC 7766).
const DNS_PORT: u16 = 53;
/// A connection may be there before word of it is: so long does it wait.
const EARLY: Duration = Duration::from_secs(2);
/// How often such a one looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Connections that are about to come, by peer's end and destination.
type Expected = Arc<Mutex<BTreeMap<(SocketAddr, SocketAddr), oneshot::Sender<Stream>>>>;

/// Where a connection comes out.
pub(super) type Accepted = oneshot::Receiver<Stream>;

/// Takes connections.
pub struct Acceptor {
    /// Makes listeners; without it the user-space stack delivers.
    broker: Option<SocketBroker>,
    /// Kernel egress: where names are asked, listened on from the start.
    names: Option<(Ipv4Addr, Ipv6Addr)>,
    listeners: BTreeMap<(bool, u16), Listener>,
    expected: Expected,
    turn: u64,
}

struct Listener {
    task: AbortHandle,
    used: u64,
}

impl Acceptor {
    /// In the private namespace of this broker, or, without one, by [`Self::deliver`].
    pub fn new(broker: Option<SocketBroker>) -> Self {
        Self { broker, names: None, listeners: BTreeMap::new(), expected: Expected::default(), turn: 0 }
    }

    /// On the system's own network: only connections to where names are asked end here, and the kernel forwards all else.
    pub fn of_system(names: (Ipv4Addr, Ipv6Addr)) -> Self {
        Self { names: Some(names), ..Self::new(None) }
    }

    /// Begins to listen where that must be before the first connection; must be called inside a runtime.
    pub(super) async fn start(&mut self) {
        let Some((v4, v6)) = self.names else { return };
        for address in [IpAddr::from(v4), IpAddr::from(v6)] {
            match TcpListener::bind((address, DNS_PORT)).await {
                Ok(listener) => {
                    let task = tokio::spawn(accept(listener, Arc::clone(&self.expected))).abort_handle();
                    self.listeners.insert((address.is_ipv6(), DNS_PORT), Listener { task, used: 0 });
                }
                Err(error) => tracing::warn!("names are not answered over TCP at `{address}`: {error}"),
            }
        }
    }

    /// Sees to it that a connection between these ends is taken, and gives where it comes out.
    ///
    /// # Errors
    /// When no listener can be made.
    pub fn expect(&mut self, source: SocketAddr, destination: SocketAddr) -> io::Result<Accepted> {
        self.listen(destination)?;
        let (sender, receiver) = oneshot::channel();
        let mut expected = lock(&self.expected);
        expected.retain(|_, waiting| !waiting.is_closed());
        expected.insert((source, destination), sender);
        Ok(receiver)
    }

    /// A connection that the user-space stack took.
    pub fn deliver(&self, source: SocketAddr, destination: SocketAddr, stream: Stream) {
        hand_over(&self.expected, source, destination, stream);
    }

    fn listen(&mut self, destination: SocketAddr) -> io::Result<()> {
        let Some(broker) = &self.broker else { return Ok(()) };
        self.turn += 1;
        let key = (destination.is_ipv6(), destination.port());
        if let Some(listener) = self.listeners.get_mut(&key) {
            listener.used = self.turn;
            return Ok(());
        }
        let family = if destination.is_ipv6() { Family::V6 } else { Family::V4 };
        let socket = broker.listen(family, destination.port())?;
        let listener = TcpListener::from_std(socket.into())?;
        let task = tokio::spawn(accept(listener, Arc::clone(&self.expected))).abort_handle();
        self.listeners.insert(key, Listener { task, used: self.turn });
        self.make_room();
        Ok(())
    }

    fn make_room(&mut self) {
        if self.listeners.len() <= MOST_LISTENERS {
            return;
        }
        let oldest = self.listeners.iter().min_by_key(|(_, listener)| listener.used).map(|(key, _)| *key);
        if let Some(listener) = oldest.and_then(|key| self.listeners.remove(&key)) {
            listener.task.abort();
        }
    }
}

async fn accept(listener: TcpListener, expected: Expected) {
    loop {
        match listener.accept().await {
            Ok((stream, source)) => {
                let Ok(destination) = stream.local_addr() else { continue };
                if lock(&expected).contains_key(&(source, destination)) {
                    hand_over(&expected, source, destination, stream.into());
                    continue;
                }
                let expected = Arc::clone(&expected);
                tokio::spawn(async move {
                    await_word(&expected, source, destination).await;
                    hand_over(&expected, source, destination, stream.into());
                });
            }
            // The peer broke off, or no descriptors are left: others may still come.
            Err(error) => {
                tracing::debug!("failed to accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Word of a connection comes by another way than the connection itself.
async fn await_word(expected: &Expected, source: SocketAddr, destination: SocketAddr) {
    let start = tokio::time::Instant::now();
    while !lock(expected).contains_key(&(source, destination)) && start.elapsed() < EARLY {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// One that nobody waits for any more is reset.
fn hand_over(expected: &Expected, source: SocketAddr, destination: SocketAddr, stream: Stream) {
    let waiting = lock(expected).remove(&(source, destination));
    let refused = match waiting {
        Some(waiting) => waiting.send(stream).err(),
        None => Some(stream),
    };
    if let Some(stream) = refused {
        stream.reset();
    }
}

fn lock(
    expected: &Expected,
) -> std::sync::MutexGuard<'_, BTreeMap<(SocketAddr, SocketAddr), oneshot::Sender<Stream>>> {
    expected.lock().unwrap_or_else(PoisonError::into_inner)
}
