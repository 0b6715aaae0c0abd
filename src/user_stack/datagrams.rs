//! The program's end of a UDP port of the stack.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::bell::{Bell, Caller, lock};
use super::ports::PortKey;

/// Datagrams that wait one way; more are lost, as on any socket.
const MOST_DATAGRAMS: usize = 128;
/// Bytes of them: what Linux gives a socket by default.
const MOST_BYTES: usize = 208 << 10;
/// The longest payload that an IPv6 packet has room for beside its headers.
const LONGEST: usize = 65_535 - 48;

/// A datagram and where it comes from, or goes to.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) address: SocketAddr,
    pub(super) payload: Vec<u8>,
}

/// What port and program share.
#[derive(Debug)]
pub(super) struct Mailbox {
    inbound: Mutex<Inbound>,
    outbound: Mutex<Queue>,
    key: PortKey,
    bell: Arc<Bell>,
    is_rung: AtomicBool,
}

#[derive(Debug, Default)]
struct Inbound {
    queue: Queue,
    reader: Option<Waker>,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Queue {
    datagrams: VecDeque<Datagram>,
    bytes: usize,
}

/// A socket for datagrams whose packets the stack in user space makes.
#[derive(Debug)]
pub struct FlowDatagrams {
    mailbox: Arc<Mailbox>,
    is_ipv6: bool,
}

impl FlowDatagrams {
    pub(super) fn new(mailbox: Arc<Mailbox>, is_ipv6: bool) -> Self {
        Self { mailbox, is_ipv6 }
    }

    /// Sends a datagram; one that finds no room is lost.
    ///
    /// # Errors
    /// A destination of the other family, or a payload that no packet holds.
    pub fn send_to(&self, payload: &[u8], destination: SocketAddr) -> io::Result<usize> {
        if destination.is_ipv6() != self.is_ipv6 || payload.len() > LONGEST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let datagram = Datagram { address: destination, payload: payload.to_vec() };
        if lock(&self.mailbox.outbound).push(datagram) {
            self.mailbox.call();
        }
        Ok(payload.len())
    }

    /// Takes a datagram; one longer than `buffer` is cut.
    ///
    /// # Errors
    /// When the stack has ended.
    pub fn poll_recv_from(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut inbound = lock(&self.mailbox.inbound);
        let Some(datagram) = inbound.queue.pop() else {
            if inbound.is_closed {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            }
            inbound.reader = Some(context.waker().clone());
            return Poll::Pending;
        };
        let count = datagram.payload.len().min(buffer.len());
        buffer[..count].copy_from_slice(&datagram.payload[..count]);
        Poll::Ready(Ok((count, datagram.address)))
    }
}

impl Drop for FlowDatagrams {
    fn drop(&mut self) {
        lock(&self.mailbox.inbound).is_closed = true;
        self.mailbox.call();
    }
}

impl Mailbox {
    pub(super) fn new(key: PortKey, bell: Arc<Bell>) -> Self {
        let (inbound, outbound) = Default::default();
        Self { inbound, outbound, key, bell, is_rung: AtomicBool::new(false) }
    }

    /// Hands a datagram to the program.
    pub(super) fn deliver(&self, datagram: Datagram) {
        let reader = {
            let mut inbound = lock(&self.inbound);
            inbound.queue.push(datagram).then(|| inbound.reader.take()).flatten()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Moves what the program sends to `out`; false when the program is gone.
    pub(super) fn collect(&self, out: &mut impl FnMut(Datagram)) -> bool {
        self.is_rung.store(false, Ordering::Release);
        let sent = std::mem::take(&mut *lock(&self.outbound));
        sent.datagrams.into_iter().for_each(out);
        !lock(&self.inbound).is_closed
    }

    /// The stack ends.
    pub(super) fn close(&self) {
        let reader = {
            let mut inbound = lock(&self.inbound);
            inbound.is_closed = true;
            inbound.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn call(&self) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            self.bell.ring(Caller::Port(self.key));
        }
    }
}

impl Queue {
    /// False: there was no room.
    fn push(&mut self, datagram: Datagram) -> bool {
        let bytes = self.bytes + datagram.payload.len();
        if self.datagrams.len() >= MOST_DATAGRAMS || bytes > MOST_BYTES {
            return false;
        }
        self.bytes = bytes;
        self.datagrams.push_back(datagram);
        true
    }

    fn pop(&mut self) -> Option<Datagram> {
        let datagram = self.datagrams.pop_front()?;
        self.bytes -= datagram.payload.len();
        Some(datagram)
    }
}
