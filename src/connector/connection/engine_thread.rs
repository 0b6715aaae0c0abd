//! The engine's start, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context;
use platform::Family;
use platform::socket_protect::FWMARK;
use platform::udp::{UdpConfig, UdpEndpoint};
use tokio::sync::mpsc;

use super::{most_mtu, random};
use crate::config::Mtu;
use crate::connector::address_pool::AddressPool;
use crate::connector::engine::{
    COMMAND_QUEUE, Command, Device, Engine, Event, FLOW_NEWS_QUEUE, Names, Parts,
};
use crate::connector::plan::Plan;
use crate::connector::{Setup, degraded, flow_reporter};
use crate::dialer::{REQUEST_QUEUE, Request};

/// The running engine.
pub(super) struct Running {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) thread: JoinHandle<()>,
    /// To be set before the link is taken away on purpose.
    pub(super) is_ending: Arc<AtomicBool>,
    /// Ends when all is told that happened to flows.
    pub(super) reporter: JoinHandle<()>,
}

#[expect(clippy::too_many_arguments, reason = "it puts the parts together, once")]
pub(super) fn start_engine(
    setup: &Setup,
    device: Device,
    plan: &Plan,
    pool: &AddressPool,
    addresses: dns::VirtualPool,
    has_ipv6: bool,
    events: mpsc::Sender<Event>,
    seed: [u8; 32],
) -> anyhow::Result<Running> {
    let sockets = sockets(setup)?;
    let facts: Vec<_> = sockets.iter().map(UdpEndpoint::facts).collect();
    for note in degraded::of_sockets(&facts, setup.config.tunneling.offload.value) {
        tracing::info!("{note}");
    }
    let most_segments = sockets.iter().map(UdpEndpoint::max_gso_segments).min().unwrap_or(1);
    let (resolver_v4, resolver_v6) = pool.resolver();
    let config = netstack::Config {
        seed,
        resolver: (resolver_v4, has_ipv6.then_some(resolver_v6)),
        pool: pool.networks(),
        mtu: most_mtu(setup).into(),
        can_join: device.can_join(),
        most_segments,
    };
    let datapath = netstack::Datapath::new(config, Instant::now());
    let resolver = dns::Resolver::new((*plan.zones).clone(), addresses, random());
    let (commands, receiver) = mpsc::channel(COMMAND_QUEUE);
    let (requests, request_receiver) = mpsc::channel(REQUEST_QUEUE);
    let gateways = setup.config.gateways.len() as u32;
    let follows_paths = setup.config.tunneling.mtu.value == Mtu::Auto;
    let (flow_news, news) = mpsc::channel(FLOW_NEWS_QUEUE);
    let parts = Parts {
        device,
        datapath,
        resolver,
        sockets,
        mark: FWMARK,
        gateways,
        follows_paths,
        commands: receiver,
        requests: request_receiver,
        events,
        flow_news,
        names: Names::of(&setup.config, &plan.policy),
    };
    let is_ending = Arc::new(AtomicBool::new(false));
    let known = Arc::clone(&is_ending);
    let thread =
        std::thread::Builder::new().name("engine".to_owned()).spawn(move || run_engine(parts, &known));
    let thread = thread.context("failed to start the engine")?;
    let events = setup.events.clone();
    let reporter = std::thread::Builder::new().name("reporter".to_owned());
    let reporter = reporter.spawn(move || flow_reporter::report(news, &events));
    let reporter = reporter.context("failed to start the reporter")?;
    Ok(Running { commands, requests, thread, is_ending, reporter })
}

/// The engine's own thread: nothing that happens elsewhere keeps packets waiting.
fn run_engine(parts: Parts, is_ending: &AtomicBool) {
    let events = parts.events.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.context("failed to start the engine").and_then(|runtime| {
        runtime.block_on(async { Engine::new(parts).context("failed to watch the TUN")?.run().await })
    });
    if let Err(error) = result {
        if is_ending.load(Ordering::Relaxed) {
            return tracing::debug!("the engine ended with its link: {error:#}");
        }
        tracing::error!("the engine ended: {error:#}");
        let _ = events.blocking_send(Event::Ended); // a supervisor that is gone has nothing to mend
    }
}

/// One socket a family that the system has.
pub(super) fn sockets(setup: &Setup) -> anyhow::Result<Vec<UdpEndpoint>> {
    let offload = setup.config.tunneling.offload.value;
    let bind = |family| UdpEndpoint::bind(&UdpConfig { offload, ..UdpConfig::new(family, Some(FWMARK)) });
    let mut sockets = vec![bind(Family::V4)?];
    match bind(Family::V6) {
        Ok(socket) => sockets.push(socket),
        Err(error) => tracing::debug!("no IPv6 toward gateways: {error}"),
    }
    Ok(sockets)
}
