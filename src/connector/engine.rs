//! The engine: the one loop that holds every side effect of the data path.
//!
//! It drives two pure machines, [`Datapath`] and [`Resolver`], with what comes from the TUN, the network and the clock.
//! It runs on a thread of its own; others talk to it through bounded channels.

mod command;
mod dialing;
mod dns_tcp;
mod flow_news;
mod io;
mod loop_probe;
mod names;
mod observe;
mod path_mtu;
mod system_upstream;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dns::Resolver;
use netstack::Datapath;
use tokio::sync::mpsc;

pub use command::{Command, Event, GatewayFacts, Renumbering, Rules, Snapshot};
pub use flow_news::{FLOW_NEWS_QUEUE, FlowList, FlowNews, NamedFlow, Names};
pub use io::Device;
pub use observe::GatewayState;
pub use path_mtu::{ASSUMED_MTU, LARGEST_MTU};

use self::dns_tcp::DnsTcp;
use self::io::Io;
use self::system_upstream::SystemUpstream;
use crate::dialer::Request;
use crate::watch::Alarm;

/// Commands that may wait; each is short.
pub const COMMAND_QUEUE: usize = 16;
/// Events that may wait for the supervisor.
pub const EVENT_QUEUE: usize = 64;
/// The table of virtual addresses is saved at most this often.
const SAVE_DELAY: Duration = Duration::from_secs(1);
/// Virtual addresses that were unused for long are looked for this often.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// What the engine is made of.
pub struct Parts {
    /// Where packets of programs come from.
    pub device: Device,
    /// The packet machine.
    pub datapath: Datapath,
    /// The name machine.
    pub resolver: Resolver,
    /// Sockets toward gateways: one a family that the system has.
    pub sockets: Vec<platform::udp::UdpEndpoint>,
    /// The mark of sockets that never enter the tunnel.
    pub mark: u32,
    /// How many gateways there are.
    pub gateways: u32,
    /// The TUN's MTU follows the paths.
    pub follows_paths: bool,
    /// Commands come in here.
    pub commands: mpsc::Receiver<Command>,
    /// What dialers ask comes in here.
    pub requests: mpsc::Receiver<Request>,
    /// Events go out here.
    pub events: mpsc::Sender<Event>,
    /// What happens to flows goes out here,
    pub flow_news: mpsc::Sender<FlowNews>,
    /// with these names.
    pub names: Names,
}

/// The loop's state.
pub struct Engine {
    io: Io,
    datapath: Datapath,
    resolver: Resolver,
    answer: Vec<u8>,
    tcp: DnsTcp,
    upstream: SystemUpstream,
    loop_probe: loop_probe::LoopProbe,
    questions: dialing::Questions,
    commands: mpsc::Receiver<Command>,
    requests: mpsc::Receiver<Request>,
    events: mpsc::Sender<Event>,
    observer: observe::Observer,
    path_observer: path_mtu::PathObserver,
    saved_generation: u64,
    save_at: Option<Instant>,
    expire_at: Instant,
    flow_news: mpsc::Sender<FlowNews>,
    /// News of flows that found no room.
    untold_flows: u64,
    names: Names,
    alarm: Alarm,
}

/// Why the loop woke up.
enum Wake {
    Io(io::Ready),
    Reply(system_upstream::Reply),
    Command(Option<Command>),
    Request(Request),
    Timer,
}

impl Engine {
    /// Puts the parts together; must be called on the thread that will run it, inside its runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the TUN or a socket.
    pub fn new(parts: Parts) -> std::io::Result<Self> {
        Ok(Self {
            io: Io::new(parts.device, parts.sockets)?,
            saved_generation: parts.resolver.pool().generation(),
            datapath: parts.datapath,
            resolver: parts.resolver,
            answer: Vec::with_capacity(4096),
            tcp: DnsTcp::default(),
            upstream: SystemUpstream::new(parts.mark),
            loop_probe: loop_probe::LoopProbe::default(),
            questions: dialing::Questions::default(),
            commands: parts.commands,
            requests: parts.requests,
            events: parts.events,
            observer: observe::Observer::new(parts.gateways),
            path_observer: path_mtu::PathObserver::new(parts.follows_paths),
            save_at: None,
            expire_at: Instant::now() + EXPIRE_INTERVAL,
            flow_news: parts.flow_news,
            untold_flows: 0,
            names: parts.names,
            alarm: Alarm::new(),
        })
    }

