//! Egress: resolves, dials and carries what policy let through, on a thread of its own.

mod accept;
mod buffers;
mod dns_tcp;
mod echo;
mod tcp;
mod udp;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use netstack::gateway::{FlowFacts, FlowId};
use netstack::policy::Protocol;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub use accept::Acceptor;
use buffers::Budgets;

use super::addresses;
use super::job::{Job, Order};
use super::names::{Names, wall};
use super::roster::{PeerFacts, Roster};

/// Queries at one time; each has a socket. Below the usual limit of 1,024 files a process.
const MOST_QUERIES: usize = 256;
/// Tasks before it is worth a look which of them ended.
const LEAST_SWEEP: usize = 1024;
/// The table of addresses is saved at most this often.
const SAVE_DELAY: Duration = Duration::from_secs(1);
/// Addresses that were unused for long are looked for this often.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// What egress is made of.
pub struct Parts {
    /// The configuration.
    pub rosters: watch::Receiver<Arc<Roster>>,
    /// The name server.
    pub names: Names,
    /// Takes the peers' connections.
    pub acceptor: Acceptor,
    /// What is to be done.
    pub jobs: mpsc::Receiver<Job>,
    /// What the engine is to do.
    pub orders: mpsc::Sender<Order>,
    /// Where the table of addresses is kept.
    pub table_path: PathBuf,
}

/// The actor.
pub struct Egress {
    shared: Shared,
    rosters: watch::Receiver<Arc<Roster>>,
    acceptor: Acceptor,
    jobs: mpsc::Receiver<Job>,
    tasks: BTreeMap<FlowId, Carried>,
    /// How many tasks there may be before those that ended are looked for.
    sweep_at: usize,
    queries: Arc<Semaphore>,
    table_path: PathBuf,
    saved_generation: u64,
    save_at: Option<Instant>,
    expire_at: Instant,
}

/// What every task needs.
#[derive(Clone)]
struct Shared {
    roster: Arc<Roster>,
    names: Names,
    orders: mpsc::Sender<Order>,
    budgets: Budgets,
}

/// A flow that a task carries.
struct Carried {
    task: AbortHandle,
    /// Echo requests go in here.
    echoes: Option<mpsc::Sender<(u16, Vec<u8>)>>,
}

