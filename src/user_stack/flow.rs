//! The stack's end of a flow: moves bytes between smoltcp's buffers and the rings.

use std::sync::Arc;

use netstack::tcp::{FlowId, TcpStack};

use super::FlowStream;
use super::bell::{Bell, Caller, lock};
use super::pipes::{ENOUGH_ROOM, End, Pipes};
use super::ring::Spares;

/// The stack's end.
pub(super) struct Flow {
    pipes: Arc<Pipes>,
    /// The peer has closed its half.
    has_finished: bool,
    /// We have closed ours.
    is_closed: bool,
}

/// Both ends of a new flow.
pub(super) fn open(id: FlowId, bell: &Arc<Bell>, spares: &Arc<Spares>) -> (Flow, FlowStream) {
    let pipes = Arc::new(Pipes::new(Caller::Flow(id), bell.clone(), spares.clone()));
    let stream = FlowStream::new(pipes.clone());
    (Flow { pipes, has_finished: false, is_closed: false }, stream)
}

impl Flow {
    pub(super) fn peer_has_finished(&mut self) {
        self.has_finished = true;
    }

    /// Moves all that can be moved. True: nothing is left to be done for the flow.
    pub(super) fn serve(&mut self, id: FlowId, tcp: &mut TcpStack) -> bool {
        self.pipes.answered();
        match self.send(id, tcp) {
            Some(Gone::Aborted) => true,
            Some(Gone::Abandoned) => self.discard(id, tcp),
            None => {
                self.receive(id, tcp);
                false
            }
        }
    }

    /// The flow is gone from the stack.
    pub(super) fn ended(self, end: End) {
        let reader = {
            let mut inbound = lock(&self.pipes.inbound);
            inbound.end = inbound.end.or(Some(end));
            inbound.reader.take()
        };
        let writer = {
            let mut outbound = lock(&self.pipes.outbound);
            outbound.end = Some(end);
            outbound.writer.take()
        };
        [reader, writer].into_iter().flatten().for_each(std::task::Waker::wake);
    }

    /// Says whether the program is gone.
    fn send(&mut self, id: FlowId, tcp: &mut TcpStack) -> Option<Gone> {
        let mut outbound = lock(&self.pipes.outbound);
        if outbound.is_aborted {
            tcp.abort(id);
            return Some(Gone::Aborted);
        }
        while !outbound.ring.is_empty() {
            let taken = tcp.send(id, outbound.ring.filled());
            if taken == 0 {
                break; // the stack tells when there is room
            }
            outbound.ring.consume(taken, &self.pipes.spares);
        }
        let is_finished = outbound.is_finished && outbound.ring.is_empty();
        if is_finished && !self.is_closed {
            self.is_closed = true;
            tcp.close(id);
        }
        let gone = outbound.is_abandoned.then_some(Gone::Abandoned);
        let writer = (outbound.ring.room() >= ENOUGH_ROOM).then(|| outbound.writer.take()).flatten();
        drop(outbound);
        if let Some(writer) = writer {
            writer.wake();
        }
        gone
    }

    fn receive(&mut self, id: FlowId, tcp: &mut TcpStack) {
        let mut inbound = lock(&self.pipes.inbound);
        let mut any = false;
        loop {
            let free = inbound.ring.free(&self.pipes.spares);
            if free.is_empty() {
                inbound.is_stack_waiting = true;
                break;
            }
            let count = tcp.recv(id, free);
            if count == 0 {
                inbound.ring.settle(&self.pipes.spares);
                if self.has_finished && inbound.end.is_none() {
                    inbound.end = Some(End::Finished);
                    any = true;
                }
                break;
            }
            inbound.ring.produce(count);
            any = true;
        }
        let reader = any.then(|| inbound.reader.take()).flatten();
        drop(inbound);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Nobody reads any more: who still sends is told by a reset (RFC 9293, section 3.6.1). Says whether it is over.
    fn discard(&self, id: FlowId, tcp: &mut TcpStack) -> bool {
        let is_sending = tcp.recv(id, &mut [0; 64]) > 0;
        if is_sending {
            tcp.abort(id);
        }
        is_sending
    }
}

/// How the program left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// With a reset.
    Aborted,
    /// It has dropped its end; what it wrote is still to be sent.
    Abandoned,
}
