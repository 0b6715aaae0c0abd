//! One connection of HTTP: slow, long and endless ones are cut, but for streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};

/// Longest head of a request, in octets: those of browsers have one or two KiB.
const MAX_HEAD: usize = 16 << 10;
/// Fields of a head: a browser sends about twenty.
const MAX_FIELDS: usize = 64;
/// How long the head of a request may take, and a connection may rest between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection takes requests, and then how long the last answer may take: longer than any command.
const LIFETIME: Duration = Duration::from_secs(60);

/// Set by an answer that has no end: its connection is not cut after its time. An extension of each request.
#[derive(Debug, Clone, Default)]
pub struct KeepOpen(Arc<AtomicBool>);

impl KeepOpen {
    /// The answer has no end.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Serves one connection until its end.
pub async fn serve<S>(stream: S, router: Router, open: KeepOpen)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let first = tokio::select! {
        result = connection.as_mut() => Some(result),
        () = sleep(LIFETIME) => None,
    };
    let result = match first {
        Some(result) => result,
        None => {
            connection.as_mut().graceful_shutdown(); // what is under way is finished
            loop {
                match timeout(LIFETIME, connection.as_mut()).await {
                    Ok(result) => break result,
                    Err(_) if open.is_set() => {}
                    Err(_) => return tracing::debug!("a local connection lasted too long"),
                }
            }
        }
    };
    // what a caller does wrong on its connection is its own affair
    if let Err(error) = result {
        tracing::debug!(%error, "a local connection ended badly");
    }
}
