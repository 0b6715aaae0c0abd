//! The demo's device: a child process in a network of its own, where a connector with a TUN serves every program.
//!
//! The child keeps one socket of the system's network, made before it left it, and relays datagrams between it and its
//! own loopback: that is its way to the gateway, and nothing of the system is changed for it.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::{TcpStream, UdpSocket};
use tokio::process::{Child, ChildStdout, Command};

use super::intranet::{GREETING, Intranet};
use super::page_client::fetch;
use super::proofs::{Proof, timed};
use super::wait_until_connected;
use super::world::{Role, World};
use super::zone::ZONE;
use crate::connector::{Service, ServiceOptions};

/// The subcommand with which the program becomes the device.
pub const SUBCOMMAND: &str = "demo-device";
/// How long the device may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const LARGEST_DATAGRAM: usize = 65_535;

/// What the child is told.
#[derive(Debug, Serialize, Deserialize)]
struct Task {
    config: PathBuf,
    state_dir: PathBuf,
    gateway: SocketAddr,
    resolv_conf: PathBuf,
    empty_file: PathBuf,
    web: u16,
    echo: u16,
}

/// What the child says, a line each.
#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Proven { what: String, result: Result<String, String>, took: Duration },
    Done,
}

/// The running child; it ends when its standard input closes.
pub(super) struct Device {
    child: Child,
    reports: Lines<BufReader<ChildStdout>>,
}

