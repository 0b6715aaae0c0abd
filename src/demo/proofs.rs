//! What the demo proves, one after the other, each with its time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::intranet::GREETING;
use super::page_client::{Page, fetch};
use super::socks_client::{self, Connected, REFUSED_BY_POLICY};
use super::zone::ZONE;

/// Longest time for one proof.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How long the system's DNS is listened to; without a network it would be silent for longer.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(1);
/// How long the throughput is measured.
const MEASURED: Duration = Duration::from_millis(700);
/// What the UDP echo must return.
const PING: &[u8] = b"ping of the demo";

/// Where things are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    /// The SOCKS5 proxy.
    pub(super) socks: SocketAddr,
    /// The HTTP proxy.
    pub(super) http: SocketAddr,
    /// Port of the web page.
    pub(super) web: u16,
    /// Port of the echo.
    pub(super) echo: u16,
    /// Port of the endless stream.
    pub(super) stream: u16,
}

/// One proof and how it went.
pub struct Proof {
    /// What is proven, as a sentence.
    pub what: &'static str,
    /// What was seen, or why it failed.
    pub result: anyhow::Result<String>,
    /// How long it took.
    pub took: Duration,
}

/// Proves all of it in order, and tells each as soon as it is known.
pub(super) async fn prove(places: Places, tell: &mut dyn FnMut(&Proof)) -> bool {
    let mut holds = true;
    let mut one = |proof: Proof| {
        holds &= proof.result.is_ok();
        tell(&proof);
    };
    one(timed("the name does not exist outside", is_unknown_outside(places)).await);
    one(timed("a web page through SOCKS5", page_through_socks(places)).await);
    one(timed("the same page through the HTTP proxy", page_through_http(places)).await);
    one(timed("a UDP echo through SOCKS5", echo_datagram(places)).await);
    one(timed("a port that no rule allows is refused", refusal_of_socks(places)).await);
    one(timed("the HTTP proxy says why it refuses", refusal_of_http(places)).await);
    one(timed("what is others' does not exist", is_hidden(places)).await);
    one(timed("throughput of one stream", throughput(places)).await);
    holds
}

pub(super) async fn timed(what: &'static str, proof: impl Future<Output = anyhow::Result<String>>) -> Proof {
    let start = Instant::now();
    let result = tokio::time::timeout(TIME_LIMIT, proof).await;
    let result = result.unwrap_or_else(|_| bail!("nothing happened for {} s", TIME_LIMIT.as_secs()));
    Proof { what, result, took: start.elapsed() }
}

fn host(name: &str) -> String {
    format!("{name}.{ZONE}")
}

async fn is_unknown_outside(places: Places) -> anyhow::Result<String> {
    let wiki = host("wiki");
    let look_up = tokio::net::lookup_host((wiki.as_str(), places.web));
    match tokio::time::timeout(LOOK_UP_LIMIT, look_up).await {
        Ok(Ok(_)) => bail!("the system's DNS knows {wiki}"),
        Ok(Err(_)) => Ok(format!("the system's DNS does not know {wiki}")),
        Err(_) => Ok(format!("the system's DNS has no answer for {wiki}")),
    }
}

async fn open(places: Places, name: &str, port: u16) -> anyhow::Result<TcpStream> {
    match socks_client::connect(places.socks, &host(name), port).await? {
        Connected::Stream(stream) => Ok(stream),
        Connected::Refused(code) => bail!("the proxy refused with code {code}"),
    }
}

async fn page_through_socks(places: Places) -> anyhow::Result<String> {
    let stream = open(places, "wiki", places.web).await?;
    check_page(fetch(stream, &host("wiki"), "/").await?)
}

async fn page_through_http(places: Places) -> anyhow::Result<String> {
    let stream = TcpStream::connect(places.http).await.context("failed to reach the HTTP proxy")?;
    let (authority, wiki) = (format!("{}:{}", host("wiki"), places.web), host("wiki"));
    check_page(fetch(stream, &wiki, &format!("http://{authority}/")).await?)
}

fn check_page(page: Page) -> anyhow::Result<String> {
    ensure!(page.status == 200, "the answer was {}", page.status);
    ensure!(page.body.contains(GREETING), "another page came");
    Ok(format!("200, \"{GREETING}\""))
}

async fn echo_datagram(places: Places) -> anyhow::Result<String> {
    let answer = socks_client::exchange(places.socks, &host("echo"), places.echo, PING).await?;
    ensure!(answer == PING, "another datagram came back");
    Ok(format!("{} bytes there and back", answer.len()))
}

async fn refusal_of_socks(places: Places) -> anyhow::Result<String> {
    match socks_client::connect(places.socks, &host("wiki"), places.echo).await? {
        Connected::Refused(REFUSED_BY_POLICY) => Ok("code 2, not allowed by ruleset".to_owned()),
        Connected::Refused(code) => bail!("the proxy refused with code {code} instead of 2"),
        Connected::Stream(_) => bail!("the connection was let through"),
    }
}

async fn refusal_of_http(places: Places) -> anyhow::Result<String> {
    let stream = TcpStream::connect(places.http).await.context("failed to reach the HTTP proxy")?;
    let authority = format!("{}:{}", host("wiki"), places.echo);
    let page = fetch(stream, &host("wiki"), &format!("http://{authority}/")).await?;
    ensure!(page.status == 403, "the answer was {}", page.status);
    ensure!(page.body.contains("wiki"), "the page does not name the application");
    Ok("403, and the page names the application and its rule".to_owned())
}

/// The gateway answers names of the peer's own applications only, whatever the connector believes.
async fn is_hidden(places: Places) -> anyhow::Result<String> {
    match socks_client::connect(places.socks, &host("payroll"), places.echo).await? {
        Connected::Refused(code) => {
            Ok(format!("{} is not known to this device (code {code})", host("payroll")))
        }
        Connected::Stream(_) => bail!("the connection was let through"),
    }
}

async fn throughput(places: Places) -> anyhow::Result<String> {
    let mut stream = open(places, "wiki", places.stream).await?;
    let mut buffer = vec![0; 256 * 1024];
    let start = Instant::now();
    let mut bytes = 0_usize;
    while start.elapsed() < MEASURED {
        let length = stream.read(&mut buffer).await?;
        ensure!(length > 0, "the stream ended");
        bytes += length;
    }
    let megabits = bytes as f64 * 8.0 / 1e6 / start.elapsed().as_secs_f64();
    Ok(format!("{megabits:.0} Mbit/s from the intranet, sealed and opened on this machine"))
}
