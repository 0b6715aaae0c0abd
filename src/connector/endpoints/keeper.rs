//! The task that looks names up, tells the engine what it found, and keeps it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::schedule::Schedule;
use super::store::Store;
use super::{NameService, Names, Request, addresses, name};
use crate::config::Endpoint;
use crate::connector::engine::Command;
use crate::look_up::look_up;
use crate::watch::until;

/// What came of a look-up.
type Answer = (Box<str>, Result<Vec<IpAddr>, String>);

pub(super) struct Keeper {
    gateways: Vec<Vec<Endpoint>>,
    store: Store,
    names: watch::Sender<Names>,
    engine: mpsc::Sender<Command>,
    schedules: BTreeMap<Box<str>, Schedule>,
    /// Nothing is looked up before it is known.
    service: Option<NameService>,
    look_ups: JoinSet<Answer>,
}

impl Keeper {
    pub(super) fn new(
        gateways: Vec<Vec<Endpoint>>,
        store: Store,
        names: watch::Sender<Names>,
        engine: mpsc::Sender<Command>,
    ) -> Self {
        let schedules = names.borrow().keys().map(|name| (name.clone(), Schedule::default())).collect();
        Self { gateways, store, names, engine, schedules, service: None, look_ups: JoinSet::new() }
    }

    /// Runs until nobody asks any more.
    pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            let due = self.begin_due(Instant::now());
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.take(request),
                    None => return,
                },
                Some(answer) = self.look_ups.join_next() => {
                    // one that was cut short says nothing: another has taken its place
                    if let Ok(answer) = answer {
                        self.learn(answer).await;
                    }
                }
                () = until(due) => {}
            }
        }
    }

    /// Begins what is due; when the next is.
    fn begin_due(&mut self, now: Instant) -> Option<Instant> {
        let service = self.service.as_ref()?;
        let mut next: Option<Instant> = None;
        for (name, schedule) in &mut self.schedules {
            let Some(due) = schedule.due(now) else { continue };
            if due > now {
                next = next.into_iter().chain([due]).min();
                continue;
            }
            schedule.begin(now);
            let (name, service) = (name.clone(), service.clone());
            self.look_ups.spawn(async move {
                let found = look_up(&name, &service).await;
                (name, found)
            });
        }
        next
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Unanswered(gateway) => {
                let endpoints = self.gateways.get(gateway).map(Vec::as_slice).unwrap_or_default();
                for name in endpoints.iter().filter_map(name) {
                    self.schedules.entry(name.into()).or_default().want();
                }
            }
            Request::Changed(service) => {
                self.service = Some(service);
                self.look_ups.abort_all();
                for schedule in self.schedules.values_mut() {
                    schedule.begin_anew();
                }
            }
        }
    }

    async fn learn(&mut self, (name, found): Answer) {
        let Some(schedule) = self.schedules.get_mut(&name) else { return };
        let before = self.names.borrow().get(&name).cloned().unwrap_or_default();
        match found {
            Ok(found) => {
                schedule.succeed();
                let is_news = found != before.addresses;
                self.note(&name, found, None);
                if is_news {
                    tracing::debug!("the endpoint `{name}` has other addresses");
                    self.tell(&name).await;
                    self.save();
                }
            }
            Err(error) => {
                schedule.fail(before.addresses.is_empty(), Instant::now());
                if before.error.is_none() {
                    let also = if before.addresses.is_empty() { "" } else { "; its last addresses are used" };
                    tracing::warn!("a gateway's name cannot be resolved{also}");
                    tracing::debug!("{error}");
                }
                self.note(&name, before.addresses, Some(error));
            }
        }
    }

    fn note(&self, name: &str, addresses: Vec<IpAddr>, error: Option<String>) {
        self.names.send_modify(|names| {
            let found = names.entry(name.into()).or_default();
            (found.addresses, found.error) = (addresses, error);
        });
    }

    /// Tells the engine where the gateways of this name are.
    async fn tell(&self, changed: &str) {
        for (id, endpoints) in (0..).zip(&self.gateways) {
            if !endpoints.iter().any(|endpoint| name(endpoint) == Some(changed)) {
                continue;
            }
            let addresses = addresses(endpoints, &self.names.borrow());
            let _ = self.engine.send(Command::SetEndpoints(id, addresses)).await; // it ended: so will we
        }
    }

    fn save(&self) {
        let names = self.names.borrow();
        let names = names.iter().map(|(name, found)| (&**name, found.addresses.as_slice())).collect();
        if let Err(error) = self.store.save(&names) {
            tracing::warn!("{error:#}; after a restart the gateways' names must be resolved first");
        }
    }
}
