//! What loops watch: descriptors to read, sources of changes, sockets that are full, and one deadline.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Sleep;

/// For a timer that nobody has set yet.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// Registers a descriptor with the runtime, to be read.
///
/// # Errors
/// When the system cannot watch it, or nothing more.
pub(crate) fn readable<T: AsRawFd>(source: T) -> io::Result<AsyncFd<T>> {
    watched(source, Interest::READABLE)
}

/// Registers what tells of changes, if it could be made.
///
/// # Errors
/// Why it could not, or why the system cannot watch it.
pub(crate) fn source<T: AsRawFd>(made: Result<T, platform::Error>) -> anyhow::Result<AsyncFd<T>> {
    Ok(readable(made?)?)
}

/// Waits until a source tells something; without one for ever. What it tells after this is told anew.
pub(crate) async fn told<T: AsRawFd>(source: Option<&AsyncFd<T>>) {
    match source {
        Some(source) => match source.readable().await {
            Ok(mut guard) => guard.clear_ready(),
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// Waits until then; without a time for ever.
pub(crate) async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Says that nothing is left to read, so that the next wait really waits.
pub(crate) fn clear_read<T: AsRawFd>(source: &AsyncFd<T>) {
    let mut context = Context::from_waker(Waker::noop());
    if let Poll::Ready(Ok(mut guard)) = source.poll_read_ready(&mut context) {
        guard.clear_ready();
    }
}

/// Room in a socket that was full. It is watched for that only while somebody waits: a socket that always is wakes its
/// thread for every datagram that leaves its queue.
#[derive(Debug)]
pub(crate) struct Room(AsyncFd<OwnedFd>);

impl Room {
    /// Watches a socket that takes no more.
    ///
    /// # Errors
    /// When there are no more descriptors, or the system cannot watch it.
    pub(crate) fn of(socket: &impl AsFd) -> io::Result<Self> {
        watched(socket.as_fd().try_clone_to_owned()?, Interest::WRITABLE).map(Self)
    }

    /// Whether the socket takes datagrams again; if not, the task is woken when it does.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_write_ready(context).map(drop)
    }
}

/// The deadline of a loop that moves with every turn. The runtime's timer is set anew only when the deadline comes nearer
/// or has passed, since each new timer costs more than a packet.
#[derive(Debug)]
pub(crate) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    set: Option<Instant>,
}

impl Alarm {
    /// One that is not set; to be called inside a runtime.
    pub(crate) fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(FAR)), set: None }
    }

    /// Waits until `deadline`, or until an earlier one that was waited for before. May be dropped and called again.
    pub(crate) async fn wait(&mut self, deadline: Option<Instant>) {
        if let Some(deadline) = deadline
            && self.set.is_none_or(|set| deadline < set)
        {
            self.sleep.as_mut().reset(deadline.into());
            self.set = Some(deadline);
        }
        std::future::poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.set.is_none() || self.sleep.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.set = None;
        Poll::Ready(())
    }
}

#[expect(
    deprecated,
    reason = "what replaces it is unsafe; our types own their descriptor and never change it"
)]
fn watched<T: AsRawFd>(source: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(source, interest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the alarm goes off within a generous limit, or the moment that is given.
    async fn passes(alarm: &mut Alarm, deadline: Option<Instant>, within: Duration) -> bool {
        tokio::time::timeout(within, alarm.wait(deadline)).await.is_ok()
    }

    #[tokio::test]
    async fn an_alarm_follows_a_deadline_that_comes_nearer_and_keeps_one_that_goes_away() {
        let (mut alarm, moment, long) = (Alarm::new(), Duration::from_millis(5), Duration::from_secs(30));
        let (now, hour) = (Instant::now(), Duration::from_secs(3600));
        assert!(!passes(&mut alarm, None, moment).await, "it is not set");
        assert!(!passes(&mut alarm, Some(now + 2 * hour), moment).await);
        assert!(!passes(&mut alarm, Some(now + hour), moment).await);
        let soon = Instant::now() + Duration::from_millis(50);
        let _ = passes(&mut alarm, Some(soon), Duration::ZERO).await;
        assert!(passes(&mut alarm, Some(now + hour), long).await, "the earlier one");
        assert!(Instant::now() >= soon);
        assert!(!passes(&mut alarm, Some(now + hour), moment).await);
        assert!(passes(&mut alarm, Some(now), long).await, "one that has passed");
    }

    #[tokio::test]
    async fn a_socket_with_room_is_ready_at_once() {
        let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let room = Room::of(&socket).unwrap();
        let ready = std::future::poll_fn(|context| room.poll(context));
        tokio::time::timeout(Duration::from_secs(10), ready).await.unwrap();
    }
}
