//! Connecting to the first of several addresses that answers (RFC 8305, in small).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{DialError, Stream};

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
pub(super) async fn first_of(addresses: &[SocketAddr]) -> Result<Stream, DialError> {
    match addresses {
        [] => Err(DialError::NotFound),
        [address] => attempt(*address).await.map_err(DialError::from),
        several => race(several).await,
    }
}

async fn race(addresses: &[SocketAddr]) -> Result<Stream, DialError> {
    let mut waiting = addresses.iter().copied().take(MOST_ATTEMPTS);
    let mut attempts = JoinSet::new();
    let mut failure = None;
    loop {
        let is_last = match waiting.next() {
            Some(address) => {
                attempts.spawn(attempt(address));
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

async fn attempt(address: SocketAddr) -> io::Result<Stream> {
    let connect = TcpStream::connect(address);
    let stream = tokio::time::timeout(PATIENCE, connect).await.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?; // what comes here was gathered by the program's own connection
    Ok(Stream::Tcp(stream))
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
        assert!(first_of(&[closed, open]).await.is_ok());
        assert!(matches!(first_of(&[closed, closed]).await, Err(DialError::ConnectionRefused)));
        assert!(matches!(first_of(&[closed]).await, Err(DialError::ConnectionRefused)));
    }
}
