//! A stack that sends to a peer who keeps all that comes and says so (SACK), over a slow hop with a short queue.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::hostile::{client, segment, server};
use super::world::{self, LINK};
use crate::tcp::recovery::Sent;
use crate::tcp::{Event, FlowId, Limits, TcpStack};

const ACK: u8 = 16;
const SYN_ACK: u8 = 18;
/// 1 MiB, in units of 128 octets.
const WINDOW: u16 = 8_192;
const FIRST: u64 = 1 << 40;

/// The way to the peer; the way back loses nothing.
#[derive(Clone, Copy)]
pub(super) struct Hop {
    /// How long a packet keeps it busy.
    pub(super) packet_time: Duration,
    /// Packets that it holds; more are lost.
    pub(super) queue: u32,
    /// Besides, in per mille.
    pub(super) loss: u32,
    /// From one end to the other, once it has left the queue.
    pub(super) delay: Duration,
    pub(super) knows_sack: bool,
}

/// What a transfer was like.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) took: Duration,
    /// The longest time in which nothing was acknowledged.
    pub(super) longest_wait: Duration,
    pub(super) sent: usize,
    pub(super) lost: usize,
    /// What came to the peer who had it.
    pub(super) for_nothing: usize,
    /// How often smoltcp was entered.
    pub(super) polls: u64,
}

enum Side {
    Peer,
    Stack,
}

pub(super) struct Path {
    now: Instant,
    stack: TcpStack,
    flow: FlowId,
    hop: Hop,
    free_at: Instant,
    wire: BTreeMap<(Instant, usize), (Side, Vec<u8>)>,
    peer: Peer,
    rng: ChaCha12Rng,
    sent: usize,
    lost: usize,
}

impl Path {
    pub(super) fn new(hop: Hop, pace_packets: u32) -> Self {
        let now = world::start();
        let limits = Limits { buffer_bytes: 1 << 20, pace_packets, ..world::limits(4) };
        let mut stack = world::stack(1, limits, now);
        let flow = stack.connect(LINK, server(), client(), now).unwrap();
        let rng = ChaCha12Rng::from_seed([5; 32]);
        let (wire, peer) = (BTreeMap::new(), Peer { knows_sack: hop.knows_sack, ..Peer::default() });
        Self { now, stack, flow, hop, free_at: now, wire, peer, rng, sent: 0, lost: 0 }
    }

    /// Sends so many octets, and waits until all are acknowledged.
    pub(super) fn transfer(&mut self, length: usize) -> Outcome {
        let start = self.now;
        let (mut written, mut last, mut acknowledged, mut longest_wait) = (0, start, 0, Duration::ZERO);
        let chunk = vec![7; 1 << 16];
        while acknowledged < length as u64 {
            if self.peer.is_open {
                let most = chunk.len().min(length - written);
                written += self.stack.send(self.flow, &chunk[..most]);
            }
            self.step();
            while let Some(event) = self.stack.poll_event() {
                assert!(matches!(event, Event::Connected(_) | Event::Writable(_)), "{event:?}");
            }
            if self.peer.acknowledged() > acknowledged {
                acknowledged = self.peer.acknowledged();
                longest_wait = longest_wait.max(self.now - last);
                last = self.now;
            }
            assert!(self.now - start < Duration::from_secs(600), "it has stopped");
        }
        Outcome {
            took: self.now - start,
            longest_wait,
            sent: self.sent,
            lost: self.lost,
            for_nothing: self.peer.for_nothing,
            polls: self.stack.counters().polls,
        }
    }

    fn step(&mut self) {
        while let Some((_, packet)) = self.stack.poll_packet(self.now) {
            self.send(packet);
        }
        let arrival = self.wire.first_key_value().map(|((at, _), _)| *at);
        let next = arrival.into_iter().chain(self.stack.poll_timeout()).min().unwrap();
        self.now = self.now.max(next);
        self.stack.handle_timeout(self.now);
        while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                (Side::Stack, packet) => drop(self.stack.handle_packet(LINK, &packet, self.now)),
                (Side::Peer, packet) => {
                    let Some(reply) = self.peer.answer(&packet) else { continue };
                    self.wire.insert(
                        (self.now + self.hop.delay, self.wire.len() + self.sent),
                        (Side::Stack, reply),
                    );
                }
            }
        }
    }

    fn send(&mut self, packet: Vec<u8>) {
        self.sent += 1;
        let begin = self.free_at.max(self.now);
        let is_unlucky = self.peer.is_open && self.rng.next_u32() % 1_000 < self.hop.loss;
        if is_unlucky || begin - self.now > self.hop.packet_time * self.hop.queue {
            self.lost += 1;
            return;
        }
        self.free_at = begin + self.hop.packet_time;
        let at = (self.free_at + self.hop.delay, self.sent);
        self.wire.insert(at, (Side::Peer, packet));
    }
}

#[derive(Default)]
struct Peer {
    knows_sack: bool,
    is_open: bool,
    first: u32,
    /// What it has, the latest last.
    ranges: Vec<(u64, u64)>,
    next: u64,
    for_nothing: usize,
}

impl Peer {
    fn acknowledged(&self) -> u64 {
        self.next.saturating_sub(FIRST + 1)
    }

    fn answer(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let sent = Sent::parse(packet).unwrap();
        if sent.is_syn {
            (self.first, self.next) = (sent.sequence, FIRST + 1);
            let options: &[u8] = match self.knows_sack {
                true => &[2, 4, 5, 0x50, 4, 2, 1, 1, 3, 3, 7, 1],
                false => &[2, 4, 5, 0x50, 3, 3, 7, 1],
            };
            return Some(segment(SYN_ACK, 5_000, self.number(), u16::MAX, options, &[]));
        }
        self.is_open = true;
        if sent.length == 0 {
            return None;
        }
        let begin = FIRST + u64::from(sent.sequence.wrapping_sub(self.first));
        self.take(begin, begin + sent.length as u64);
        Some(segment(ACK, 5_001, self.number(), WINDOW, &self.blocks(), &[]))
    }

    fn take(&mut self, begin: u64, end: u64) {
        let has = |(left, right): &(u64, u64)| *left <= begin && end <= *right;
        if end <= self.next || self.ranges.iter().any(has) {
            self.for_nothing += 1;
            return;
        }
        let (mut begin, mut end) = (begin, end);
        self.ranges.retain(|(left, right)| {
            let touches = *left <= end && begin <= *right;
            if touches {
                (begin, end) = (begin.min(*left), end.max(*right));
            }
            !touches
        });
        if begin <= self.next {
            self.next = end;
        } else {
            self.ranges.push((begin, end));
        }
    }

    fn number(&self) -> u32 {
        self.first.wrapping_add((self.next - FIRST) as u32)
    }

    fn blocks(&self) -> Vec<u8> {
        if !self.knows_sack || self.ranges.is_empty() {
            return Vec::new();
        }
        let latest: Vec<_> = self.ranges.iter().rev().take(3).collect();
        let mut options = vec![1, 1, 5, (2 + 8 * latest.len()) as u8];
        for position in latest.into_iter().flat_map(|(begin, end)| [begin, end]) {
            options.extend(self.first.wrapping_add((position - FIRST) as u32).to_be_bytes());
        }
        options
    }
}
