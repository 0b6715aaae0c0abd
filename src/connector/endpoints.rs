//! Where gateways are: addresses of the configuration, and names, which are resolved outside the tunnel.
//!
//! A name is looked up when the connection is made, when its gateway does not answer, and when the network changed. What
//! was found last is kept in the state folder and used until there is something newer: a DNS server that does not answer
//! takes no gateway away.

mod keeper;
mod schedule;
mod store;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use self::keeper::Keeper;
use super::engine::Command;
use crate::config::{Endpoint, EndpointHost};
pub(super) use crate::look_up::NameService;

/// Requests that may wait; one that finds no room is left out, since a gateway that does not answer asks again.
const REQUEST_QUEUE: usize = 16;

/// Asked of the task that looks names up.
enum Request {
    /// This gateway does not answer.
    Unanswered(usize),
    /// The network, or what answers names in it, changed: it may know better, or be reached again.
    Changed(NameService),
}

/// What is known of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Found {
    addresses: Vec<IpAddr>,
    /// Why the last look-up failed.
    error: Option<String>,
}

/// By name.
type Names = BTreeMap<Box<str>, Found>;

/// The gateways' addresses; dropping it ends the look-ups.
pub(super) struct Endpoints {
    requests: mpsc::Sender<Request>,
    names: watch::Receiver<Names>,
    task: AbortHandle,
}

impl Endpoints {
    /// Begins with what was found last; nothing is looked up before [`Self::network_changed`] names the servers.
    pub(super) fn start(
        gateways: Vec<Vec<Endpoint>>,
        state_dir: &Path,
        engine: mpsc::Sender<Command>,
    ) -> Self {
        let store = store::Store::new(state_dir);
        let names = known(&gateways, &store);
        let (requests, queue) = mpsc::channel(REQUEST_QUEUE);
        let (publisher, names) = watch::channel(names);
        let keeper = Keeper::new(gateways, store, publisher, engine);
        let task = tokio::spawn(keeper.run(queue)).abort_handle();
        Self { requests, names, task }
    }

    /// The addresses to try, in the order of the configuration.
    pub(super) fn addresses(&self, endpoints: &[Endpoint]) -> Vec<SocketAddr> {
        addresses(endpoints, &self.names.borrow())
    }

    /// Why not all of a gateway's endpoints are known, in a sentence.
    pub(super) fn problem(&self, endpoints: &[Endpoint]) -> Option<String> {
        let names = self.names.borrow();
        endpoints.iter().filter_map(name).find_map(|name| names.get(name)?.error.clone())
    }

    /// A gateway does not answer: its name may lead elsewhere by now.
    pub(super) fn unanswered(&self, gateway: usize) {
        let _ = self.requests.try_send(Request::Unanswered(gateway)); // full: it asks again
    }

    /// The network changed, or its DNS servers: all names are looked up anew, with this service from now on.
    pub(super) fn network_changed(&self, service: NameService) {
        let _ = self.requests.try_send(Request::Changed(service)); // full: as many look-ups are to come
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether an endpoint is a name, whose address may change.
pub(super) fn can_move(endpoints: &[Endpoint]) -> bool {
    endpoints.iter().any(|endpoint| name(endpoint).is_some())
}

/// The names of the configuration, with what earlier runs found.
fn known(gateways: &[Vec<Endpoint>], store: &store::Store) -> Names {
    let mut saved = store.load();
    let names = gateways.iter().flatten().filter_map(name);
    names
        .map(|name| (name.into(), Found { addresses: saved.remove(name).unwrap_or_default(), error: None }))
        .collect()
}

fn addresses(endpoints: &[Endpoint], names: &Names) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for endpoint in endpoints {
        match &endpoint.host {
            EndpointHost::Address(address) => addresses.push(SocketAddr::new(*address, endpoint.port)),
            EndpointHost::Name(name) => {
                let found = names.get(name).map(|found| found.addresses.as_slice()).unwrap_or_default();
                addresses.extend(found.iter().map(|address| SocketAddr::new(*address, endpoint.port)));
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    addresses.retain(|address| seen.insert(*address));
    addresses
}

fn name(endpoint: &Endpoint) -> Option<&str> {
    match &endpoint.host {
        EndpointHost::Address(_) => None,
        EndpointHost::Name(name) => Some(name),
    }
}

#[cfg(test)]
mod tests;
