//! A TCP connection to a protected destination, whatever carries it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::user_stack::FlowStream;

/// A connection. A reset by the peer shows as [`io::ErrorKind::ConnectionReset`].
#[derive(Debug)]
pub enum Stream {
    /// The kernel's.
    Tcp(TcpStream),
    /// One of the stack in user space.
    Flow(FlowStream),
}

impl Stream {
    /// Waits until [`Self::try_read`] has something to say.
    ///
    /// # Errors
    /// When the runtime ends.
    pub async fn readable(&self) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll_read_ready(context)).await
    }

    /// Waits until [`Self::try_write`] takes something.
    ///
    /// # Errors
    /// When the runtime ends.
    pub async fn writable(&self) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll_write_ready(context)).await
    }

    /// As [`Self::readable`], for hand-made futures; one task at a time is woken.
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Flow(stream) => stream.poll_read_ready(context),
        }
    }

    /// As [`Self::writable`], for hand-made futures; one task at a time is woken.
    pub fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(context),
            Self::Flow(stream) => stream.poll_write_ready(context),
        }
    }

    /// Reads what is there; 0: the peer sends no more.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, `ConnectionReset` after a reset.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Flow(stream) => stream.try_read(buffer),
        }
    }

    /// Writes as much as there is room for.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room, `ConnectionReset` or `BrokenPipe` when nobody reads any more.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Flow(stream) => stream.try_write(bytes),
        }
    }

    /// Says that we send no more; reading goes on.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => Ok(rustix::net::shutdown(stream, rustix::net::Shutdown::Write)?),
            Self::Flow(stream) => {
                stream.shutdown_write();
                Ok(())
            }
        }
    }

    /// Ends the connection at once with a reset.
    pub fn reset(self) {
        match self {
            Self::Tcp(stream) => {
                let _ = stream.set_zero_linger(); // gone already: the same
            }
            Self::Flow(stream) => stream.reset(),
        }
    }
}

impl From<FlowStream> for Stream {
    fn from(stream: FlowStream) -> Self {
        Self::Flow(stream)
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Flow(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Flow(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Flow(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Flow(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
