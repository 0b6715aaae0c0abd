//! Opens flows to protected destinations for programs that cannot, or shall not, use the TUN by themselves.
//!
//! Names are resolved by our resolver through the tunnel, policy is asked before anything is dialed, and whatever
//! carries the flow is hidden behind [`Stream`] and [`Datagrams`]. The engine answers a dialer's [`Request`]s.

mod catalogue;
mod connect;
mod datagrams;
mod error;
mod refusal;
mod request;
mod stream;
mod switch;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::{oneshot, watch};

pub use catalogue::{AllWithheld, ApplicationWords, Catalogue, Withheld};
pub use datagrams::Datagrams;
pub use error::DialError;
pub use refusal::{Refusal, words};
pub use request::{Denied, REQUEST_QUEUE, Request};
pub use stream::Stream;
pub use switch::{Line, Switch, Way};

use switch::Shared;

/// Opens flows to protected destinations, whatever carries them.
#[derive(Debug, Clone)]
pub struct Dialer {
    shared: watch::Receiver<Shared>,
}

/// What a program wants to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// By name, as the program wrote it.
    Name(String),
    /// By address.
    Address(IpAddr),
}

/// Where a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Behind a gateway: what to dial, IPv4 first. Never empty.
    Protected(Vec<IpAddr>),
    /// Not ours. A name is not resolved here.
    Unprotected,
}

/// What a flow speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Dialer {
    /// A dialer that is not connected yet, and the switch that connects it.
    pub fn new(catalogue: Arc<Catalogue>) -> (Self, Switch) {
        let (switch, shared) = switch::new(catalogue);
        (Self { shared }, switch)
    }

    /// Where `host` is. A name without a dot is completed by the search domains whose names are protected.
    ///
    /// # Errors
    /// When a protected name does not exist, or nobody can say.
    pub async fn resolve(&self, host: &Host) -> Result<Destination, DialError> {
        let catalogue = self.shared.borrow().catalogue.clone();
        let text = match host {
            Host::Address(address) => return Ok(place(&catalogue, *address)),
            Host::Name(text) => text,
        };
        if let Ok(address) = text.parse() {
            return Ok(place(&catalogue, address));
        }
        let mut missing = None;
        for name in catalogue.protected_names(text) {
            match self.look_up(&name).await {
                Ok(addresses) => return Ok(Destination::Protected(addresses)),
                Err(error @ DialError::NotFound) => missing = Some(error),
                Err(error) => return Err(error),
            }
        }
        missing.map_or(Ok(Destination::Unprotected), Err)
    }

    /// Whether an address is one of ours, so that nothing but a tunnel may lead there.
    pub fn is_protected(&self, address: IpAddr) -> bool {
        self.shared.borrow().catalogue.has_address(address.to_canonical())
    }

    /// Opens a TCP connection to the first of `addresses` that policy allows and that answers.
    ///
    /// # Errors
    /// A refusal with its reason, or what the network says of the first address.
    pub async fn connect(&self, addresses: &[IpAddr], port: u16) -> Result<Stream, DialError> {
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in addresses {
            match self.judge(*address, port, Protocol::Tcp).await {
                Ok(()) => allowed.push(SocketAddr::new(address.to_canonical(), port)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match (allowed.as_slice(), refused) {
            ([], refused) => Err(refused.unwrap_or(DialError::NotFound)),
            (allowed, _) => connect::first_of(&self.line()?, allowed).await,
        }
    }

    /// Whether policy lets a flow to `address` begin now.
    ///
    /// # Errors
    /// A refusal with its reason, or that there is no connection to ask about.
    pub async fn judge(&self, address: IpAddr, port: u16, protocol: Protocol) -> Result<(), DialError> {
        let destination = SocketAddr::new(address.to_canonical(), port);
        let (reply, answer) = oneshot::channel();
        self.line()?.ask(Request::Judge { destination, protocol, reply }).await?;
        match answer.await.map_err(|_| DialError::Disconnected)? {
            Ok(()) => Ok(()),
            Err(denied) => Err(self.shared.borrow().catalogue.explain(&denied, destination, protocol)),
        }
    }

    /// A socket for datagrams to protected destinations; each destination is to be judged before.
    ///
    /// # Errors
    /// When there is no connection, or the system gives no socket.
    pub async fn bind_udp(&self, is_ipv6: bool) -> Result<Datagrams, DialError> {
        Datagrams::bind(&self.line()?, is_ipv6).await.map_err(DialError::from)
    }

    fn line(&self) -> Result<Line, DialError> {
        self.shared.borrow().line.clone().ok_or(DialError::Disconnected)
    }

    /// The addresses of a protected name, IPv4 first; at least one.
    async fn look_up(&self, name: &dns::Name) -> Result<Vec<IpAddr>, DialError> {
        let line = self.line()?;
        let (ipv4, ipv6) = tokio::join!(line.addresses(name, false), line.addresses(name, true));
        let found: Vec<IpAddr> = [&ipv4, &ipv6].into_iter().flatten().flatten().copied().collect();
        if !found.is_empty() {
            return Ok(found);
        }
        ipv4.and(ipv6).and(Err(DialError::NotFound))
    }
}

fn place(catalogue: &Catalogue, address: IpAddr) -> Destination {
    let address = address.to_canonical();
    match catalogue.has_address(address) {
        true => Destination::Protected(vec![address]),
        false => Destination::Unprotected,
    }
}

#[cfg(test)]
mod tests;
