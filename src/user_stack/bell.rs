//! How streams tell the stack, on whichever thread it runs, that they have something for it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use netstack::tcp::FlowId;

use super::ports::PortKey;

/// Who rang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// A stream.
    Flow(FlowId),
    /// A socket for datagrams.
    Port(PortKey),
}

/// Those who rang since the stack looked. Each rings once until it is served, so there are never more than flows.
#[derive(Debug, Default)]
pub(super) struct Bell(Mutex<Rung>);

#[derive(Debug, Default)]
struct Rung {
    callers: Vec<Caller>,
    listener: Option<Waker>,
}

impl Bell {
    pub(super) fn ring(&self, caller: Caller) {
        let listener = {
            let mut rung = lock(&self.0);
            rung.callers.push(caller);
            rung.listener.take()
        };
        if let Some(listener) = listener {
            listener.wake();
        }
    }

    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut rung = lock(&self.0);
        if !rung.callers.is_empty() {
            return Poll::Ready(());
        }
        match &mut rung.listener {
            Some(listener) => listener.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Moves those who rang to `callers`, which is empty.
    pub(super) fn take(&self, callers: &mut Vec<Caller>) {
        std::mem::swap(&mut lock(&self.0).callers, callers);
    }
}

/// What a thread that panicked has left is whole: no lock is held over anything that may panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
