//! A simulated link between two stacks, with a fake clock and a seeded generator for its faults.
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::tcp::{Event, FlowId, Limits, TcpStack};

pub(super) const LINK: u32 = 7;
pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;

/// What the link does to packets, in per mille.
#[derive(Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) loss: u32,
    pub(super) reorder: u32,
    pub(super) duplicate: u32,
    pub(super) corrupt: u32,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) stacks: [TcpStack; 2],
    pub(super) events: [VecDeque<Event>; 2],
    pub(super) faults: Faults,
    /// Packets that either stack sent.
    pub(super) sent: usize,
    wire: BTreeMap<(Instant, usize), (usize, Vec<u8>)>,
    rng: ChaCha12Rng,
}

pub(super) fn limits(max_flows: usize) -> Limits {
    Limits { max_flows, buffer_bytes: 65_536, idle_timeout: Duration::from_secs(600), pace_packets: 64 }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of the fake clock")]
pub(in crate::tcp) fn start() -> Instant {
    Instant::now()
}

pub(super) fn stack(seed: u8, limits: Limits, now: Instant) -> TcpStack {
    TcpStack::new([seed; 32], 1420, limits, now)
}

impl World {
    pub(super) fn new(limits: Limits) -> Self {
        let now = start();
        Self {
            now,
            stacks: [stack(1, limits, now), stack(2, limits, now)],
            events: [VecDeque::new(), VecDeque::new()],
            faults: Faults::default(),
            sent: 0,
            wire: BTreeMap::new(),
            rng: ChaCha12Rng::from_seed([3; 32]),
        }
    }

    pub(super) fn with_faults(faults: Faults) -> Self {
        Self { faults, ..Self::new(limits(64)) }
    }

    /// Moves packets and events once; then lets time pass until the next thing happens. `false`: nothing ever will.
    pub(super) fn step(&mut self) -> bool {
        self.collect();
        let deadlines = self.stacks.iter().filter_map(TcpStack::poll_timeout);
        let arrival = self.wire.first_key_value().map(|((at, _), _)| *at);
        let Some(next) = deadlines.chain(arrival).min() else {
            return false;
        };
        self.now = self.now.max(next);
        self.deliver();
        let now = self.now;
        self.stacks.iter_mut().for_each(|stack| stack.handle_timeout(now));
        self.collect();
        true
    }

    /// Steps until `done`, within two simulated hours.
    pub(super) fn until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + Duration::from_secs(7200);
        self.collect();
        while !done(self) {
            assert!(self.now < end, "not done within two simulated hours");
            assert!(self.step() || done(self), "nothing will ever happen again, and it is not done");
        }
    }

    /// Steps until no packet is under way, letting pass `time` and no more.
    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.collect();
            let deadlines = self.stacks.iter().filter_map(TcpStack::poll_timeout);
            let arrival = self.wire.first_key_value().map(|((at, _), _)| *at);
            if deadlines.chain(arrival).min().is_none_or(|next| next > end) {
                self.now = end;
                return;
            }
            self.step();
        }
    }

    /// Waits for the next event of one side.
    pub(super) fn event(&mut self, side: usize) -> Event {
        self.until(|world| !world.events[side].is_empty());
        self.events[side].pop_front().unwrap()
    }

    /// An open connection, seen from the client and from the server.
    pub(super) fn open(&mut self, local: SocketAddr, remote: SocketAddr) -> (FlowId, FlowId) {
        self.stacks[SERVER].listen(LINK, remote);
        let client = self.stacks[CLIENT].connect(LINK, local, remote, self.now).unwrap();
        assert_eq!(self.event(CLIENT), Event::Connected(client));
        let Event::Accepted { flow, link, local: at, remote: from } = self.event(SERVER) else {
            panic!("expected a connection");
        };
        assert_eq!((link, at, from), (LINK, remote, local));
        (client, flow)
    }

    /// Hands all that waits in the stacks to the link and to the lists of events.
    pub(super) fn collect(&mut self) {
        for side in [CLIENT, SERVER] {
            while let Some((link, packet)) = self.stacks[side].poll_packet(self.now) {
                assert_eq!(link, LINK);
                self.sent += 1;
                self.transmit(1 - side, packet);
            }
            while let Some(event) = self.stacks[side].poll_event() {
                self.events[side].push_back(event);
            }
        }
    }

    fn transmit(&mut self, to: usize, packet: Vec<u8>) {
        if self.happens(self.faults.loss) {
            return;
        }
        let copies = if self.happens(self.faults.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let mut packet = packet.clone();
            if self.happens(self.faults.corrupt) {
                let at = self.rng.next_u32() as usize % packet.len();
                packet[at] ^= 1 << (self.rng.next_u32() % 8);
            }
            let late = if self.happens(self.faults.reorder) { 15 } else { 0 };
            let order = self.rng.next_u32() as usize;
            let order = if late > 0 { order } else { self.sent << 8 };
            let at = self.now + Duration::from_millis(5 + late);
            self.wire.insert((at, order + self.wire.len()), (to, packet));
        }
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (to, packet) = entry.remove();
            self.stacks[to].handle_packet(LINK, &packet, self.now);
        }
    }

    fn happens(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.rng.next_u32() % 1000 < per_mille
    }
}

/// A program at one end: what it still has to send, and what it received.
pub(super) struct Program {
    pub(super) side: usize,
    pub(super) flow: FlowId,
    pub(super) received: Vec<u8>,
    pub(super) finished: bool,
    pub(super) ended: Option<Event>,
    to_send: VecDeque<u8>,
    closing: bool,
}

impl Program {
    /// Sends `data`, then closes its half.
    pub(super) fn new(world: &mut World, side: usize, flow: FlowId, data: &[u8]) -> Self {
        let mut program = Self {
            side,
            flow,
            received: Vec::new(),
            finished: false,
            ended: None,
            to_send: data.iter().copied().collect(),
            closing: true,
        };
        program.write(&mut world.stacks[side]);
        program
    }

    /// Reacts to all events of its side.
    pub(super) fn run(&mut self, world: &mut World) {
        while let Some(event) = world.events[self.side].pop_front() {
            let stack = &mut world.stacks[self.side];
            match event {
                Event::Readable(_) => self.read(stack),
                Event::Writable(_) => self.write(stack),
                Event::Finished(_) => self.finished = true,
                Event::Closed(_) | Event::Reset(_) | Event::TimedOut(_) => self.ended = Some(event),
                Event::Accepted { .. } | Event::Connected(_) => panic!("unexpected {event:?}"),
            }
        }
    }

    fn read(&mut self, stack: &mut TcpStack) {
        let mut buffer = [0; 3000];
        loop {
            let taken = stack.recv(self.flow, &mut buffer);
            if taken == 0 {
                return;
            }
            self.received.extend_from_slice(&buffer[..taken]);
        }
    }

    fn write(&mut self, stack: &mut TcpStack) {
        while !self.to_send.is_empty() {
            let taken = stack.send(self.flow, self.to_send.make_contiguous());
            if taken == 0 {
                return;
            }
            self.to_send.drain(..taken);
        }
        if std::mem::take(&mut self.closing) {
            stack.close(self.flow);
        }
    }
}
