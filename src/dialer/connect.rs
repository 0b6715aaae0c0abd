//! Connecting to the first of several addresses that answers (RFC 8305, in small).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use platform::Family;
use platform::private_namespace::Kind;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::{DialError, Line, Stream, Way};

/// The next address is tried beside the former ones after so long a silence (RFC 8305, section 5).
const NEXT_AFTER: Duration = Duration::from_millis(250);
/// An attempt is given up after so long: five SYNs were sent by then.
const PATIENCE: Duration = Duration::from_secs(30);
/// Addresses that are tried; a name with more is not better reached.
const MOST_ATTEMPTS: usize = 6;

/// Opens a connection to the first of `addresses` that answers.
///
/// # Errors
/// What the first of them to fail says.
pub(super) async fn first_of(line: &Line, addresses: &[SocketAddr]) -> Result<Stream, DialError> {
    match addresses {
        [] => Err(DialError::NotFound),
        [address] => attempt(line.clone(), *address).await.map_err(DialError::from),
        several => race(line, several).await,
    }
}

async fn race(line: &Line, addresses: &[SocketAddr]) -> Result<Stream, DialError> {
    let mut waiting = addresses.iter().copied().take(MOST_ATTEMPTS);
    let mut attempts = JoinSet::new();
    let mut failure = None;
    loop {
        let is_last = match waiting.next() {
            Some(address) => {
                attempts.spawn(attempt(line.clone(), address));
                false
            }
            None if attempts.is_empty() => return Err(failure.unwrap_or(DialError::NotFound)),
            None => true,
        };
        let ended = tokio::select! {
            ended = attempts.join_next() => ended,
            () = tokio::time::sleep(NEXT_AFTER), if !is_last => None,
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => failure = failure.or(Some(error.into())),
            Some(Err(_)) | None => {} // only a dropped race cancels its attempts
        }
    }
}

async fn attempt(line: Line, address: SocketAddr) -> io::Result<Stream> {
    tokio::time::timeout(PATIENCE, open(&line, address)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

async fn open(line: &Line, address: SocketAddr) -> io::Result<Stream> {
    let stream = match &line.way {
        Way::Kernel => TcpStream::connect(address).await?,
        Way::Namespace(broker) => {
            let socket = broker.socket(Kind::Tcp, family(address.is_ipv6()))?;
            TcpSocket::from_std_stream(socket.into()).connect(address).await?
        }
        Way::Stack => return line.connect(address).await.map(Stream::Flow),
    };
    stream.set_nodelay(true)?; // what comes here was gathered by the program's own connection
    Ok(Stream::Tcp(stream))
}

/// As the broker names it.
pub(super) fn family(is_ipv6: bool) -> Family {
    if is_ipv6 { Family::V6 } else { Family::V4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_answers_is_found_among_those_that_refuse() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        let (requests, _queue) = tokio::sync::mpsc::channel(1);
        let line = Line { requests, way: Way::Kernel };
        assert!(first_of(&line, &[closed, open]).await.is_ok());
        assert!(matches!(first_of(&line, &[closed, closed]).await, Err(DialError::ConnectionRefused)));
        assert!(matches!(first_of(&line, &[closed]).await, Err(DialError::ConnectionRefused)));
    }
}
