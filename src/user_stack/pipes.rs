//! What a stream and the stack share: two rings of bytes, and who waits for what.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use super::bell::{Bell, Caller};
use super::ring::{RING, Ring, Spares};

/// A side that waits for room is woken when there is this much of it: not for every packet.
pub(super) const ENOUGH_ROOM: usize = RING / 4;

/// How the peer's half ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// In order.
    Finished,
    /// By a reset.
    Reset,
    /// It went silent.
    TimedOut,
}

/// From the network to the program.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    pub(super) ring: Ring,
    /// No more bytes will come.
    pub(super) end: Option<End>,
    /// The program waits for bytes.
    pub(super) reader: Option<Waker>,
    /// The stack waits for room.
    pub(super) is_stack_waiting: bool,
}

/// From the program to the network.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    pub(super) ring: Ring,
    /// The program sends no more.
    pub(super) is_finished: bool,
    /// The program is gone: what comes is not read any more.
    pub(super) is_abandoned: bool,
    /// The program wants a reset.
    pub(super) is_aborted: bool,
    /// Nobody takes bytes any more.
    pub(super) end: Option<End>,
    /// The program waits for room.
    pub(super) writer: Option<Waker>,
}

/// Both ways.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) inbound: Mutex<Inbound>,
    pub(super) outbound: Mutex<Outbound>,
    pub(super) spares: Arc<Spares>,
    caller: Caller,
    bell: Arc<Bell>,
    /// The bell was rung, and the stack has not come yet.
    is_rung: AtomicBool,
}

impl Pipes {
    pub(super) fn new(caller: Caller, bell: Arc<Bell>, spares: Arc<Spares>) -> Self {
        let (inbound, outbound) = Default::default();
        Self { inbound, outbound, spares, caller, bell, is_rung: AtomicBool::new(false) }
    }

    /// Calls the stack, unless it was called and has not come yet.
    pub(super) fn call(&self) {
        if !self.is_rung.swap(true, Ordering::AcqRel) {
            self.bell.ring(self.caller);
        }
    }

    /// The stack has come. To be said before it looks.
    pub(super) fn answered(&self) {
        self.is_rung.store(false, Ordering::Release);
    }
}

impl From<End> for io::Error {
    fn from(end: End) -> Self {
        match end {
            End::Finished => io::ErrorKind::BrokenPipe.into(),
            End::Reset => io::ErrorKind::ConnectionReset.into(),
            End::TimedOut => io::ErrorKind::TimedOut.into(),
        }
    }
}
