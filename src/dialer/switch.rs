//! What dialers share: a line to the engine while there is one, and the catalogue always.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use dns::LookupError;
use platform::private_namespace::SocketBroker;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Catalogue, DialError, Request};
use crate::user_stack::{FlowDatagrams, FlowStream};

/// A way to an engine that runs.
#[derive(Debug, Clone)]
pub struct Line {
    /// Where its requests go.
    pub requests: mpsc::Sender<Request>,
    /// What carries flows.
    pub way: Way,
}

/// What carries flows to protected destinations.
#[derive(Debug, Clone)]
pub enum Way {
    /// The kernel, routed into the TUN of the host.
    Kernel,
    /// The kernel, by sockets that are made in a private network.
    Namespace(SocketBroker),
    /// The engine's stack in user space.
    Stack,
}

/// What dialers see.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) line: Option<Line>,
}

/// Connects all clones of a dialer, and disconnects them.
#[derive(Debug)]
pub struct Switch {
    shared: watch::Sender<Shared>,
}

pub(super) fn new(catalogue: Arc<Catalogue>) -> (Switch, watch::Receiver<Shared>) {
    let (sender, receiver) = watch::channel(Shared { catalogue, line: None });
    (Switch { shared: sender }, receiver)
}

impl Switch {
    /// An engine runs: flows begin there from now on.
    pub fn connect(&self, line: Line) {
        self.shared.send_modify(|shared| shared.line = Some(line));
    }

    /// No engine runs: protected destinations are out of reach.
    pub fn disconnect(&self) {
        self.shared.send_modify(|shared| shared.line = None);
    }

    /// Other destinations are protected.
    pub fn set_catalogue(&self, catalogue: Arc<Catalogue>) {
        self.shared.send_modify(|shared| shared.catalogue = catalogue);
    }
}

impl Line {
    /// A flow over the stack in user space.
    pub(super) async fn connect(&self, remote: SocketAddr) -> io::Result<FlowStream> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Connect { remote, reply };
        self.requests.send(request).await.map_err(|_| io::ErrorKind::NotConnected)?;
        answer.await.map_err(|_| io::ErrorKind::NotConnected)?
    }

    /// A socket for datagrams of the stack in user space.
    pub(super) async fn bind(&self, is_ipv6: bool) -> io::Result<FlowDatagrams> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Bind { is_ipv6, reply };
        self.requests.send(request).await.map_err(|_| io::ErrorKind::NotConnected)?;
        answer.await.map_err(|_| io::ErrorKind::NotConnected)?
    }

    pub(super) async fn ask(&self, request: Request) -> Result<(), DialError> {
        self.requests.send(request).await.map_err(|_| DialError::Disconnected)
    }

    /// The addresses of one family of a name; none: it has none of that family.
    pub(super) async fn addresses(&self, name: &dns::Name, is_ipv6: bool) -> Result<Vec<IpAddr>, DialError> {
        let message = dns::address_query(name, is_ipv6);
        let answer = match self.query(message.clone(), false).await? {
            Err(LookupError::Truncated) => self.query(message, true).await?,
            answer => answer,
        };
        match answer {
            Ok(addresses) => Ok(addresses),
            Err(LookupError::NoSuchName) => Err(DialError::NotFound),
            Err(LookupError::Failed(_) | LookupError::Truncated | LookupError::Malformed) => {
                Err(DialError::NameServerFailed)
            }
        }
    }

    async fn query(
        &self,
        message: Vec<u8>,
        is_whole: bool,
    ) -> Result<Result<Vec<IpAddr>, LookupError>, DialError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Query { message, is_whole, reply }).await?;
        let answer = answer.await.map_err(|_| match self.requests.is_closed() {
            true => DialError::Disconnected,
            false => DialError::Busy,
        })?;
        Ok(dns::read_addresses(&answer))
    }
}
