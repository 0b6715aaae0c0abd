//! Carries the octets of a flow between its two ends until both are done: one buffer a thread, none for an idle flow.

mod direction;

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::dialer::Stream;
use direction::{Direction, Fault};

/// Octets that are read at once: as many system calls as carry a gigabyte cheaply, and few enough to stay in the
/// processor's cache between the read and the write.
const SCRATCH: usize = 64 << 10;

thread_local! {
    /// Holds octets between a read and the write that follows at once; what is not taken goes to the flow.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// One end of a flow.
pub trait End: AsyncRead + AsyncWrite + Unpin {
    /// Ends it so that whoever is at the other side learns of a reset and not of an orderly end.
    fn reset(self);
}

/// How long a flow may rest.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// While both sides may still send.
    pub idle: Duration,
    /// When one side has said that it will send no more.
    pub half_closed: Duration,
}

/// What was read ahead of the relay and is not delivered yet.
#[derive(Debug, Default)]
pub struct Early {
    /// Read from the near end.
    pub up: Vec<u8>,
    /// Read from the far end.
    pub down: Vec<u8>,
}

/// What a flow carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Octets from the near end to the far one.
    pub up: u64,
    /// Octets from the far end to the near one.
    pub down: u64,
    /// Why it is over.
    pub ending: Ending,
}

/// Why a flow is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Both sides had sent all.
    Closed,
    /// Nothing moved for longer than the limit.
    Idle,
    /// The near end broke off.
    NearReset,
    /// The far end broke off.
    FarReset,
}

/// Carries everything from each end to the other: an end of data as such, a reset as a reset, and no more than the
/// slower side takes. Cancelled by dropping it, which closes both.
///
/// Nothing is reported as an error: a flow that breaks off is one of its ways to end.
pub async fn relay<A: End, B: End>(mut near: A, mut far: B, early: Early, limits: Limits) -> Traffic {
    let mut flow = Flow {
        up: Direction::new(early.up),
        down: Direction::new(early.down),
        reset: None,
        was_half_closed: false,
        limits,
    };
    let mut timer = pin!(sleep(limits.idle));
    let ending = poll_fn(|cx| flow.poll(cx, &mut near, &mut far, timer.as_mut())).await;
    match ending {
        Ending::NearReset => far.reset(),
        Ending::FarReset => near.reset(),
        Ending::Closed | Ending::Idle => {}
    }
    Traffic { up: flow.up.carried, down: flow.down.carried, ending }
}

struct Flow {
    up: Direction,
    down: Direction,
    /// An end that takes no more, though what it sent before is still to be delivered.
    reset: Option<Ending>,
    was_half_closed: bool,
    limits: Limits,
}

impl Flow {
    fn poll<A: End, B: End>(
        &mut self,
        cx: &mut Context<'_>,
        near: &mut A,
        far: &mut B,
        timer: Pin<&mut Sleep>,
    ) -> Poll<Ending> {
        let moved = BUFFER.with_borrow_mut(|scratch| {
            if let Poll::Ready(Err(fault)) = self.up.poll(cx, near, far, scratch) {
                self.take_fault(fault, Ending::NearReset, Ending::FarReset)?;
            }
            if let Poll::Ready(Err(fault)) = self.down.poll(cx, far, near, scratch) {
                self.take_fault(fault, Ending::FarReset, Ending::NearReset)?;
            }
            Ok(())
        });
        if let Err(ending) = moved {
            return Poll::Ready(ending);
        }
        if self.up.is_done() && self.down.is_done() {
            return Poll::Ready(self.reset.unwrap_or(Ending::Closed));
        }
        self.poll_timer(cx, timer)
    }

    /// An end that can no longer be read is gone, and so is the flow. One that can no longer be written to may still
    /// have sent something before.
    fn take_fault(&mut self, fault: Fault, source: Ending, sink: Ending) -> Result<(), Ending> {
        match fault {
            Fault::Source => Err(self.reset.unwrap_or(source)),
            Fault::Sink => {
                self.reset.get_or_insert(sink);
                Ok(())
            }
        }
    }

    /// The clock is asked when the timer rings, and not for each piece of data.
    fn poll_timer(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<Ending> {
        let is_half_closed = self.up.is_done() || self.down.is_done();
        let limit = if is_half_closed { self.limits.half_closed } else { self.limits.idle };
        if is_half_closed && !self.was_half_closed {
            self.was_half_closed = true;
            timer.as_mut().reset(Instant::now() + limit);
        }
        while timer.as_mut().poll(cx).is_ready() {
            let has_moved = self.up.take_moved() | self.down.take_moved();
            if !has_moved {
                return Poll::Ready(Ending::Idle);
            }
            timer.as_mut().reset(Instant::now() + limit);
        }
        Poll::Pending
    }
}

impl End for TcpStream {
    fn reset(self) {
        // A socket that does not take the option is closed in the usual way, which ends the flow as well.
        let _ = self.set_zero_linger();
    }
}

impl End for Stream {
    fn reset(self) {
        Stream::reset(self);
    }
}

#[cfg(test)]
mod tests;
