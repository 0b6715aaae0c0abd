//! The broker's process and the channel to it: what was asked, what has come, sockets in stock so that nobody waits for
//! one, and another process where one has ended.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io,
    net::IpAddr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{
    Kind, START_TIMEOUT,
    wire::{self, Answer, MOST_DESCRIPTORS, Place, Received, Request},
};
use crate::{Family, process::wait_readable};

/// Sockets that are asked for at once.
const BATCH: usize = MOST_DESCRIPTORS / 2;

/// A stock of so many is filled up: they last while a batch is on its way.
const LOW: usize = BATCH / 2;

/// Between two replacements of the broker: what kills each at once shall not keep the machine busy.
const REPLACEMENT_PAUSE: Duration = Duration::from_secs(1);

/// The process, what it was asked, and what it has delivered.
#[derive(Debug)]
pub(super) struct Line {
    arguments: Vec<OsString>,
    process: Process,
    /// Requests without their answers, the oldest first.
    awaited: VecDeque<Awaited>,
    stocks: [Stock; 4],
    /// An answer stayed away: what comes now could be taken for another's.
    is_broken: bool,
    /// Where another process goes on; known once the network stands.
    home: Option<Home>,
    replaced: Option<Instant>,
}

#[derive(Debug)]
struct Process {
    channel: OwnedFd,
    child: Child,
}

#[derive(Debug)]
struct Home {
    place: Place,
    /// In the order in which they are entered.
    namespaces: Vec<OwnedFd>,
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

impl Line {
    /// Starts the process.
    pub(super) fn start(arguments: &[&OsStr]) -> io::Result<Self> {
        let arguments: Vec<OsString> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Ok(Self {
            process: Process::start(&arguments)?,
            arguments,
            awaited: VecDeque::new(),
            stocks: Default::default(),
            is_broken: false,
            home: None,
            replaced: None,
        })
    }

    /// Notes where another process goes on.
    pub(super) fn settle(&mut self, place: Place, namespaces: Vec<OwnedFd>) {
        self.home = Some(Home { place, namespaces });
    }

    /// Notes the TUN's addresses, for another process.
    pub(super) fn note_addresses(&mut self, addresses: &[IpAddr]) {
        if let Some(home) = &mut self.home {
            addresses.clone_into(&mut home.place.addresses);
        }
    }

    pub(super) fn is_alive(&mut self) -> bool {
        !self.is_broken && matches!(self.process.child.try_wait(), Ok(None))
    }

    /// Asks; where the process has ended or does not answer, once more with another one.
    pub(super) fn persist<T>(&mut self, ask: impl Fn(&mut Self) -> io::Result<T>) -> io::Result<T> {
        match ask(self) {
            Err(error) if is_of_channel(&error) => {
                self.replace(&error)?;
                ask(self)
            }
            answered => answered,
        }
    }

    /// A socket of the stock, or the next one that comes.
    pub(super) fn take(&mut self, kind: Kind, family: Family, timeout: Duration) -> io::Result<OwnedFd> {
        let number = number(kind, family);
        while !self.is_broken
            && !self.awaited.is_empty()
            && wait_readable(&self.process.channel, Duration::ZERO)?
        {
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
            self.wait_and_take_in(timeout)?;
        }
    }

    /// Orders sockets for the stock, unless some are on their way.
    pub(super) fn order(&mut self, kind: Kind, family: Family) -> io::Result<()> {
        let number = number(kind, family);
        if self.stocks[number].is_ordered {
            return Ok(());
        }
        self.send(&Request::Sockets { kind, family, count: BATCH }, &[], Awaited::Batch(number))?;
        self.stocks[number].is_ordered = true;
        Ok(())
    }

    /// Sends a request with these descriptors and waits for its answer.
    pub(super) fn command(
        &mut self,
        request: &Request,
        descriptors: &[OwnedFd],
        timeout: Duration,
    ) -> io::Result<(Answer, Vec<OwnedFd>)> {
        self.send(request, descriptors, Awaited::Command)?;
        loop {
            // Ours is the last one: nobody else asks while we hold the line.
            if let Some(answer) = self.wait_and_take_in(timeout)? {
                return Ok(answer);
            }
        }
    }

    /// Starts another process in the same network. What is in stock stays; what was awaited is forgotten.
    fn replace(&mut self, why: &io::Error) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        if self.replaced.is_some_and(|at| at.elapsed() < REPLACEMENT_PAUSE) {
            return Err(gone());
        }
        let Some(home) = self.home.take() else { return Err(gone()) };
        self.replaced = Some(Instant::now());
        tracing::warn!("the broker of the private network does not answer ({why}): another one is started");
        let resumed = self.resume(&home);
        self.home = Some(home);
        if resumed.is_err() {
            self.is_broken = true;
        }
        resumed
    }

    fn resume(&mut self, home: &Home) -> io::Result<()> {
        self.process = Process::start(&self.arguments)?;
        self.awaited.clear();
        self.is_broken = false;
        for stock in &mut self.stocks {
            (stock.is_ordered, stock.failure) = (false, None);
        }
        let request = Request::Resume(home.place.clone());
        match self.command(&request, &home.namespaces, START_TIMEOUT)? {
            (Answer::Done, _) => Ok(()),
            (Answer::Failed(failure), _) => {
                tracing::error!("{}", failure.text);
                Err(io::Error::from_raw_os_error(failure.errno))
            }
            (Answer::Prepared { .. }, _) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn send(&mut self, request: &Request, descriptors: &[OwnedFd], awaited: Awaited) -> io::Result<()> {
        if self.is_broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        wire::send(self.process.channel.as_fd(), request, descriptors)?;
        self.awaited.push_back(awaited);
        Ok(())
    }

    fn wait_and_take_in(&mut self, timeout: Duration) -> io::Result<Option<(Answer, Vec<OwnedFd>)>> {
        if self.is_broken || self.awaited.is_empty() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if !wait_readable(&self.process.channel, timeout)? {
            self.is_broken = true;
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.take_in()
    }

    /// Takes in the next answer; those for a stock go there, others to the caller.
    fn take_in(&mut self) -> io::Result<Option<(Answer, Vec<OwnedFd>)>> {
        let received = wire::receive(self.process.channel.as_fd());
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

impl Process {
    /// Executes this program again with `arguments`, with one end of a channel as its standard input.
    fn start(arguments: &[OsString]) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let (channel, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        // Not the file's name: it may have been replaced by an upgrade while we run.
        let child = Command::new("/proc/self/exe")
            .args(arguments)
            .stdin(Stdio::from(far))
            .stdout(Stdio::null())
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .spawn()?;
        Ok(Self { channel, child })
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

impl Drop for Process {
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

/// The process is gone or stands still; everything else is an answer.
fn is_of_channel(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut};
    [BrokenPipe, ConnectionReset, TimedOut].contains(&error.kind())
}
