//! One look-up of a name, on sockets that never enter the tunnel: the name may lie in a zone that is answered there.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use hickory_resolver::Resolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime};
use hickory_resolver::net::{DnsError, NetError};
use platform::socket_protect::{FWMARK, protect};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

/// One server may take this long to answer one datagram, as in resolv.conf(5) at its briefest twice;
const SERVER_PATIENCE: Duration = Duration::from_secs(2);
/// all of them together this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Times that each server is asked again.
const ATTEMPTS: usize = 2;

/// Who is asked for names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NameService {
    /// These servers of the physical links, past the tunnel.
    Servers(Vec<SocketAddr>),
    /// The system, whose DNS is not ours.
    System,
}

/// All addresses of `name`, of both families; never an empty list.
///
/// # Errors
/// Why there are none, in a sentence for people.
pub(crate) async fn look_up(name: &str, service: &NameService) -> Result<Vec<IpAddr>, String> {
    let found = match service {
        NameService::System => timeout(PATIENCE, ask_system(name)).await,
        NameService::Servers(servers) => timeout(PATIENCE, ask(name, servers)).await,
    };
    let found = found.unwrap_or_else(|_| Err("no DNS server answers".to_owned()));
    found
        .and_then(|addresses| match addresses.is_empty() {
            true => Err("it has no address".to_owned()),
            false => Ok(addresses),
        })
        .map_err(|reason| format!("failed to resolve the endpoint: `{name}`: {reason}"))
}

async fn ask_system(name: &str) -> Result<Vec<IpAddr>, String> {
    let found = tokio::net::lookup_host((name, 0)).await.map_err(|error| error.to_string())?;
    Ok(found.map(|address| address.ip()).collect())
}

async fn ask(name: &str, servers: &[SocketAddr]) -> Result<Vec<IpAddr>, String> {
    if servers.is_empty() {
        return Err("this network names no DNS server".to_owned());
    }
    let config = ResolverConfig::from_name_servers(servers.iter().map(server).collect());
    let mut builder = Resolver::builder_with_config(config, Marked::default());
    *builder.options_mut() = options();
    let resolver = builder.build().map_err(|error| sentence(&error))?;
    // with the dot at its end the name is whole, and no search domain is tried
    let found = resolver.lookup_ip(format!("{}.", name.trim_end_matches('.'))).await;
    found.map(|addresses| addresses.iter().collect()).map_err(|error| sentence(&error))
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let on_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![on_port(ConnectionConfig::udp()), on_port(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = SERVER_PATIENCE;
    options.attempts = ATTEMPTS;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = 0; // we ask because an answer may be outdated
    options
}

fn sentence(error: &NetError) -> String {
    if let NetError::Io(error) = error {
        return format!("no DNS server can be reached: {error}");
    }
    if let NetError::Dns(DnsError::ResponseCode(code)) = error {
        return format!("the DNS server answered \"{code}\"");
    }
    if matches!(error, NetError::Dns(DnsError::NoRecordsFound(_))) {
        return "there is no such name, or it has no address".to_owned();
    }
    if matches!(error, NetError::Timeout) { "no DNS server answers".to_owned() } else { error.to_string() }
}

/// Makes the resolver's sockets, marked so that no rule of ours leads them into the tunnel.
#[derive(Clone, Default)]
struct Marked(TokioRuntimeProvider);

impl RuntimeProvider for Marked {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = UdpSocket;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> Self::Handle {
        self.0.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        _local: Option<SocketAddr>,
        patience: Option<Duration>,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Tcp>>>> {
        Box::pin(async move {
            let socket = if server.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            protect(&socket, FWMARK)?;
            let stream = timeout(patience.unwrap_or(SERVER_PATIENCE), socket.connect(server)).await;
            Ok(AsyncIoTokioAsStd(stream.map_err(io::Error::from)??))
        })
    }

    fn bind_udp(
        &self,
        local: SocketAddr,
        _server: SocketAddr,
    ) -> Pin<Box<dyn Send + Future<Output = io::Result<Self::Udp>>>> {
        Box::pin(async move {
            let socket = UdpSocket::bind(local).await?;
            protect(&socket, FWMARK)?;
            Ok(socket)
        })
    }
}
