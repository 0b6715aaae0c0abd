//! What the stack tells its caller about a flow.
use std::net::SocketAddr;

use super::FlowId;

/// Told by [`TcpStack::poll_event`](super::TcpStack::poll_event); what is due for a flow at one time comes in the order of
/// the variants, so bytes can always be read before an end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A peer opened a connection to a listener.
    Accepted {
        /// The new flow.
        flow: FlowId,
        /// Where its packets come from.
        link: u32,
        /// The listener's address.
        local: SocketAddr,
        /// The peer.
        remote: SocketAddr,
    },
    /// A connection of ours is open.
    Connected(FlowId),
    /// More bytes have arrived: call `recv` until it returns 0; what is left unread is not told again.
    Readable(FlowId),
    /// The peer closed its half: what `recv` still returns is the rest. Sending goes on.
    Finished(FlowId),
    /// There is room again after a `send` that took less than it was given.
    Writable(FlowId),
    /// Both halves were closed in order and all bytes were read. The flow is gone.
    Closed(FlowId),
    /// The peer reset the flow, or refused it if this comes before `Connected`. The flow is gone.
    Reset(FlowId),
    /// The peer went silent (or nobody read the rest in time). The flow is gone.
    TimedOut(FlowId),
}

/// How a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Reset,
    TimedOut,
}

/// What a flow has yet to tell: at most one of each kind, so the queue of events is bounded by the number of flows.
#[derive(Debug, Default)]
pub(super) struct Signals {
    pub(super) open: bool,
    pub(super) readable: bool,
    pub(super) finished: bool,
    pub(super) writable: bool,
    pub(super) end: Option<End>,
}

/// One signal, taken to be told.
pub(super) enum Signal {
    Open,
    Readable,
    Finished,
    Writable,
    End(End),
}

impl Signals {
    /// The next signal in the documented order.
    pub(super) fn take(&mut self) -> Option<Signal> {
        let pending = [
            (&mut self.open, Signal::Open),
            (&mut self.readable, Signal::Readable),
            (&mut self.finished, Signal::Finished),
            (&mut self.writable, Signal::Writable),
        ];
        for (raised, signal) in pending {
            if std::mem::take(raised) {
                return Some(signal);
            }
        }
        self.end.take().map(Signal::End)
    }

    pub(super) fn any(&self) -> bool {
        self.open || self.readable || self.finished || self.writable || self.end.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_come_once_each_and_the_end_last() {
        let mut signals = Signals { readable: true, open: true, end: Some(End::Reset), ..Signals::default() };

        assert!(matches!(signals.take(), Some(Signal::Open)));
        assert!(matches!(signals.take(), Some(Signal::Readable)));
        assert!(signals.any());
        assert!(matches!(signals.take(), Some(Signal::End(End::Reset))));
        assert!(signals.take().is_none() && !signals.any());
    }
}
