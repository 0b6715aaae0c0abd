//! Opens what a client asks for: the protected way, directly, or not at all.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::time::timeout;

use super::forbidden::{is_forbidden, is_nowhere};
use super::refusal::Refused;
use super::settings::Settings;
use super::target::Target;
use crate::dialer::{Destination, DialError, Dialer, Host, Stream};

/// How long resolving and connecting may take together: a little longer than the attempts of the dialer.
const DIAL_LIMIT: Duration = Duration::from_secs(40);
/// How long one address may take where several could be dialed directly.
const DIRECT_ATTEMPT: Duration = Duration::from_secs(10);

/// Opens connections for clients.
#[derive(Debug, Clone)]
pub(super) struct Outbound {
    /// To protected destinations.
    pub(super) dialer: Dialer,
    /// As they are now.
    pub(super) settings: watch::Receiver<Arc<Settings>>,
}

/// How a destination is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// By the dialer, at one of these addresses.
    Protected(Vec<IpAddr>),
    /// By the system, at one of these addresses; none is forbidden.
    Direct(Vec<IpAddr>),
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Opened {
    /// Its octets.
    pub(super) stream: Stream,
    /// What it rests on.
    pub(super) basis: Basis,
}

/// What an open connection rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Basis {
    /// Policy, by which the engine ends it.
    Policy,
    /// The settings, which let this host be reached directly.
    Settings(Host),
}

impl Outbound {
    /// The settings as they are now.
    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    /// Opens a connection to `target`.
    ///
    /// # Errors
    /// Why it is refused, or could not be opened.
    pub(super) async fn open(&self, target: &Target) -> Result<Opened, Refused> {
        let open = async {
            match self.route(&target.host, target.port).await? {
                Route::Protected(addresses) => {
                    let stream = self.dialer.connect(&addresses, target.port).await?;
                    Ok(Opened { stream, basis: Basis::Policy })
                }
                Route::Direct(addresses) => {
                    let stream = connect_directly(&addresses, target.port).await?;
                    Ok(Opened { stream, basis: Basis::Settings(target.host.clone()) })
                }
            }
        };
        timeout(DIAL_LIMIT, open).await.unwrap_or(Err(DialError::TimedOut.into()))
    }

    /// Waits until the settings no longer allow a connection that rests on them.
    pub(super) async fn withdrawn(&self, basis: &Basis) {
        let Basis::Settings(host) = basis else { return std::future::pending().await };
        let mut settings = self.settings.clone();
        while settings.borrow_and_update().allows_directly(host) {
            if settings.changed().await.is_err() {
                return; // the proxies have ended
            }
        }
    }

    /// How `host` is reached. A name that is not protected is asked of the system, if it may be reached at all.
    ///
    /// # Errors
    /// Why it may not be reached, or that it does not exist.
    pub(super) async fn route(&self, host: &Host, port: u16) -> Result<Route, Refused> {
        let settings = self.settings();
        match host {
            Host::Address(address) if is_nowhere(*address) => return Err(Refused::ThisMachine),
            Host::Name(name) if settings.excludes(name) => return self.route_directly(host, port).await,
            Host::Address(_) | Host::Name(_) => {}
        }
        match self.dialer.resolve(host).await? {
            Destination::Protected(addresses) => Ok(Route::Protected(addresses)),
            Destination::Unprotected if settings.allow_direct => self.route_directly(host, port).await,
            Destination::Unprotected => Err(Refused::NotProtected),
        }
    }

    async fn route_directly(&self, host: &Host, port: u16) -> Result<Route, Refused> {
        let addresses: Vec<IpAddr> = match host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let found = lookup_host((name.as_str(), port)).await.map_err(|_| DialError::NotFound)?;
                found.map(|address| address.ip().to_canonical()).collect()
            }
        };
        let (protected, other): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|address| self.dialer.is_protected(*address));
        if !protected.is_empty() {
            return Ok(Route::Protected(protected));
        }
        let reachable: Vec<IpAddr> = other.into_iter().filter(|address| !is_forbidden(*address)).collect();
        if reachable.is_empty() { Err(Refused::ThisMachine) } else { Ok(Route::Direct(reachable)) }
    }
}

/// One address after the other, in the order of the system.
async fn connect_directly(addresses: &[IpAddr], port: u16) -> Result<Stream, DialError> {
    let mut failure = DialError::NotFound;
    for address in addresses {
        let connect = TcpStream::connect(SocketAddr::new(*address, port));
        failure = match timeout(DIRECT_ATTEMPT, connect).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true); // a connection that is gone already ends the flow by itself
                return Ok(stream.into());
            }
            Ok(Err(error)) => error.into(),
            Err(_) => DialError::TimedOut,
        };
    }
    Err(failure)
}
