//! The demo's own HTTP client, over a stream that is open already.

use anyhow::Context;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Longest page that is read, in bytes.
const LONGEST_PAGE: usize = 64 * 1024;

/// A page that came.
pub(super) struct Page {
    /// The status code.
    pub(super) status: u16,
    /// The text.
    pub(super) body: String,
}

/// Fetches `target`: a path from a server, a whole URL from a proxy.
///
/// # Errors
/// When the other side speaks something else, or ends early.
pub(super) async fn fetch(stream: TcpStream, host: &str, target: &str) -> anyhow::Result<Page> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.context("failed to speak HTTP")?;
    let request = Request::get(target).header(HOST, host).body(Empty::<Bytes>::new())?;
    let exchange = async {
        let answer = sender.send_request(request).await.context("failed to get an answer")?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), LONGEST_PAGE).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("failed to read the page: {error}"))?;
        Ok(Page { status, body: String::from_utf8_lossy(&body.to_bytes()).into_owned() })
    };
    tokio::select! {
        page = exchange => page,
        // it only ends early by an error; otherwise the exchange is polled to its end
        Err(error) = connection => Err(error).context("the connection broke"),
    }
}
