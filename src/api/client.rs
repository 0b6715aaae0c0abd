//! The other end of the control socket: what the command line asks the running connector.

use std::io;
use std::path::Path;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::request::Builder;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Problem;
use crate::status::{DeviceReport, Status};

/// Longest answer that is read, in octets: a status with ten thousand applications has some MiB.
const MAX_ANSWER: usize = 32 << 20;

/// How long an answer may take: longer than the service's own limit for a command.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("the connector does not run")]
    NotRunning,
    /// The socket's folder is closed to this user.
    #[error("failed to reach the connector: permission denied")]
    NotPermitted,
    /// It listens, but does not answer in time.
    #[error("the connector does not answer")]
    Timeout,
    /// The answer cannot be understood.
    #[error("failed to understand the connector: {0}")]
    Protocol(String),
    /// It answered with a problem.
    #[error("{}", .0.detail)]
    Problem(Problem),
}

/// Asks for the status.
///
/// # Errors
/// When nobody answers, or with a problem.
pub async fn get_status(socket: &Path) -> Result<Status, ClientError> {
    request(socket, Method::GET, "/api/v1/status").await
}

/// Connects; the answer is the status afterwards.
///
/// # Errors
/// When nobody answers, or with a problem.
pub async fn connect(socket: &Path) -> Result<Status, ClientError> {
    request(socket, Method::POST, "/api/v1/connect").await
}

/// Disconnects; the answer is the status afterwards.
///
/// # Errors
/// When nobody answers, or with a problem.
pub async fn disconnect(socket: &Path) -> Result<Status, ClientError> {
    request(socket, Method::POST, "/api/v1/disconnect").await
}

/// Looks at the device's security; the answer is what was found.
///
/// # Errors
/// When nobody answers, or with a problem.
pub async fn assess(socket: &Path) -> Result<DeviceReport, ClientError> {
    request(socket, Method::POST, "/api/v1/assess").await
}

/// Asks for a resource without a body; the answer is read as JSON.
///
/// # Errors
/// When nobody answers, or with a problem.
pub async fn request<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
) -> Result<T, ClientError> {
    let exchange = async {
        let stream = UnixStream::connect(socket).await.map_err(refused)?;
        exchange(stream, method, path).await
    };
    let (status, body) = timeout(TIMEOUT, exchange).await.map_err(|_| ClientError::Timeout)??;
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|error| ClientError::Protocol(error.to_string()));
    }
    let problem = serde_json::from_slice(&body).unwrap_or_else(|_| Problem::new(status, status.to_string()));
    Err(ClientError::Problem(problem))
}

/// Follows a resource until the service ends, or `take` says no: hands out the data of each event as JSON.
///
/// # Errors
/// When nobody answers, or with a problem.
pub async fn follow<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    mut take: impl FnMut(T) -> bool,
) -> Result<(), ClientError> {
    let stream = UnixStream::connect(socket).await.map_err(refused)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let request = head(Method::GET, path).header(header::ACCEPT, "text/event-stream");
    let response = sender.send_request(whole(request)?).await.map_err(broken)?;
    if !response.status().is_success() {
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| ClientError::Protocol(error.to_string()))?.to_bytes();
        let unknown = || Problem::new(status, status.to_string());
        return Err(ClientError::Problem(serde_json::from_slice(&body).unwrap_or_else(|_| unknown())));
    }
    let (mut body, mut rest) = (response.into_body(), Vec::new());
    while let Some(Ok(frame)) = body.frame().await {
        rest.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        while let Some(end) = rest.iter().position(|octet| *octet == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let data = line.strip_prefix(b"data: ").and_then(|data| serde_json::from_slice(data).ok());
            if data.is_some_and(|data| !take(data)) {
                driver.abort();
                return Ok(());
            }
        }
        if rest.len() > MAX_ANSWER {
            return Err(ClientError::Protocol("a line has no end".to_owned()));
        }
    }
    Ok(())
}

fn head(method: Method, path: &str) -> Builder {
    Request::builder().method(method).uri(path).header(header::HOST, "localhost")
}

fn whole(request: Builder) -> Result<Request<Body>, ClientError> {
    request.body(Body::empty()).map_err(|error| ClientError::Protocol(error.to_string()))
}

async fn exchange(
    stream: UnixStream,
    method: Method,
    path: &str,
) -> Result<(StatusCode, Bytes), ClientError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let answer = async {
        let response = sender.send_request(whole(head(method, path))?).await.map_err(broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
        Ok((status, body.map_err(|error| ClientError::Protocol(error.to_string()))?.to_bytes()))
    };
    let answer = answer.await;
    driver.abort();
    answer
}

/// A connection that ends without an answer means that the service went away.
fn broken(error: hyper::Error) -> ClientError {
    if error.is_parse() { ClientError::Protocol(error.to_string()) } else { ClientError::NotRunning }
}

fn refused(error: io::Error) -> ClientError {
    let kind = error.kind();
    if kind == io::ErrorKind::PermissionDenied {
        return ClientError::NotPermitted;
    }
    if kind == io::ErrorKind::NotFound || kind == io::ErrorKind::ConnectionRefused {
        return ClientError::NotRunning;
    }
    ClientError::Protocol(error.to_string())
}
