//! The demo: an intranet, a gateway in front of it and a connector, on loopback only, and proofs that they work.

mod device;
mod intranet;
mod page_client;
mod proofs;
mod socks_client;
mod world;
mod zone;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::net::{TcpListener, UdpSocket};

pub use device::{SUBCOMMAND as DEVICE_SUBCOMMAND, device_main};
pub use proofs::Proof;

use crate::api;
use crate::connector::{Service, ServiceOptions};
use crate::gateway::run::Background as Gateway;
use crate::status::State;
use device::Device;
use intranet::Intranet;
use proofs::Places;
use world::{Ports, Role, World};

/// How long the connector may take until its gateway has answered; it needs milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at the connector's status.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// What the demo says while it runs.
pub enum Line<'a> {
    /// What comes now.
    Heading(&'a str),
    /// A proof that is done.
    Proof(&'a Proof),
    /// What the person may try.
    Try(String),
}

/// Makes the world, proves that it works, and stays until a signal unless `once`. Answers whether all proofs held.
///
/// # Errors
/// When the world cannot be made: each with its reason.
pub fn run(once: bool, say: &mut dyn FnMut(Line<'_>)) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("failed to start the demo")?;
    let result = runtime.block_on(show(once, say));
    runtime.shutdown_background(); // a look-up in the system's DNS may still hang
    result
}

async fn show(once: bool, say: &mut dyn FnMut(Line<'_>)) -> anyhow::Result<bool> {
    let world = World::make()?;
    let intranet = Intranet::start().await?;
    let listen = free_udp_port().await?;
    let gateway = Gateway::start(&world.write_gateway(listen, &intranet)?, &world.folder("gateway-state")?)?;
    let ports = Ports { socks: free_port().await?, http: free_port().await?, pac: free_port().await? };
    let config = world.write_connector(Role::Laptop, listen, &intranet, Some(ports))?;
    let state_dir = world.folder("laptop-state")?;
    let connector = Service::start(ServiceOptions {
        config,
        state_dir: state_dir.clone(),
        dns_mode: platform::dns_config::DnsMode::Off,
        no_tun: true,
    })?;
    say(Line::Heading("an intranet, a gateway and a connector without root, on loopback only"));
    let start = Instant::now();
    let connected = wait_until_connected(&state_dir).await;
    let mut holds = connected.is_ok();
    say(Line::Proof(&Proof { what: "the tunnel stands", result: connected, took: start.elapsed() }));
    let places = Places {
        socks: (Ipv4Addr::LOCALHOST, ports.socks).into(),
        http: (Ipv4Addr::LOCALHOST, ports.http).into(),
        web: intranet.web,
        echo: intranet.echo,
        stream: intranet.stream,
    };
    holds &= proofs::prove(places, &mut |proof| say(Line::Proof(proof))).await;
    let device = match platform::privileges::is_root() {
        true => {
            say(Line::Heading("a device with a TUN, in a network of its own: programs need no proxy"));
            Some(Device::start(&world, listen, &intranet).await?)
        }
        false => None,
    };
    let device = match device {
        Some(mut device) => {
            holds &= device.prove(&mut |proof| say(Line::Proof(proof))).await?;
            Some(device)
        }
        None => None,
    };
    if !once {
        for text in what_to_try(places, ports, &state_dir, device.as_ref()) {
            say(Line::Try(text));
        }
        wait_for_signal().await?;
    }
    if let Some(device) = device {
        device.stop().await?;
    }
    connector.stop()?;
    gateway.stop()?;
    Ok(holds)
}

async fn wait_until_connected(state_dir: &Path) -> anyhow::Result<String> {
    let socket = platform::paths::control_socket(state_dir);
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    loop {
        let status = api::client::get_status(&socket).await;
        match status {
            Ok(status) if status.state == State::Connected => {
                return Ok(format!("{}; carried by {}", status.message, status.carrier.unwrap_or_default()));
            }
            Ok(status) if Instant::now() > deadline => bail!("{}", status.message),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Ok(_) | Err(_) => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

fn what_to_try(places: Places, ports: Ports, state_dir: &Path, device: Option<&Device>) -> Vec<String> {
    let zone = zone::ZONE;
    let mut texts = vec![
        format!("curl --proxy socks5h://{} http://wiki.{zone}:{}/", places.socks, places.web),
        format!("curl --proxy http://{} http://wiki.{zone}:{}/", places.http, places.echo),
        format!("curl http://127.0.0.1:{}/proxy.pac", ports.pac),
        format!("OPENZTNA_STATE_DIR={} openztna-client-connector status", state_dir.display()),
    ];
    if let Some(device) = device {
        texts.push(format!(
            "nsenter --net --mount --target {} curl http://wiki.{zone}:{}/",
            device.id(),
            places.web
        ));
    }
    texts
}

async fn wait_for_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("failed to wait for a signal")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("failed to wait for a signal"),
        _ = terminate.recv() => Ok(()),
    }
}

/// Free now; that another program takes it before we do is unlikely, and is said.
async fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("failed to find a free port")?;
    Ok(listener.local_addr().context("failed to find a free port")?.port())
}

async fn free_udp_port() -> anyhow::Result<SocketAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.context("failed to find a free port")?;
    socket.local_addr().context("failed to find a free port")
}
