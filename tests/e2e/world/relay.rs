//! A UDP relay on the internet that delays, loses, reorders, repeats and damages datagrams, as bad networks do.
//!
//! A thread of the test that has entered the namespace of `wan`: the laptop sends to the relay, which has a socket of
//! its own toward the gateway for each address that the laptop sends from. What it does may be changed at any time.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use super::impairment::{BadWay, Impairment};
use super::{GATEWAY_ENDPOINT, World};

/// An address of the internet for relays; a port each.
pub(crate) const RELAY_ADDRESS: &str = "203.0.113.99";

/// Addresses of laptops at a time; the oldest is forgotten.
const CLIENTS: usize = 16;

/// Datagrams taken from a socket before the others get their turn.
const TURN: usize = 64;

/// Room in each socket, in bytes: 10 ms of 6 Gbit/s.
const SOCKET_ROOM: usize = 8 << 20;

/// How long a stop may go unnoticed.
const IDLE: Duration = Duration::from_millis(50);

/// A running relay; it ends when dropped.
pub(crate) struct Relay {
    endpoint: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    impairment: Mutex<Impairment>,
    is_over: AtomicBool,
    taken: AtomicU64,
    lost: AtomicU64,
}

impl Relay {
    /// Starts a relay to the world's gateway; `seed` makes its chances repeatable.
    #[track_caller]
    pub(crate) fn start(world: &World, seed: u64) -> Self {
        Self::start_to(world, GATEWAY_ENDPOINT, 51820, seed)
    }

    /// Starts a relay at `RELAY_ADDRESS:port` to a gateway.
    #[track_caller]
    pub(crate) fn start_to(world: &World, gateway: &str, port: u16, seed: u64) -> Self {
        world.wan.ip(&[&format!("addr replace {RELAY_ADDRESS}/32 dev lo")]);
        let endpoint: SocketAddr = format!("{RELAY_ADDRESS}:{port}").parse().expect("an address and a port");
        let gateway: SocketAddr = gateway.parse().expect("the address and the port of a gateway");
        let shared = Arc::new(Shared::default());
        let (ready, is_ready) = mpsc::sync_channel(1);
        let (enter, for_thread) = (world.wan.entrance(), Arc::clone(&shared));
        let thread = std::thread::spawn(move || {
            enter.enter();
            let machine = Machine::new(endpoint, gateway, seed, &for_thread);
            ready.send(()).expect("someone who waits");
            machine.run();
        });
        is_ready.recv().expect("a relay that listens (see its message above)");
        Self { endpoint, shared, thread: Some(thread) }
    }

    /// Where the laptop sends to.
    pub(crate) fn endpoint(&self) -> String {
        self.endpoint.to_string()
    }

    /// From now on this happens to what comes in; what is under way stays as it was.
    pub(crate) fn set(&self, impairment: Impairment) {
        *self.shared.impairment.lock().unwrap_or_else(PoisonError::into_inner) = impairment;
    }

    /// Datagrams that came in so far, and how many of them were lost.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.shared.taken.load(Ordering::Relaxed), self.shared.lost.load(Ordering::Relaxed))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) && !std::thread::panicking() {
            panic!("the relay ended by a panic");
        }
    }
}

/// Which way a datagram goes.
#[derive(Clone, Copy)]
enum Way {
    /// To the gateway, by the socket of the client with this number.
    Up(u64),
    /// To the laptop at this address.
    Down(SocketAddr),
}

struct Client {
    number: u64,
    address: SocketAddr,
    socket: UdpSocket,
}

struct Machine<'s> {
    listener: UdpSocket,
    gateway: SocketAddr,
    clients: Vec<Client>,
    next_number: u64,
    way: BadWay<Way>,
    shared: &'s Shared,
}

impl<'s> Machine<'s> {
    fn new(endpoint: SocketAddr, gateway: SocketAddr, seed: u64, shared: &'s Shared) -> Self {
        Self {
            listener: bind(endpoint),
            gateway,
            clients: Vec::new(),
            next_number: 0,
            way: BadWay::new(seed),
            shared,
        }
    }

    fn run(mut self) {
        let mut buffer = vec![0; 65_536];
        while !self.shared.is_over.load(Ordering::Relaxed) {
            self.wait();
            let impairment = *self.shared.impairment.lock().unwrap_or_else(PoisonError::into_inner);
            self.take_from_laptop(&mut buffer, &impairment);
            self.take_from_gateway(&mut buffer, &impairment);
            self.deliver_what_is_due();
        }
    }

    fn wait(&self) {
        let wait = self.way.due().map_or(IDLE, |due| due.saturating_duration_since(Instant::now()).min(IDLE));
        let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
        let sockets = std::iter::once(&self.listener).chain(self.clients.iter().map(|client| &client.socket));
        let mut sockets: Vec<PollFd<'_>> = sockets.map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        // A signal only ends the wait early.
        let _ = poll(&mut sockets, Some(&wait));
    }

    fn take_from_laptop(&mut self, buffer: &mut [u8], impairment: &Impairment) {
        for _ in 0..TURN {
            let Ok((length, from)) = self.listener.recv_from(buffer) else { return };
            let way = Way::Up(self.client_at(from));
            self.take(way, &mut buffer[..length], impairment);
        }
    }

    fn take_from_gateway(&mut self, buffer: &mut [u8], impairment: &Impairment) {
        for index in 0..self.clients.len() {
            for _ in 0..TURN {
                let client = &self.clients[index];
                let Ok(length) = client.socket.recv(buffer) else { break };
                let way = Way::Down(client.address);
                self.take(way, &mut buffer[..length], impairment);
            }
        }
    }

    fn client_at(&mut self, address: SocketAddr) -> u64 {
        if let Some(client) = self.clients.iter().find(|client| client.address == address) {
            return client.number;
        }
        if self.clients.len() == CLIENTS {
            self.clients.remove(0);
        }
        let any = if self.gateway.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = bind(any.parse().expect("any address"));
        socket.connect(self.gateway).expect("a route to the gateway");
        self.next_number += 1;
        self.clients.push(Client { number: self.next_number, address, socket });
        self.next_number
    }

    fn take(&mut self, way: Way, datagram: &mut [u8], impairment: &Impairment) {
        self.shared.taken.fetch_add(1, Ordering::Relaxed);
        if !self.way.take(way, datagram, impairment, Instant::now()) {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn deliver_what_is_due(&mut self) {
        let now = Instant::now();
        while let Some((way, datagram)) = self.way.next_due(now) {
            self.send(way, &datagram);
        }
    }

    /// A full socket or a host that is away loses the datagram, as a network does.
    fn send(&self, way: Way, datagram: &[u8]) {
        let _: io::Result<usize> = match way {
            Way::Up(number) => match self.clients.iter().find(|client| client.number == number) {
                Some(client) => client.socket.send(datagram),
                None => Ok(0),
            },
            Way::Down(address) => self.listener.send_to(datagram, address),
        };
    }
}

#[track_caller]
fn bind(address: SocketAddr) -> UdpSocket {
    let socket =
        UdpSocket::bind(address).unwrap_or_else(|error| panic!("failed to bind `{address}`: {error}"));
    socket.set_nonblocking(true).expect("a socket that does not wait");
    set_socket_recv_buffer_size_force(&socket, SOCKET_ROOM).expect("room in a socket");
    socket
}
