//! Our side of the broker, for everybody who needs a socket of the private network.

use std::{
    ffi::OsStr,
    io,
    net::IpAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    line::Line,
    wire::{Answer, Failure, Place, Request},
};
use crate::Family;

/// How long the broker may take for an answer; it needs microseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A TCP connection.
    Tcp,
    /// UDP datagrams.
    Udp,
}

/// Makes sockets in a private network. Clones are the same broker; it ends with the last one.
///
/// A broker that has ended, because somebody killed it, is replaced by another one in the same network at the next
/// request; its sockets and their connections never notice.
#[derive(Debug, Clone)]
pub struct SocketBroker {
    line: Arc<Mutex<Line>>,
}

impl SocketBroker {
    /// A new socket in the private network: non-blocking, closed on exec, neither bound nor connected.
    ///
    /// Mostly from the stock; waits for the broker when that is empty, some microseconds usually.
    ///
    /// # Errors
    /// EMFILE when this process may open no more, `BrokenPipe` when the broker is gone and cannot be replaced,
    /// `TimedOut` when it does not answer within 2 s.
    pub fn socket(&self, kind: Kind, family: Family) -> io::Result<OwnedFd> {
        self.line().persist(|line| line.take(kind, family, ANSWER_TIMEOUT))
    }

    /// A listener (TCP, non-blocking, closed on exec) for this port of every address; needs
    /// [`Config::accept_any`](super::Config::accept_any).
    ///
    /// An accepted connection's local address is the one that was asked for.
    ///
    /// # Errors
    /// EADDRINUSE when there is one already; and as for [`Self::socket`].
    pub fn listen(&self, family: Family, port: u16) -> io::Result<OwnedFd> {
        let descriptors = self.ask(&Request::Listen { family, port })?;
        descriptors.into_iter().next().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Puts these addresses in the place of the TUN's former ones, at most one a family.
    ///
    /// # Errors
    /// The system's, and as for [`Self::socket`].
    pub fn set_addresses(&self, addresses: &[IpAddr]) -> io::Result<()> {
        self.ask(&Request::SetAddresses(addresses.to_vec()))?;
        self.line().note_addresses(addresses);
        Ok(())
    }

    /// Sets the largest packet of the TUN, in bytes.
    ///
    /// # Errors
    /// The system's, and as for [`Self::socket`].
    pub fn set_mtu(&self, mtu: u16) -> io::Result<()> {
        self.ask(&Request::SetMtu(mtu)).map(drop)
    }

    /// Whether the broker runs; one that does not is replaced at the next request.
    pub fn is_alive(&self) -> bool {
        self.line().is_alive()
    }

    /// Executes this program again with `arguments`, with one end of a channel as its standard input.
    pub(super) fn start(arguments: &[&OsStr]) -> io::Result<Self> {
        Ok(Self { line: Arc::new(Mutex::new(Line::start(arguments)?)) })
    }

    /// Sends a request and waits for its answer.
    pub(super) fn command(&self, request: &Request, timeout: Duration) -> io::Result<(Answer, Vec<OwnedFd>)> {
        self.line().command(request, &[], timeout)
    }

    /// From now on a broker that has ended is replaced by one in these namespaces, which are entered in this order; the
    /// first sockets are ordered, so that they are there when somebody asks.
    pub(super) fn settle(&self, place: Place, namespaces: Vec<OwnedFd>) -> io::Result<()> {
        let mut line = self.line();
        let has_ipv6 = place.has_ipv6;
        line.settle(place, namespaces);
        line.order(Kind::Tcp, Family::V4)?;
        if has_ipv6 { line.order(Kind::Tcp, Family::V6) } else { Ok(()) }
    }

    fn ask(&self, request: &Request) -> io::Result<Vec<OwnedFd>> {
        match self.line().persist(|line| line.command(request, &[], ANSWER_TIMEOUT))? {
            (Answer::Failed(failure), _) => Err(error(&failure)),
            (Answer::Done | Answer::Prepared { .. }, descriptors) => Ok(descriptors),
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // Nothing here is left half done by a panic.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn error(failure: &Failure) -> io::Error {
    io::Error::from_raw_os_error(failure.errno)
}
