//! The demo's intranet: a web page, a TCP echo, a UDP echo and an endless stream, all on 127.0.0.1.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::zone::ZoneServer;

/// What the page says; the proofs look for it.
pub(super) const GREETING: &str = "Hello from the demo's intranet";

/// Names of the hosts, which all live at 127.0.0.1.
const HOSTS: [&str; 3] = ["wiki", "echo", "payroll"];
/// Connections that the echo or the stream serves at one time.
const MOST_CONNECTIONS: usize = 256;
/// Bytes that are written at a time.
const CHUNK: usize = 64 * 1024;
/// Largest datagram.
const LARGEST_DATAGRAM: usize = 65_535;

/// The intranet; it ends when it is dropped.
pub(super) struct Intranet {
    /// The server of the zone.
    pub(super) zone: ZoneServer,
    /// Port of the web page.
    pub(super) web: u16,
    /// Port of the echo, TCP and UDP.
    pub(super) echo: u16,
    /// Port that sends zeros for as long as somebody reads.
    pub(super) stream: u16,
    _tasks: JoinSet<()>,
}

impl Intranet {
    /// Starts all of it on free ports.
    ///
    /// # Errors
    /// When no port is free.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let zone = ZoneServer::start(&HOSTS).await?;
        let (web, web_port) = listener().await?;
        let (stream, stream_port) = listener().await?;
        let (echo, echo_port) = listener().await?;
        let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, echo_port)).await;
        let datagrams = datagrams.context("failed to serve the UDP echo")?;
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_page(web));
        tasks.spawn(serve_each(echo, echo_connection));
        tasks.spawn(serve_each(stream, send_zeros));
        tasks.spawn(echo_datagrams(datagrams));
        Ok(Self { zone, web: web_port, echo: echo_port, stream: stream_port, _tasks: tasks })
    }
}

async fn listener() -> anyhow::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
    let listener = listener.context("failed to serve the intranet")?;
    let port = listener.local_addr().context("failed to serve the intranet")?.port();
    Ok((listener, port))
}

async fn serve_page(listener: TcpListener) {
    let page = format!("<!doctype html><title>Wiki</title><h1>{GREETING}</h1>\n");
    let router = Router::new().route("/", get(|| async { Html(page) }));
    let _ = axum::serve(listener, router).await; // it ends with its task only
}

async fn serve_each<F>(listener: TcpListener, serve: fn(TcpStream) -> F)
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        if connections.len() >= MOST_CONNECTIONS {
            connections.join_next().await;
        }
        let Ok((connection, _)) = listener.accept().await else { continue };
        connections.spawn(async move { serve(connection).await.unwrap_or_default() });
        while connections.try_join_next().is_some() {}
    }
}

async fn echo_connection(mut connection: TcpStream) -> std::io::Result<()> {
    let (mut from, mut to) = connection.split();
    tokio::io::copy(&mut from, &mut to).await?;
    to.shutdown().await
}

async fn send_zeros(mut connection: TcpStream) -> std::io::Result<()> {
    let zeros = vec![0; CHUNK];
    let mut ignored = [0; 64];
    let (mut from, mut to) = connection.split();
    tokio::select! {
        result = async { loop { to.write_all(&zeros).await?; } } => result,
        result = from.read(&mut ignored) => result.map(drop),
    }
}

async fn echo_datagrams(socket: UdpSocket) {
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let _ = socket.send_to(&buffer[..length], from).await; // a datagram may be lost
    }
}