impl Egress {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let generation = parts.names.addresses.lock().unwrap_or_else(PoisonError::into_inner).generation();
        let roster = Arc::clone(&parts.rosters.borrow());
        Self {
            shared: Shared { roster, names: parts.names, orders: parts.orders, budgets: Budgets::default() },
            rosters: parts.rosters,
            acceptor: parts.acceptor,
            jobs: parts.jobs,
            tasks: BTreeMap::new(),
            sweep_at: LEAST_SWEEP,
            queries: Arc::new(Semaphore::new(MOST_QUERIES)),
            table_path: parts.table_path,
            saved_generation: generation,
            save_at: None,
            expire_at: Instant::now() + EXPIRE_INTERVAL,
        }
    }

    /// Runs until the engine is gone; saves the table at the end.
    pub async fn run(mut self) {
        self.acceptor.start().await;
        loop {
            let deadline = self.save_at.unwrap_or(self.expire_at).min(self.expire_at);
            tokio::select! {
                job = self.jobs.recv() => match job {
                    Some(job) => self.handle(job),
                    None => break,
                },
                () = tokio::time::sleep_until(deadline) => self.handle_timers(Instant::now()).await,
            }
        }
        self.save();
    }

    fn handle(&mut self, job: Job) {
        self.shared.roster = Arc::clone(&self.rosters.borrow());
        match job {
            Job::Open(flow, facts, peer) => self.open(flow, facts, peer),
            Job::Began(flow, facts, peer) => self.begin(flow, facts, peer),
            Job::Echo(flow, sequence, payload) => {
                let echoes = self.tasks.get(&flow).and_then(|carried| carried.echoes.as_ref());
                if let Some(echoes) = echoes {
                    let _ = echoes.try_send((sequence, payload)); // a flood of echoes loses some
                }
            }
            Job::Query { peer, facts, source, local, payload } => {
                let roster = Arc::clone(&self.shared.roster);
                let order = move |reply| Order::Answer { peer, source, local, reply, roster };
                self.answer(facts, payload, order);
            }
            Job::Accepted(source, destination, stream) => {
                self.acceptor.deliver(source, destination, stream);
            }
            Job::Ended(flow) => {
                if let Some(carried) = self.tasks.remove(&flow) {
                    carried.task.abort();
                }
            }
        }
    }

    fn open(&mut self, flow: FlowId, facts: FlowFacts, peer: Arc<PeerFacts>) {
        let accepted = self.acceptor.expect(facts.source, facts.destination);
        let shared = self.shared.clone();
        let task = match facts.application {
            Some(_) => tokio::spawn(tcp::carry(shared, flow, facts, peer, accepted)).abort_handle(),
            None => tokio::spawn(dns_tcp::serve(shared, flow, facts, peer, accepted)).abort_handle(),
        };
        self.note(flow, Carried { task, echoes: None });
    }

    fn begin(&mut self, flow: FlowId, facts: FlowFacts, peer: Arc<PeerFacts>) {
        let shared = self.shared.clone();
        let carried = match facts.protocol {
            Protocol::Tcp => return, // begins with `Open`
            Protocol::Udp => {
                let task = tokio::spawn(udp::carry(shared, flow, facts, peer)).abort_handle();
                Carried { task, echoes: None }
            }
            Protocol::Icmp => {
                let (sender, receiver) = mpsc::channel(echo::QUEUE);
                let task = tokio::spawn(echo::carry(shared, flow, facts, peer, receiver)).abort_handle();
                Carried { task, echoes: Some(sender) }
            }
        };
        self.note(flow, carried);
    }

    /// Most flows end by themselves: their places are cleared once there are twice as many as before.
    fn note(&mut self, flow: FlowId, carried: Carried) {
        if self.tasks.len() >= self.sweep_at {
            self.tasks.retain(|_, carried| !carried.task.is_finished());
            self.sweep_at = (2 * self.tasks.len()).max(LEAST_SWEEP);
        }
        self.tasks.insert(flow, carried);
    }

    fn answer(
        &mut self,
        peer: Arc<PeerFacts>,
        payload: Vec<u8>,
        order: impl FnOnce(super::names::Reply) -> Order + Send + 'static,
    ) {
        let Ok(permit) = Arc::clone(&self.queries).try_acquire_owned() else { return };
        self.save_at.get_or_insert_with(|| Instant::now() + SAVE_DELAY);
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let limit = Some(usize::from(super::upstream::DATAGRAM));
            if let Some(reply) = shared.names.answer(&shared.roster, &peer, &payload, limit).await {
                let _ = shared.orders.send(order(reply)).await; // the engine ended: nobody waits
            }
            drop(permit);
        });
    }

    async fn handle_timers(&mut self, now: Instant) {
        if self.save_at.is_some_and(|at| at <= now) {
            self.save_at = None;
            self.save();
        }
        if self.expire_at <= now {
            self.expire_at = now + EXPIRE_INTERVAL;
            let expired = self.expire();
            let _ = self.shared.orders.send(Order::Forget(expired)).await; // the engine ended: so do we
        }
    }

    fn expire(&self) -> Vec<std::net::IpAddr> {
        let mut table = self.shared.names.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        table.expire(wall())
    }

    fn save(&mut self) {
        let table = self.shared.names.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = table.generation();
        if generation == self.saved_generation {
            return;
        }
        let saved = table.to_save(self.shared.roster.config.pool);
        drop(table);
        match addresses::save(&self.table_path, &saved) {
            Ok(()) => self.saved_generation = generation,
            Err(error) => tracing::warn!("{error:#}"),
        }
    }
}
