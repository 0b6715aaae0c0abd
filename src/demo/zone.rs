//! The demo's DNS zone, which exists nowhere else: served on loopback by hickory-server.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use hickory_server::Server;
use hickory_server::net::runtime::TokioRuntimeProvider;
use hickory_server::proto::rr::rdata::{A, SOA, TXT};
use hickory_server::proto::rr::{Name, RData, Record};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};

/// The zone: `internal` is reserved for private use and will never be a name of the internet (ICANN, 2024).
pub(super) const ZONE: &str = "demo.internal";

/// In seconds: short, since the demo is.
const TTL: u32 = 60;
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_BYTES: usize = 64 * 1024;

/// A running server of the zone; it ends when it is dropped.
pub(super) struct ZoneServer {
    /// Where it answers, over UDP and TCP.
    pub(super) address: SocketAddr,
    _server: Server<Catalog>,
}

impl ZoneServer {
    /// Serves the zone, in which each of `hosts` is at 127.0.0.1.
    ///
    /// # Errors
    /// When no port is free, or a name is none.
    pub(super) async fn start(hosts: &[&str]) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.context("failed to serve the zone")?;
        let address = socket.local_addr().context("failed to serve the zone")?;
        let listener = TcpListener::bind(address).await.context("failed to serve the zone over TCP")?;
        let mut catalog = Catalog::new();
        let origin = name(ZONE)?;
        catalog.upsert(origin.into(), vec![Arc::new(zone(hosts)?)]);
        let mut server = Server::new(catalog);
        server.register_socket(socket);
        server.register_listener(listener, TCP_TIMEOUT, RESPONSE_BYTES);
        Ok(Self { address, _server: server })
    }
}

fn zone(hosts: &[&str]) -> anyhow::Result<InMemoryZoneHandler<TokioRuntimeProvider>> {
    let origin = name(ZONE)?;
    let mut zone = InMemoryZoneHandler::empty(origin.clone(), ZoneType::Primary, AxfrPolicy::Deny);
    let server = name(&format!("ns.{ZONE}"))?;
    let soa = SOA::new(server, name(&format!("hostmaster.{ZONE}"))?, 1, 3_600, 600, 86_400, TTL);
    let mut add = |name: Name, data| {
        let is_added = zone.upsert_mut(Record::from_rdata(name, TTL, data), 1);
        is_added.then_some(()).ok_or_else(|| anyhow!("failed to add a record to the zone: `{ZONE}`"))
    };
    add(origin.clone(), RData::SOA(soa))?;
    add(origin, RData::TXT(TXT::new(vec!["this zone exists in the demo only".to_owned()])))?;
    for host in hosts {
        add(name(&format!("{host}.{ZONE}"))?, RData::A(A(Ipv4Addr::LOCALHOST)))?;
    }
    Ok(zone)
}

fn name(text: &str) -> anyhow::Result<Name> {
    let mut name = Name::from_ascii(text).with_context(|| format!("failed to read name: `{text}`"))?;
    name.set_fqdn(true);
    Ok(name)
}
