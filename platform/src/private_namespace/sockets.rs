//! Our side of the broker: sockets in stock, so that nobody waits for one, and what else it is asked.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    io,
    net::IpAddr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use serde::{Deserialize, Serialize};

use super::wire::{self, Answer, Failure, MOST_DESCRIPTORS, Received, Request};
use crate::{Family, process::wait_readable};

/// How long the broker may take for an answer; it needs microseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Sockets that are asked for at once.
const BATCH: usize = MOST_DESCRIPTORS / 2;

/// A stock of so many is filled up: they last while a batch is on its way.
const LOW: usize = BATCH / 2;

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A TCP connection.
    Tcp,
    /// UDP datagrams.
    Udp,
}

/// Makes sockets in a private network. Clones are the same broker; it ends with the last one.
#[derive(Debug, Clone)]
pub struct SocketBroker {
    line: Arc<Mutex<Line>>,
}

/// The process, what it was asked, and what it has delivered.
#[derive(Debug)]
struct Line {
    channel: OwnedFd,
    child: Child,
    /// Requests without their answers, the oldest first.
    awaited: VecDeque<Awaited>,
    stocks: [Stock; 4],
    /// An answer stayed away: what comes now could be taken for another's.
    is_broken: bool,
}

#[derive(Debug, Clone, Copy)]
enum Awaited {
    /// For the stock of this number.
    Batch(usize),
    /// For somebody who waits.
    Command,
}

#[derive(Debug, Default)]
struct Stock {
    sockets: Vec<OwnedFd>,
    is_ordered: bool,
    /// Why the last batch did not come.
    failure: Option<i32>,
}

impl SocketBroker {
    /// A new socket in the private network: non-blocking, closed on exec, neither bound nor connected.
    ///
    /// Mostly from the stock; waits for the broker when that is empty, some microseconds usually.
    ///
    /// # Errors
    /// EMFILE when this process may open no more, `BrokenPipe` when the broker is gone, `TimedOut` after 2 s.
    pub fn socket(&self, kind: Kind, family: Family) -> io::Result<OwnedFd> {
        self.line().take(kind, family)
    }

    /// A listener (TCP, non-blocking, closed on exec) for this port of every address; needs
    /// [`Config::accept_any`](super::Config::accept_any).
    ///
    /// An accepted connection's local address is the one that was asked for.
    ///
    /// # Errors
    /// EADDRINUSE when there is one already; and as for [`Self::socket`].
    pub fn listen(&self, family: Family, port: u16) -> io::Result<OwnedFd> {
        let (_, descriptors) = self.ask(&Request::Listen { family, port })?;
        descriptors.into_iter().next().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Puts these addresses in the place of the TUN's former ones, at most one a family.
    ///
    /// # Errors
    /// The system's, and as for [`Self::socket`].
    pub fn set_addresses(&self, addresses: &[IpAddr]) -> io::Result<()> {
        self.ask(&Request::SetAddresses(addresses.to_vec())).map(drop)
    }

    /// Sets the largest packet of the TUN, in bytes.
    ///
    /// # Errors
    /// The system's, and as for [`Self::socket`].
    pub fn set_mtu(&self, mtu: u16) -> io::Result<()> {
        self.ask(&Request::SetMtu(mtu)).map(drop)
    }

    /// Whether the broker still answers; without it open sockets go on, and there are no new ones.
    pub fn is_alive(&self) -> bool {
        let mut line = self.line();
        !line.is_broken && matches!(line.child.try_wait(), Ok(None))
    }

    /// Executes this program again with `arguments`, with one end of a channel as its standard input.
    pub(super) fn start(arguments: &[&OsStr]) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        // Not the file's name: it may have been replaced by an upgrade while we run.
        let child = Command::new("/proc/self/exe")
            .args(arguments)
            .stdin(Stdio::from(far))
            .stdout(Stdio::null())
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .spawn()?;
        let line = Line {
            channel: near,
            child,
            awaited: VecDeque::new(),
            stocks: Default::default(),
            is_broken: false,
        };
        Ok(Self { line: Arc::new(Mutex::new(line)) })
    }

    /// Sends a request and waits for its answer.
    pub(super) fn command(&self, request: &Request, timeout: Duration) -> io::Result<(Answer, Vec<OwnedFd>)> {
        self.line().command(request, timeout)
    }

