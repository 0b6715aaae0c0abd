//! The program's end of a flow of the stack: a stream of bytes, to be used on any thread.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::bell::lock;
use super::pipes::{ENOUGH_ROOM, End, Pipes};

/// A TCP connection whose segments the stack in user space makes. Dropping it closes it: what was written is still
/// sent, and a peer that goes on sending is told by a reset.
#[derive(Debug)]
pub struct FlowStream {
    pipes: Arc<Pipes>,
}

impl FlowStream {
    pub(super) fn new(pipes: Arc<Pipes>) -> Self {
        Self { pipes }
    }

    /// Ready when [`Self::try_read`] has something to say. One task at a time is woken.
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inbound = lock(&self.pipes.inbound);
        if !inbound.ring.is_empty() || inbound.end.is_some() {
            return Poll::Ready(Ok(()));
        }
        remember(&mut inbound.reader, context);
        Poll::Pending
    }

    /// Ready when [`Self::try_write`] takes more than a little, or has an error to tell. One task at a time is woken.
    pub fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outbound = lock(&self.pipes.outbound);
        if outbound.ring.room() >= ENOUGH_ROOM || outbound.end.is_some() || outbound.is_finished {
            return Poll::Ready(Ok(()));
        }
        remember(&mut outbound.writer, context);
        Poll::Pending
    }

    /// Reads what is there; 0: the peer sends no more.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, `ConnectionReset` after a reset, `TimedOut` when the peer went silent.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut inbound = lock(&self.pipes.inbound);
        if inbound.ring.is_empty() && !buffer.is_empty() {
            return match inbound.end {
                None => Err(io::ErrorKind::WouldBlock.into()),
                Some(End::Finished) => Ok(0),
                Some(end) => Err(end.into()),
            };
        }
        let count = inbound.ring.read(buffer, &self.pipes.spares);
        let is_wanted = inbound.is_stack_waiting && inbound.ring.room() >= ENOUGH_ROOM;
        if is_wanted {
            inbound.is_stack_waiting = false;
        }
        drop(inbound);
        if is_wanted {
            self.pipes.call();
        }
        Ok(count)
    }

    /// Writes as much as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; `ConnectionReset`, `TimedOut` or `BrokenPipe` when nobody reads any more.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut outbound = lock(&self.pipes.outbound);
        if let Some(end) = outbound.end {
            return Err(end.into());
        }
        if outbound.is_finished {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let was_empty = outbound.ring.is_empty();
        let taken = outbound.ring.write(bytes, &self.pipes.spares);
        drop(outbound);
        match taken {
            0 if !bytes.is_empty() => return Err(io::ErrorKind::WouldBlock.into()),
            0 => {}
            _ if was_empty => self.pipes.call(),
            _ => {} // the stack knows of the bytes before these
        }
        Ok(taken)
    }

    /// Says that we send no more; reading goes on.
    pub fn shutdown_write(&self) {
        lock(&self.pipes.outbound).is_finished = true;
        self.pipes.call();
    }

    /// Ends the flow at once with a reset.
    pub fn reset(self) {
        lock(&self.pipes.outbound).is_aborted = true; // dropping it calls the stack
    }
}

impl Drop for FlowStream {
    fn drop(&mut self) {
        let is_unread = !lock(&self.pipes.inbound).ring.is_empty();
        {
            let mut outbound = lock(&self.pipes.outbound);
            outbound.is_aborted |= is_unread; // as the kernel does: the peer's bytes were not taken in
            (outbound.is_finished, outbound.is_abandoned) = (true, true);
        }
        self.pipes.call();
    }
}

impl AsyncRead for FlowStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_read_ready(context))?;
        let count = self.try_read(buffer.initialize_unfilled())?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FlowStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.poll_write_ready(context) {
                Poll::Ready(_) => Poll::Ready(self.try_write(bytes)),
                Poll::Pending => Poll::Pending,
            },
            result => Poll::Ready(result),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shutdown_write();
        Poll::Ready(Ok(()))
    }
}

fn remember(slot: &mut Option<Waker>, context: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(context.waker()),
        none => *none = Some(context.waker().clone()),
    }
}