    /// Runs until it is told to stop, or the TUN is gone.
    ///
    /// # Errors
    /// When the TUN can no longer be used.
    pub async fn run(mut self) -> anyhow::Result<()> {
        self.know_mappings();
        self.settle(Instant::now());
        loop {
            let wake = self.wait().await;
            let now = Instant::now();
            match wake {
                Wake::Io(ready) => {
                    if let Err(error) = self.handle_ready(ready, now) {
                        self.tell_last_flows("disconnected");
                        return Err(error);
                    }
                }
                Wake::Reply(reply) => self.handle_reply(reply, now),
                Wake::Command(None | Some(Command::Stop)) => {
                    self.tell_last_flows("disconnected");
                    return Ok(());
                }
                Wake::Command(Some(command)) => self.handle_command(command, now),
                Wake::Request(request) => self.handle_request(request, now),
                Wake::Timer => self.handle_timers(now),
            }
            self.settle(now);
        }
    }

    async fn wait(&mut self) -> Wake {
        let deadline = self.deadline();
        tokio::select! {
            biased;
            command = self.commands.recv() => Wake::Command(command),
            ready = self.io.ready() => Wake::Io(ready),
            Some(reply) = self.upstream.next() => Wake::Reply(reply),
            Some(request) = self.requests.recv() => Wake::Request(request),
            () = self.alarm.wait(Some(deadline)) => Wake::Timer,
        }
    }

    fn deadline(&self) -> Instant {
        let machines = [
            self.datapath.poll_timeout(),
            self.resolver.poll_timeout(),
            self.save_at,
            self.observer.poll_timeout(),
            self.path_observer.poll_timeout(),
            self.loop_probe.poll_timeout(),
            self.io.poll_timeout(),
        ];
        machines.into_iter().flatten().fold(self.expire_at, Instant::min)
    }

    fn handle_timers(&mut self, now: Instant) {
        self.datapath.handle_timeout(now);
        self.resolver.handle_timeout(now);
        self.send_probes(now);
        if self.save_at.is_some_and(|at| at <= now) {
            self.save();
        }
        if self.expire_at <= now {
            self.expire_at = now + EXPIRE_INTERVAL;
            self.expire_mappings();
        }
    }

    /// Carries everything that the machines have to say to where it goes, until they are quiet.
    fn settle(&mut self, now: Instant) {
        self.pump_names(now);
        self.io.settle(&mut self.datapath, now);
        self.tell_flows();
        for event in self.observer.observe(&self.datapath, now) {
            self.tell(event);
        }
        self.observe_paths(now);
        let generation = self.resolver.pool().generation();
        if generation != self.saved_generation && self.save_at.is_none() {
            self.save_at = Some(now + SAVE_DELAY);
        }
    }

    fn save(&mut self) {
        let entries: Vec<dns::Entry> = self.resolver.pool().entries().collect();
        let generation = self.resolver.pool().generation();
        self.save_at = None;
        if self.events.try_send(Event::AddressesChanged(entries)).is_ok() {
            self.saved_generation = generation;
        }
    }

    fn expire_mappings(&mut self) {
        let (now, used) = (wall(), self.datapath.destinations());
        for address in used {
            self.resolver.touch(address, now); // a connection may be older than its name's last query
        }
        let expired: std::collections::BTreeSet<_> = self.resolver.expire_mappings(now).into_iter().collect();
        self.datapath.retain_mappings(|address, _| !expired.contains(&address));
    }

    fn tell(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            tracing::debug!("the supervisor is busy: an event is left out, the next snapshot tells the same");
        }
    }
}

/// Seconds since 1970.
fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