    /// Orders the first sockets, so that they are there when somebody asks.
    pub(super) fn lay_in_stock(&self, has_ipv6: bool) -> io::Result<()> {
        let mut line = self.line();
        line.order(Kind::Tcp, Family::V4)?;
        if has_ipv6 { line.order(Kind::Tcp, Family::V6) } else { Ok(()) }
    }

    fn ask(&self, request: &Request) -> io::Result<(Answer, Vec<OwnedFd>)> {
        match self.command(request, ANSWER_TIMEOUT)? {
            (Answer::Failed(failure), _) => Err(error(&failure)),
            (answer @ (Answer::Done | Answer::Prepared { .. }), descriptors) => Ok((answer, descriptors)),
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // Nothing here is left half done by a panic.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn take(&mut self, kind: Kind, family: Family) -> io::Result<OwnedFd> {
        let number = number(kind, family);
        while !self.is_broken && !self.awaited.is_empty() && wait_readable(&self.channel, Duration::ZERO)? {
            self.take_in()?;
        }
        if self.stocks[number].sockets.len() <= LOW {
            let ordered = self.order(kind, family);
            // What is in stock is good, also when the broker is gone.
            if self.stocks[number].sockets.is_empty() {
                ordered?;
            }
        }
        loop {
            let stock = &mut self.stocks[number];
            if let Some(socket) = stock.sockets.pop() {
                return Ok(socket);
            }
            if let Some(errno) = stock.failure.take() {
                return Err(io::Error::from_raw_os_error(errno));
            }
            self.wait_and_take_in(ANSWER_TIMEOUT)?;
        }
    }

    fn order(&mut self, kind: Kind, family: Family) -> io::Result<()> {
        let number = number(kind, family);
        if self.stocks[number].is_ordered {
            return Ok(());
        }
        self.send(&Request::Sockets { kind, family, count: BATCH }, Awaited::Batch(number))?;
        self.stocks[number].is_ordered = true;
        Ok(())
    }

    fn command(&mut self, request: &Request, timeout: Duration) -> io::Result<(Answer, Vec<OwnedFd>)> {
        self.send(request, Awaited::Command)?;
        loop {
            // Ours is the last one: nobody else asks while we hold the line.
            if let Some(answer) = self.wait_and_take_in(timeout)? {
                return Ok(answer);
            }
        }
    }

    fn send(&mut self, request: &Request, awaited: Awaited) -> io::Result<()> {
        if self.is_broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        wire::send(self.channel.as_fd(), request, &[])?;
        self.awaited.push_back(awaited);
        Ok(())
    }

    fn wait_and_take_in(&mut self, timeout: Duration) -> io::Result<Option<(Answer, Vec<OwnedFd>)>> {
        if self.is_broken || self.awaited.is_empty() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if !wait_readable(&self.channel, timeout)? {
            self.is_broken = true;
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.take_in()
    }

    /// Takes in the next answer; those for a stock go there, others to the caller.
    fn take_in(&mut self) -> io::Result<Option<(Answer, Vec<OwnedFd>)>> {
        let received = wire::receive(self.channel.as_fd());
        let Some(awaited) = self.awaited.pop_front() else { return Err(io::ErrorKind::InvalidData.into()) };
        let received = match received {
            Ok(None) => {
                self.is_broken = true;
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(Some(received)) => Ok(received),
            Err(error) => Err(error),
        };
        match awaited {
            Awaited::Command => {
                received.map(|Received { message, descriptors }| Some((message, descriptors)))
            }
            Awaited::Batch(number) => {
                self.stocks[number].fill(received);
                Ok(None)
            }
        }
    }
}

impl Stock {
    fn fill(&mut self, received: io::Result<Received<Answer>>) {
        self.is_ordered = false;
        self.failure = match received {
            Ok(Received { message: Answer::Failed(failure), .. }) => Some(failure.errno),
            Ok(Received { message: Answer::Done | Answer::Prepared { .. }, descriptors }) => {
                self.sockets.extend(descriptors);
                None
            }
            Err(error) => Some(error.raw_os_error().unwrap_or(libc::EIO)),
        };
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // It would end by itself when the channel closes; so it is also gone when we return.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(kind: Kind, family: Family) -> usize {
    match (kind, family) {
        (Kind::Tcp, Family::V4) => 0,
        (Kind::Tcp, Family::V6) => 1,
        (Kind::Udp, Family::V4) => 2,
        (Kind::Udp, Family::V6) => 3,
    }
}

fn error(failure: &Failure) -> io::Error {
    io::Error::from_raw_os_error(failure.errno)
}
