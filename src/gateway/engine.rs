//! The gateway's engine: the one loop around the packet machine, on a thread of its own.

mod device;
mod events;
mod flows;
mod io;
mod orders;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use netstack::counters::DropReason;
use netstack::gateway::{FlowId, Gateway, PeerStats};
use tokio::sync::mpsc;

pub use device::Inner;

use super::audit::Audit;
use super::job::{Job, Order};
use super::roster::{PeerFacts, Roster};
use device::Device;
use flows::Record;
use io::Io;

use crate::watch::Alarm;

/// Orders that are carried out before packets get their turn again.
const ORDER_BUDGET: usize = 256;

/// What may be asked of the engine.
#[derive(Debug)]
pub enum Command {
    /// Enforce another configuration; answers when flows that lost their right have ended.
    Roster(Arc<Roster>, tokio::sync::oneshot::Sender<()>),
    /// Say how everything is.
    Facts(tokio::sync::oneshot::Sender<Facts>),
}

/// How everything is.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The peers that are configured, by name.
    pub peers: Vec<(Box<str>, PeerStats)>,
    /// Open flows.
    pub flows: usize,
    /// Packets that were dropped: reason and how many.
    pub drops: Vec<(&'static str, u64)>,
}

/// What the engine is made of.
pub struct Parts {
    /// The packet machine.
    pub gateway: Gateway,
    /// Where datagrams of peers come in: one a family.
    pub sockets: Vec<platform::udp::UdpEndpoint>,
    /// What carries the peers' connections.
    pub inner: Inner,
    /// The configuration.
    pub roster: Arc<Roster>,
    /// The table of names' addresses.
    pub addresses: Arc<std::sync::Mutex<super::addresses::Addresses>>,
    /// To the egress.
    pub jobs: mpsc::Sender<Job>,
    /// From the egress.
    pub orders: mpsc::Receiver<Order>,
    /// Commands; the engine ends when nobody can send one any more.
    pub commands: mpsc::Receiver<Command>,
    /// Where flows are written down.
    pub audit: Audit,
}

/// The loop's state.
pub struct Engine {
    io: Io,
    gateway: Gateway,
    roster: Arc<Roster>,
    addresses: Arc<std::sync::Mutex<super::addresses::Addresses>>,
    /// Peers by the machine's numbers.
    peers: BTreeMap<u32, Arc<PeerFacts>>,
    /// What is known of flows besides.
    records: BTreeMap<FlowId, Record>,
    /// Kernel egress: the real addresses behind those that were given out.
    reals: BTreeMap<IpAddr, IpAddr>,
    jobs: mpsc::Sender<Job>,
    orders: mpsc::Receiver<Order>,
    commands: mpsc::Receiver<Command>,
    audit: Audit,
    alarm: Alarm,
}

/// Why the loop woke up.
enum Wake {
    Io(io::Ready),
    Order(Option<Order>),
    Command(Option<Command>),
    Timer,
}

impl Engine {
    /// Puts the parts together; must be called on the thread that will run it, inside its runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the device or a socket.
    pub fn new(parts: Parts) -> std::io::Result<Self> {
        let mut engine = Self {
            io: Io::new(Device::new(parts.inner, Instant::now())?, parts.sockets)?,
            gateway: parts.gateway,
            roster: Arc::clone(&parts.roster),
            addresses: parts.addresses,
            peers: BTreeMap::new(),
            records: BTreeMap::new(),
            reals: BTreeMap::new(),
            jobs: parts.jobs,
            orders: parts.orders,
            commands: parts.commands,
            audit: parts.audit,
            alarm: Alarm::new(),
        };
        engine.enforce(parts.roster, Instant::now());
        Ok(engine)
    }

    /// Runs until nobody can command it any more, or the device is gone; every flow has its line in the audit then.
    ///
    /// # Errors
    /// When the device can no longer be used.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let result = self.run_until_told().await;
        self.end_all(Instant::now());
        result
    }

    async fn run_until_told(&mut self) -> anyhow::Result<()> {
        self.settle(Instant::now());
        loop {
            let wake = self.wait().await;
            let now = Instant::now();
            match wake {
                Wake::Io(ready) => self.handle_ready(ready, now)?,
                Wake::Order(Some(order)) => self.handle_orders(order, now),
                Wake::Command(Some(Command::Roster(roster, done))) => {
                    self.enforce(roster, now);
                    self.settle(now);
                    let _ = done.send(()); // who asked may be gone
                }
                Wake::Command(Some(Command::Facts(reply))) => {
                    let _ = reply.send(self.facts()); // who asked may be gone
                }
                Wake::Order(None) | Wake::Command(None) => return Ok(()),
                Wake::Timer => self.handle_timers(now),
            }
            self.settle(now);
        }
    }

    async fn wait(&mut self) -> Wake {
        let deadlines = [self.gateway.poll_timeout(), self.io.device.poll_timeout()];
        let deadline = deadlines.into_iter().flatten().min();
        tokio::select! {
            biased;
            command = self.commands.recv() => Wake::Command(command),
            ready = self.io.ready() => Wake::Io(ready),
            order = self.orders.recv() => Wake::Order(order),
            () = self.alarm.wait(deadline) => Wake::Timer,
        }
    }

    fn handle_timers(&mut self, now: Instant) {
        self.gateway.handle_timeout(now); // the stack's own time passes when it is asked for frames
    }

    fn handle_orders(&mut self, first: Order, now: Instant) {
        self.handle_order(first, now);
        for _ in 1..ORDER_BUDGET {
            let Ok(order) = self.orders.try_recv() else { return };
            self.handle_order(order, now);
        }
    }

    /// Carries everything that the machine has to say to where it goes, until it is quiet.
    fn facts(&self) -> Facts {
        let name = |number| self.peers.get(&number).map(|peer| peer.name.clone());
        let counters = self.gateway.counters();
        Facts {
            peers: self.gateway.peers().filter_map(|(number, stats)| Some((name(number)?, stats))).collect(),
            flows: self.records.len(),
            drops: DropReason::ALL.iter().map(|reason| (reason.code(), counters.get(*reason))).collect(),
        }
    }

    fn settle(&mut self, now: Instant) {
        self.io.exchange(&mut self.gateway, now);
        self.pump_events(now);
        self.pump_accepted();
        self.io.flush(&mut self.gateway, now);
    }
}
