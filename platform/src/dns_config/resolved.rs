//! The systemd-resolved mode: our resolver answers for its domains, by settings that live and die with our link.

mod bus;
mod fold;
mod link_domains;

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV6},
    path::Path,
};

use bus::{ManagerProxy, Server};
pub use fold::{Folded, fold_domains};
use zbus::{Connection, conn::Builder, export::futures_core::Stream, proxy::OwnerChangedStream};

use super::{Domains, FileWatch, resolv_conf::UPLINK_FILE};
use crate::Error;

/// Domains that systemd-resolved takes for one link (`LINK_SEARCH_DOMAINS_MAX` of its `resolved-link.h`).
pub const LARGEST_DOMAIN_COUNT: usize = 256;

/// Where it keeps what programs set for each link, to know it after a restart (`link_save_user` of its `resolved-link.c`).
const LINKS_DIR: &str = "/run/systemd/resolve/netif";

/// Its name on the bus.
const SERVICE: &str = "org.freedesktop.resolve1";

/// How long one call may take.
const CALL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// Times that systemd-resolved is asked for a link it has not yet heard of; each asking lets it read its news.
const LINK_ATTEMPTS: usize = 50;

/// The port of DNS (RFC 1035, 4.2).
const PORT: u16 = 53;

/// A connection to systemd-resolved.
pub struct Resolved {
    manager: ManagerProxy<'static>,
    owner: OwnerChangedStream<'static>,
}

/// What configuring a link came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// What was done, as sentences without names.
    pub steps: Vec<String>,
    /// What was folded.
    pub folded: Folded,
    /// Search domains that only route: for want of room, or since another link's list would change its order.
    pub not_searched: Vec<String>,
}

impl Resolved {
    /// Connects to the system bus and to systemd-resolved, which the bus starts if it is installed and enabled.
    ///
    /// # Errors
    /// No system bus, or nobody of that name on it within five seconds.
    pub async fn connect() -> Result<Self, Error> {
        Self::try_connect().await.map_err(|error| {
            failed("reach", "systemd-resolved", SERVICE, error)
                .with_hint("start systemd-resolved, or set another DNS mode")
        })
    }

    /// Makes our resolver the one for `domains` and everything below, on our link, and for nothing else.
    ///
    /// Domains above [`LARGEST_DOMAIN_COUNT`] are folded into their parents. Search domains complete short names, unless
    /// that would change the order of those that the system or another link has: then they only route.
    ///
    /// # Errors
    /// systemd-resolved refuses the servers or the domains; lesser settings that it does not know are only reported.
    pub async fn configure(
        &self,
        link: u32,
        resolvers: &[IpAddr],
        domains: &Domains,
    ) -> Result<Configured, Error> {
        let index = link_number(link)?;
        self.wait_for_link(index).await?;
        let known = self.searched_elsewhere(index).await;
        let chosen = link_domains::choose(domains, &known, LARGEST_DOMAIN_COUNT);
        let servers: Vec<_> = resolvers.iter().map(|address| bus::address(*address)).collect();
        let mut steps = self.set_lesser(index).await;
        let refused = |error| failed("configure", "systemd-resolved for link", link, error);
        self.manager.set_link_domains(index, &chosen.domains).await.map_err(refused)?;
        self.manager.set_link_dns(index, &servers).await.map_err(refused)?;
        steps.push(format!("our resolver answers for {} domains of the link", chosen.domains.len()));
        if chosen.folded.replaced > 0 {
            steps.push(format!("{} domains were folded into their parents", chosen.folded.replaced));
        }
        Ok(Configured { steps, folded: chosen.folded, not_searched: chosen.not_searched })
    }

    /// Whether our resolvers and some domains are the link's still: nobody took them away.
    ///
    /// # Errors
    /// systemd-resolved does not answer.
    pub async fn is_configured(&self, link: u32, resolvers: &[IpAddr]) -> Result<bool, Error> {
        let failed = |error| failed("ask for servers", "systemd-resolved", SERVICE, error);
        let index = link_number(link)?;
        let servers = self.manager.dns_ex().await.map_err(failed)?;
        let has = |resolver: &IpAddr| {
            servers.iter().any(|server| server.0 == index && bus::ip(&server.2) == Some(*resolver))
        };
        let domains = self.manager.domains().await.map_err(failed)?;
        Ok(resolvers.iter().all(has) && domains.iter().any(|(link, ..)| *link == index))
    }

    /// Watches what tells that another link's servers have changed, or our link's settings were changed by another.
    ///
    /// To be called when those settings have been made: before, there is nothing to watch.
    ///
    /// # Errors
    /// The system has no inotify instances left.
    pub fn watch(link: u32) -> io::Result<FileWatch> {
        FileWatch::new(vec![UPLINK_FILE.into(), Path::new(LINKS_DIR).join(link.to_string())])
    }

    /// Takes the link's settings back; the link's end does the same by itself.
    ///
    /// # Errors
    /// systemd-resolved does not answer; an unknown link is no error.
    pub async fn revert(&self, link: u32) -> Result<(), Error> {
        match self.manager.revert_link(link_number(link)?).await {
            Err(error) if !is_unknown_link(&error) => {
                Err(failed("revert", "systemd-resolved for link", link, error))
            }
            _ => Ok(()),
        }
    }

