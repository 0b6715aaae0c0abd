//! One direction of a flow: reads what comes, writes it on, keeps only what the other side does not take at once.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Pieces that one flow may carry before others have their turn: a MiB, which takes a fraction of a millisecond.
const TURN: usize = 16;

/// Which side failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It cannot be read any more.
    Source,
    /// It takes nothing any more.
    Sink,
}

/// What is known of one direction.
pub(super) struct Direction {
    /// Read, and not taken by the other side yet; empty and without room otherwise.
    waiting: Vec<u8>,
    /// How much of it was taken.
    taken: usize,
    state: State,
    /// Whether anything was carried since it was last asked.
    has_moved: bool,
    /// Octets that were delivered.
    pub(super) carried: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The source has sent all; the sink is to be told once it has everything.
    Ending,
    Done,
}

impl Direction {
    /// A direction that first delivers what was read already.
    pub(super) fn new(early: Vec<u8>) -> Self {
        Self { waiting: early, taken: 0, state: State::Open, has_moved: false, carried: 0 }
    }

    /// Whether nothing will be carried any more.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether anything was carried since the last call.
    pub(super) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// Carries what can be carried now. Ready when it is done, once with the fault that ended it.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        scratch: &mut [u8],
    ) -> Poll<Result<(), Fault>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        for _ in 0..TURN {
            if self.state == State::Done {
                return Poll::Ready(Ok(()));
            }
            match ready!(self.poll_piece(cx, source, sink, scratch)) {
                Ok(()) => {}
                Err(fault) => {
                    self.finish();
                    return Poll::Ready(Err(fault));
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_piece<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut R,
        sink: &mut W,
        scratch: &mut [u8],
    ) -> Poll<Result<(), Fault>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        ready!(self.poll_deliver(cx, sink))?;
        if self.state == State::Ending {
            // a sink that cannot be told is gone, which its own direction finds out
            let _ = ready!(Pin::new(sink).poll_shutdown(cx));
            self.finish();
            return Poll::Ready(Ok(()));
        }
        let mut piece = ReadBuf::new(scratch);
        ready!(Pin::new(source).poll_read(cx, &mut piece)).map_err(|_| Fault::Source)?;
        let piece = piece.filled();
        if piece.is_empty() {
            self.state = State::Ending;
            return Poll::Ready(Ok(()));
        }
        let taken = match Pin::new(sink).poll_write(cx, piece) {
            Poll::Ready(Ok(taken)) => self.count(taken),
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::Sink)),
            Poll::Pending => 0,
        };
        if taken < piece.len() {
            self.waiting = piece[taken..].to_vec();
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when nothing waits any more.
    fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<Result<(), Fault>> {
        while self.taken < self.waiting.len() {
            match ready!(Pin::new(&mut *sink).poll_write(cx, &self.waiting[self.taken..])) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Fault::Sink)),
                Ok(taken) => self.taken += self.count(taken),
            }
        }
        (self.waiting, self.taken) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    fn count(&mut self, taken: usize) -> usize {
        self.has_moved |= taken > 0;
        self.carried += taken as u64;
        taken
    }

    fn finish(&mut self) {
        (self.waiting, self.taken, self.state) = (Vec::new(), 0, State::Done);
    }
}
