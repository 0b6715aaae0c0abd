//! Connects to the SIEM: its name, its address, the company's proxy, TLS.

mod proxy;
mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use platform::socket_protect::{FWMARK, protect};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::line::{Counted, Line};
use super::problem::Problem;
use super::settings::Settings;
use crate::config::{Endpoint, EndpointHost};
use crate::look_up::{NameService, look_up};

pub(super) use proxy::{authorization, refusal};

/// How long an address may take to answer; then the next one is tried.
const PATIENCE: Duration = Duration::from_secs(10);
/// What was sent and is not acknowledged for so long makes the connection fail (RFC 5482 names five minutes as usual: we
/// have the events still, and want to say soon that they do not arrive).
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// A connection that is idle is asked for life so often: less than the five minutes after which firewalls forget it.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How to connect.
pub(super) struct Dial<'a> {
    pub(super) settings: &'a Settings,
    pub(super) names: NameService,
    /// Told of each step.
    pub(super) say: &'a dyn Fn(&str),
}

impl Dial<'_> {
    /// A stream to the SIEM, through the proxy if there is one.
    pub(super) async fn line(&self, endpoint: &Endpoint, is_tls: bool) -> Result<Line, Problem> {
        let socket = match &self.settings.proxy {
            Some(proxy) => {
                let socket = self.connect(&proxy.endpoint, "the proxy").await?;
                proxy::tunnel(socket, proxy, endpoint, self.say).await?
            }
            None => self.connect(endpoint, "the SIEM").await?,
        };
        let counted = Counted::new(socket);
        if !is_tls {
            return Ok(Line::Plain(counted));
        }
        let stream = tls::handshake(counted, endpoint, &self.settings.tls, self.say);
        let late = |_| {
            let problem = Problem::new("the SIEM does not answer the TLS handshake");
            problem.hint("something else than TLS may listen there: check the port")
        };
        Ok(Line::Tls(Box::new(timeout(PATIENCE, stream).await.map_err(late)??)))
    }

    /// A stream in clear to whom requests are to be sent: the proxy, or the SIEM itself.
    pub(super) async fn plain(&self, endpoint: &Endpoint) -> Result<Line, Problem> {
        let socket = match &self.settings.proxy {
            Some(proxy) => self.connect(&proxy.endpoint, "the proxy").await?,
            None => self.connect(endpoint, "the SIEM").await?,
        };
        Ok(Line::Plain(Counted::new(socket)))
    }

    /// A socket for datagrams to the SIEM, never through a proxy.
    pub(super) async fn datagrams(&self, endpoint: &Endpoint) -> Result<UdpSocket, Problem> {
        let address = self.addresses(endpoint).await?[0];
        let any: SocketAddr =
            if address.is_ipv4() { SocketAddr::from(([0; 4], 0)) } else { SocketAddr::from(([0_u16; 8], 0)) };
        let connected = async {
            let socket = UdpSocket::bind(any).await?;
            self.mark(&socket)?;
            socket.connect(address).await?;
            io::Result::Ok(socket)
        };
        connected.await.map_err(|error| failed("the SIEM", endpoint, &error))
    }

    async fn connect(&self, endpoint: &Endpoint, who: &str) -> Result<TcpStream, Problem> {
        let mut last = None;
        for address in self.addresses(endpoint).await? {
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer");
            match timeout(PATIENCE, self.connect_to(address)).await.map_err(late).flatten() {
                Ok(socket) => {
                    (self.say)(&format!("connected to {who} at {address}"));
                    return Ok(socket);
                }
                Err(error) => {
                    (self.say)(&format!("{who} at {address}: {error}"));
                    last = Some(error);
                }
            }
        }
        let error = last.unwrap_or_else(|| io::ErrorKind::NotFound.into());
        Err(failed(who, endpoint, &error))
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        self.mark(&socket)?;
        let stream = socket.connect(address).await?;
        let options = SockRef::from(&stream);
        options.set_tcp_nodelay(true)?;
        options.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
        options.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))?;
        Ok(stream)
    }

    /// Keeps a socket out of the tunnel, unless the SIEM is in it.
    fn mark(&self, socket: &impl std::os::fd::AsFd) -> io::Result<()> {
        if self.settings.is_protected { Ok(()) } else { protect(socket, FWMARK) }
    }

    /// At least one address.
    async fn addresses(&self, endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Problem> {
        let name = match &endpoint.host {
            EndpointHost::Address(address) => return Ok(vec![SocketAddr::new(*address, endpoint.port)]),
            EndpointHost::Name(name) => name,
        };
        let service = if self.settings.is_protected { &NameService::System } else { &self.names };
        let found: Vec<IpAddr> = look_up(name, service).await.map_err(|error| {
            Problem::new(error).hint("check the name, and that this network's DNS servers know it")
        })?;
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        (self.say)(&format!("`{name}` is at {}", shown.join(", ")));
        Ok(found.into_iter().map(|address| SocketAddr::new(address, endpoint.port)).collect())
    }
}

fn failed(who: &str, endpoint: &Endpoint, error: &io::Error) -> Problem {
    let problem = Problem::new(format!("failed to reach {who}: `{endpoint}`: {error}"));
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return problem.hint("nothing listens there: check the port");
    }
    if error.kind() == io::ErrorKind::TimedOut {
        return problem.hint("a firewall may be in between, or the address is wrong");
    }
    problem
}
