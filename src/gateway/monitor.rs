//! The gateway's metrics and health checks, on the port of `[metrics]`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::engine::{Command, Facts};
use crate::http_port::{self, State};
use crate::monitoring::{self, MOST_SERIES, Page, Report, Series, Source, Type};

/// A peer that was heard within this time counts as up: WireGuard makes new keys every two minutes of traffic, and gives
/// old ones up after three (WireGuard, section 6.1).
const UP: Duration = Duration::from_secs(180);

/// Asks the engine, for as long as it runs.
#[derive(Debug, Clone)]
struct Engine(mpsc::WeakSender<Command>);

/// Serves the port until it is dropped. One that is taken is tried again.
pub(super) async fn serve(address: SocketAddr, engine: mpsc::WeakSender<Command>) {
    let router = monitoring::router(Engine(engine));
    http_port::serve(address, router, |state| match state {
        State::Listening(address) => tracing::info!("metrics are served on {address}"),
        State::Failed { address, error } => {
            tracing::warn!("failed to listen for metrics on {address}: {error}");
        }
    })
    .await;
}

impl Source for Engine {
    async fn look(&self) -> Report {
        let facts = self.ask().await;
        let is_ready = facts.is_some();
        let state = if is_ready { "running" } else { "ending" }.to_owned();
        Report { metrics: page(&facts.unwrap_or_default(), Instant::now()), is_ready, state }
    }
}

impl Engine {
    async fn ask(&self) -> Option<Facts> {
        let (reply, facts) = oneshot::channel();
        // not held while the answer is waited for: the engine ends when nobody can command it
        self.0.upgrade()?.send(Command::Facts(reply)).await.ok()?;
        facts.await.ok()
    }
}

/// Peers beyond the first hundred are counted only.
fn page(facts: &Facts, now: Instant) -> Page {
    let mut page = Page::default();
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    page.add("openztna_gateway_build_info", "The version that runs", Type::Gauge, [(version, 1.0)]);
    page.add_one("openztna_gateway_flows", "Open flows", Type::Gauge, facts.flows as f64);
    let is_up =
        |proven_at: Option<Instant>| proven_at.is_some_and(|at| now.saturating_duration_since(at) < UP);
    let peers = facts.peers.len() as f64;
    page.add_one("openztna_gateway_peers", "Peers that are configured", Type::Gauge, peers);
    let up = facts.peers.iter().filter(|(_, stats)| is_up(stats.proven_at)).count();
    page.add_one(
        "openztna_gateway_peers_up",
        "Peers that were heard in the last minutes",
        Type::Gauge,
        up as f64,
    );
    let each = |value: fn(&netstack::gateway::PeerStats) -> f64| {
        let peers = facts.peers.iter().take(MOST_SERIES);
        peers
            .map(move |(name, stats)| (vec![("peer", name.to_string())], value(stats)))
            .collect::<Vec<Series>>()
    };
    let sent = each(|stats| stats.sent as f64);
    page.add("openztna_gateway_peer_sent_bytes_total", "Octets of datagrams sent", Type::Counter, sent);
    let received = each(|stats| stats.received as f64);
    let help = "Octets of authentic datagrams";
    page.add("openztna_gateway_peer_received_bytes_total", help, Type::Counter, received);
    let flows = each(|stats| stats.flows.into());
    page.add("openztna_gateway_peer_flows", "Open flows of the peer", Type::Gauge, flows);
    let drops =
        facts.drops.iter().map(|(reason, count)| (vec![("reason", (*reason).to_owned())], *count as f64));
    page.add("openztna_gateway_dropped_packets_total", "Packets dropped", Type::Counter, drops);
    page
}

#[cfg(test)]
mod tests {
    use netstack::gateway::PeerStats;

    use super::*;

    #[test]
    fn peers_have_their_series_and_many_are_counted_only() {
        let now = Instant::now();
        let heard = PeerStats { proven_at: Some(now), received: 7, ..PeerStats::default() };
        let peers = (0..1_000).map(|number| (format!("laptop-{number}").into(), heard)).collect();
        let text = page(&Facts { peers, flows: 3, drops: vec![("malformed", 2)] }, now).text();
        assert!(text.contains("openztna_gateway_peer_received_bytes_total{peer=\"laptop-0\"} 7\n"), "{text}");
        assert!(text.contains("openztna_gateway_peers_up 1000\n") && !text.contains("laptop-100\""));
        assert!(text.contains("openztna_gateway_dropped_packets_total{reason=\"malformed\"} 2\n"));
    }

    #[tokio::test]
    async fn an_engine_that_has_ended_is_not_ready() {
        let (commands, mut queue) = mpsc::channel(1);
        let engine = Engine(commands.downgrade());
        let answer = tokio::spawn(async move {
            let Some(Command::Facts(reply)) = queue.recv().await else { panic!("facts are asked for") };
            reply.send(Facts::default()).unwrap();
        });
        assert!(engine.look().await.is_ready);
        answer.await.unwrap();
        drop(commands);
        assert!(!engine.look().await.is_ready);
    }
}
