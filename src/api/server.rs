//! The local ports on a thread of their own, so that no flood of theirs keeps the connector waiting.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use axum::Router;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::{ControlHandle, Settings, refresh};
use crate::proxy::pac::PacFile;
use crate::{http_port, monitoring};

/// What a port serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// The API and the dashboard.
    Api,
    /// Metrics for Prometheus.
    Metrics,
    /// Answers for health checks.
    Health,
}

/// How each port that is wanted is.
pub type States = BTreeMap<Port, http_port::State>;

/// The ports at work. They end when this is dropped.
#[derive(Debug)]
pub struct Server {
    states: watch::Receiver<States>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Running {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Port {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "the local API",
            Self::Metrics => "the metrics port",
            Self::Health => "the health check port",
        }
    }
}

impl Server {
    /// Starts them. A port that is taken is no error: its state says so, and it is tried again.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(handle: ControlHandle, pac: PacFile) -> io::Result<Self> {
        let (states, states_now) = watch::channel(States::new());
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name("api".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = run(handle, pac, states) => {}
                    _ = ended => {} // the sender's end is the end, too
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { states: states_now, end: Some(end), thread: Some(thread) })
    }

    /// How the ports are, and when that changes.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<States> {
        self.states.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a thread that crashed has ended, too
        }
    }
}

/// Keeps the ports as the settings want them.
async fn run(handle: ControlHandle, pac: PacFile, states: watch::Sender<States>) {
    let mut settings = handle.settings.clone();
    let (pac_port, pac_port_now) = watch::channel(None);
    let follow = tokio::spawn(pac.clone().follow(pac_port_now));
    let mut running: BTreeMap<Port, Running> = BTreeMap::new();
    loop {
        let wanted = wanted(&settings.borrow_and_update());
        for port in [Port::Api, Port::Metrics, Port::Health] {
            let address = wanted.get(&port).copied();
            if running.get(&port).map(|running| running.address) == address {
                continue;
            }
            if let Some(former) = running.remove(&port) {
                former.task.abort();
                let _ = former.task.await; // the port is free only then
                states.send_modify(|states| drop(states.remove(&port)));
                if port == Port::Api {
                    pac_port.send_replace(None);
                }
            }
            let Some(address) = address else { continue };
            let router = match port {
                Port::Api => super::tcp_router(handle.clone(), pac.clone()),
                Port::Metrics => monitoring::metrics_router(handle.clone()),
                Port::Health => monitoring::health_router(handle.clone()),
            };
            let task = tokio::spawn(keep(port, address, router, states.clone(), pac_port.clone()));
            running.insert(port, Running { address, task });
        }
        if settings.changed().await.is_err() {
            follow.abort();
            return;
        }
    }
}

fn wanted(settings: &Settings) -> BTreeMap<Port, SocketAddr> {
    let ports =
        [(Port::Api, settings.address), (Port::Metrics, settings.metrics), (Port::Health, settings.health)];
    ports.into_iter().filter_map(|(port, address)| Some((port, address?))).collect()
}

async fn keep(
    port: Port,
    address: SocketAddr,
    router: Router,
    states: watch::Sender<States>,
    pac_port: watch::Sender<Option<SocketAddr>>,
) {
    let tell = |state: http_port::State| {
        let what = port.as_str();
        match &state {
            http_port::State::Listening(address) => {
                tracing::info!("{what} is served on {address}");
                if port == Port::Api {
                    pac_port.send_replace(Some(loopback(*address)));
                }
            }
            http_port::State::Failed { address, error } => {
                tracing::warn!("failed to listen for {what} on {address}: {error}");
            }
        }
        states.send_modify(|states| drop(states.insert(port, state)));
    };
    http_port::serve(address, router, tell).await;
}

/// The connector's own task is asked, so that a hang of it shows.
impl monitoring::Source for ControlHandle {
    async fn look(&self) -> monitoring::Report {
        refresh(self).await;
        let status = Arc::clone(&self.status.borrow());
        monitoring::Report {
            metrics: monitoring::connector::page(&status, &self.events),
            is_ready: monitoring::connector::is_ready(&status),
            state: status.state.as_str().to_owned(),
        }
    }
}

/// Where programs of this device find a port that listens on all addresses.
fn loopback(address: SocketAddr) -> SocketAddr {
    match (address.ip().is_unspecified(), address) {
        (true, SocketAddr::V4(_)) => (std::net::Ipv4Addr::LOCALHOST, address.port()).into(),
        (true, SocketAddr::V6(_)) => (std::net::Ipv6Addr::LOCALHOST, address.port()).into(),
        (false, _) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_on_all_addresses_is_found_on_loopback() {
        for (listening, found) in [
            ("0.0.0.0:8086", "127.0.0.1:8086"),
            ("[::]:8086", "[::1]:8086"),
            ("127.0.0.2:8086", "127.0.0.2:8086"),
        ] {
            assert_eq!(loopback(listening.parse().unwrap()), found.parse().unwrap());
        }
    }

    #[test]
    fn an_api_that_is_off_has_no_port() {
        let settings = |address| crate::api::tests::settings(address);
        assert!(wanted(&settings(None)).is_empty());
        assert_eq!(wanted(&settings(Some("127.0.0.1:1".parse().unwrap()))).len(), 1);
    }
}