impl Device {
    /// Starts the child.
    ///
    /// # Errors
    /// When its files cannot be written, or the program cannot be executed again.
    pub(super) async fn start(
        world: &World,
        gateway: SocketAddr,
        intranet: &Intranet,
    ) -> anyhow::Result<Self> {
        let folder = world.folder("device")?;
        let (resolv_conf, empty_file) = (folder.join("resolv.conf"), folder.join("empty"));
        std::fs::write(&resolv_conf, "nameserver 127.0.0.1\n").context("failed to prepare the device")?;
        std::fs::write(&empty_file, "").context("failed to prepare the device")?;
        let task = Task {
            // on its own loopback the gateway has the port that it has on the system's
            config: world.write_connector(Role::Device, gateway, intranet, None)?,
            state_dir: world.folder("device-state")?,
            gateway,
            resolv_conf,
            empty_file,
            web: intranet.web,
            echo: intranet.echo,
        };
        let program = std::env::current_exe().context("failed to find this program")?;
        let mut child = Command::new(program)
            .args([SUBCOMMAND, &serde_json::to_string(&task)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the device")?;
        let reports = child.stdout.take().context("failed to hear the device")?;
        Ok(Self { child, reports: BufReader::new(reports).lines() })
    }

    /// The child's process number; 0 when it has ended.
    pub(super) fn id(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// Tells what the child proves.
    ///
    /// # Errors
    /// When the child ends before it is done.
    pub(super) async fn prove(&mut self, tell: &mut dyn FnMut(&Proof)) -> anyhow::Result<bool> {
        let mut holds = true;
        while let Some(line) = self.reports.next_line().await? {
            match serde_json::from_str(&line).with_context(|| format!("failed to read report: `{line}`"))? {
                Report::Done => return Ok(holds),
                Report::Proven { what, result, took } => {
                    holds &= result.is_ok();
                    tell(&Proof { what: name_of(&what), result: result.map_err(anyhow::Error::msg), took });
                }
            }
        }
        bail!("the device ended before it was done")
    }

    /// Ends the child in order.
    ///
    /// # Errors
    /// When it does not end in time.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let ended = tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await;
        ended.context("failed to end the device in time")?.context("failed to end the device").map(drop)
    }
}

const PROOFS: [&str; 4] = [
    "the tunnel of the device stands",
    "a plain connection by name",
    "a plain UDP echo by name",
    "a port that no rule allows is refused at once",
];

fn name_of(what: &str) -> &'static str {
    PROOFS.into_iter().find(|name| *name == what).unwrap_or("a proof of the device")
}

/// What the child does.
///
/// # Errors
/// When the network or the connector cannot be made.
pub fn device_main(task: &str, say: &mut dyn FnMut(&str)) -> anyhow::Result<ExitCode> {
    let task: Task = serde_json::from_str(task).context("failed to read the device's task")?;
    let outside = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to keep a way out")?;
    outside.connect(task.gateway).context("failed to keep a way out")?;
    outside.set_nonblocking(true)?;
    platform::fresh_network::enter(&task.resolv_conf, &task.empty_file)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(live(&task, outside, say))?;
    Ok(ExitCode::SUCCESS)
}

async fn live(task: &Task, outside: std::net::UdpSocket, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let inside = UdpSocket::bind(task.gateway).await.context("failed to stand in for the gateway")?;
    let outside = UdpSocket::from_std(outside)?;
    let relay = tokio::spawn(relay(inside, outside));
    let connector = Service::start(ServiceOptions {
        config: task.config.clone(),
        state_dir: task.state_dir.clone(),
        dns_mode: platform::dns_config::DnsMode::ResolvConf,
        no_tun: false,
    })?;
    let mut report = |report: &Report| -> anyhow::Result<()> {
        say(&serde_json::to_string(report)?);
        Ok(())
    };
    let start = Instant::now();
    let result = wait_until_connected(&task.state_dir).await;
    report(&proven(Proof { what: PROOFS[0], result, took: start.elapsed() }))?;
    report(&proven(timed(PROOFS[1], fetch_page(task.web)).await))?;
    report(&proven(timed(PROOFS[2], echo(task.echo)).await))?;
    report(&proven(timed(PROOFS[3], knock(task.echo)).await))?;
    report(&Report::Done)?;
    let parent = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    let _ = parent.await; // its end is what is waited for
    relay.abort();
    connector.stop()
}

fn proven(proof: Proof) -> Report {
    let result = proof.result.map_err(|error| format!("{error:#}"));
    Report::Proven { what: proof.what.to_owned(), result, took: proof.took }
}

/// Carries datagrams between the connector, whose address is what it last sent from, and the gateway.
async fn relay(inside: UdpSocket, outside: UdpSocket) {
    let (mut out, mut back) = (vec![0; LARGEST_DATAGRAM], vec![0; LARGEST_DATAGRAM]);
    let mut connector = None;
    loop {
        // what is lost here is lost as on any network
        tokio::select! {
            Ok((length, from)) = inside.recv_from(&mut out) => {
                connector = Some(from);
                let _ = outside.send(&out[..length]).await;
            }
            Ok(length) = outside.recv(&mut back) => {
                if let Some(connector) = connector {
                    let _ = inside.send_to(&back[..length], connector).await;
                }
            }
            else => return,
        }
    }
}

async fn fetch_page(port: u16) -> anyhow::Result<String> {
    let wiki = format!("wiki.{ZONE}");
    let stream = TcpStream::connect((wiki.as_str(), port)).await.context("failed to connect")?;
    let address = stream.peer_addr()?.ip();
    let page = fetch(stream, &wiki, "/").await?;
    ensure!(page.status == 200 && page.body.contains(GREETING), "another page came");
    Ok(format!("{wiki} is {address} here: 200, \"{GREETING}\""))
}

async fn echo(port: u16) -> anyhow::Result<String> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect((format!("echo.{ZONE}").as_str(), port)).await.context("failed to look up the echo")?;
    socket.send(GREETING.as_bytes()).await?;
    let mut buffer = [0; 128];
    let length = socket.recv(&mut buffer).await.context("failed to hear the echo")?;
    ensure!(&buffer[..length] == GREETING.as_bytes(), "another datagram came back");
    Ok(format!("{length} bytes there and back"))
}

async fn knock(port: u16) -> anyhow::Result<String> {
    match TcpStream::connect((format!("wiki.{ZONE}").as_str(), port)).await {
        Ok(_) => bail!("the connection was let through"),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Ok("connection refused".to_owned())
        }
        Err(error) => Err(error).context("refused in another way"),
    }
}