    /// Makes systemd-resolved forget what it has cached: answers from before our settings, or after them.
    ///
    /// # Errors
    /// systemd-resolved does not answer.
    pub async fn flush_caches(&self) -> Result<(), Error> {
        let failed = |error| failed("flush caches of", "systemd-resolved", SERVICE, error);
        self.manager.flush_caches().await.map_err(failed)
    }

    /// The servers of the system and of all links but ours; where there are none, its built-in fallback.
    ///
    /// # Errors
    /// systemd-resolved does not answer.
    pub async fn physical_servers(&self, own_link: u32) -> Result<Vec<SocketAddr>, Error> {
        let failed = |error| failed("ask for servers", "systemd-resolved", SERVICE, error);
        let own = link_number(own_link)?;
        let servers: Vec<_> = self.manager.dns_ex().await.map_err(failed)?;
        let mut found: Vec<_> = servers.iter().filter(|server| server.0 != own).filter_map(socket).collect();
        if found.is_empty() {
            let fallback = self.manager.fallback_dns_ex().await.map_err(failed)?;
            found = fallback.iter().filter_map(socket).collect();
        }
        found.dedup();
        Ok(found)
    }

    /// Waits until systemd-resolved was started anew, which has lost our settings: configure again then.
    ///
    /// Never answers once the bus is gone. May be dropped and called again without loss.
    pub async fn restarted(&mut self) {
        loop {
            let owner = &mut self.owner;
            let change =
                std::future::poll_fn(|context| std::pin::Pin::new(&mut *owner).poll_next(context)).await;
            match change {
                Some(Some(_)) => return,
                Some(None) => {}
                None => std::future::pending().await,
            }
        }
    }

    async fn try_connect() -> zbus::Result<Self> {
        let connection: Connection = Builder::system().method_timeout(CALL_TIMEOUT).build().await?;
        let manager = ManagerProxy::new(&connection).await?;
        // Asking starts it, or waits until it has come to the bus, which is later than systemd calls it active.
        manager.dns_ex().await?;
        let owner = manager.inner().receive_owner_changed().await?;
        Ok(Self { manager, owner })
    }

    /// A link that was made a moment ago is news that systemd-resolved may not have read yet.
    async fn wait_for_link(&self, index: i32) -> Result<(), Error> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.manager.get_link(index).await {
                Ok(_) => return Ok(()),
                Err(error) if is_unknown_link(&error) && attempts < LINK_ATTEMPTS => {}
                Err(error) => return Err(failed("find link in", "systemd-resolved", index, error)),
            }
        }
    }

    /// The domains with which the system and the other links complete short names; none if that cannot be told.
    async fn searched_elsewhere(&self, own: i32) -> Vec<String> {
        let domains = self.manager.domains().await.unwrap_or_default();
        let searched = domains.into_iter().filter(|(link, _, route_only)| *link != own && !route_only);
        searched.map(|(_, domain, _)| domain).collect()
    }

    /// What an old version may not know, and what works without: each refusal is a sentence.
    async fn set_lesser(&self, index: i32) -> Vec<String> {
        let manager = &self.manager;
        let results = [
            ("default route off", manager.set_link_default_route(index, false).await),
            ("LLMNR off", manager.set_link_llmnr(index, "no").await),
            ("multicast DNS off", manager.set_link_multicast_dns(index, "no").await),
            ("DNS over TLS off", manager.set_link_dns_over_tls(index, "no").await),
            (
                "DNSSEC off, which our resolver's addresses cannot satisfy",
                manager.set_link_dnssec(index, "no").await,
            ),
        ];
        let sentence = |(what, result): (&str, zbus::Result<()>)| match result {
            Ok(()) => format!("link: {what}"),
            Err(error) => format!("link: {what}: refused ({error})"),
        };
        results.into_iter().map(sentence).collect()
    }
}

impl std::fmt::Debug for Resolved {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Resolved").finish_non_exhaustive()
    }
}

fn link_number(index: u32) -> Result<i32, Error> {
    i32::try_from(index).map_err(|error| {
        Error::system("name", "link", index, io::Error::new(io::ErrorKind::InvalidInput, error))
    })
}

fn socket(server: &Server) -> Option<SocketAddr> {
    let (link, _, bytes, port, _) = server;
    let port = if *port == 0 { PORT } else { *port };
    let address = bus::ip(bytes)?;
    if let IpAddr::V6(v6) = address
        && v6.is_unicast_link_local()
    {
        return Some(SocketAddrV6::new(v6, port, 0, u32::try_from(*link).ok()?).into());
    }
    Some(SocketAddr::new(address, port))
}

fn is_unknown_link(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::MethodError(name, ..) if name.as_str() == "org.freedesktop.resolve1.NoSuchLink")
}

fn failed(verb: &'static str, object: &'static str, value: impl ToString, error: zbus::Error) -> Error {
    Error::system(verb, object, value, io::Error::other(error))
}
