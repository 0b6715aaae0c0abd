//! What dialers ask: names, and whether a flow may begin.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Instant;

use dns::{Client, Outcome, Transport};
use netstack::datapath::Judgement;
use tokio::sync::oneshot;

use super::Engine;
use crate::dialer::{Denied, Protocol, Request};

/// Where a dialer's queries "came in", by which their answers are recognised.
pub(super) const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
/// Questions of dialers at one time: as many as the resolver asks its servers.
const MOST_QUESTIONS: usize = 1_024;
/// Dialers that may wait for one question.
const MOST_WAITING: usize = 1_024;

/// The questions of dialers under way. The same question is asked once for all who want to know.
#[derive(Default)]
pub(super) struct Questions {
    by_number: BTreeMap<u32, Question>,
    numbers: BTreeMap<Key, u32>,
    next_number: u32,
}

/// A message, and whether its answer is to be whole.
type Key = (bool, Vec<u8>);

struct Question {
    key: Key,
    waiting: Vec<oneshot::Sender<Vec<u8>>>,
}

impl Questions {
    /// Lets somebody wait for a question that is under way; gives the reply back if it is not, with the key.
    fn join(&mut self, key: Key, reply: oneshot::Sender<Vec<u8>>) -> Option<(Key, oneshot::Sender<Vec<u8>>)> {
        let Some(number) = self.numbers.get(&key) else { return Some((key, reply)) };
        if let Some(question) = self.by_number.get_mut(number).filter(|it| it.waiting.len() < MOST_WAITING) {
            question.waiting.push(reply);
        }
        None
    }

    fn add(&mut self, number: u32, key: Key, reply: oneshot::Sender<Vec<u8>>) {
        self.numbers.insert(key.clone(), number);
        self.by_number.insert(number, Question { key, waiting: vec![reply] });
    }

    /// Hands an answer to all who wait for it.
    pub(super) fn answer(&mut self, number: u32, answer: &[u8]) {
        let Some(question) = self.by_number.remove(&number) else { return };
        self.numbers.remove(&question.key);
        for reply in question.waiting {
            let _ = reply.send(answer.to_vec()); // who asked may be gone
        }
    }
}

impl Engine {
    pub(super) fn handle_request(&mut self, request: Request, now: Instant) {
        match request {
            Request::Query { message, is_whole, reply } => self.ask((is_whole, message), reply, now),
            Request::Judge { destination, protocol, reply } => {
                let _ = reply.send(self.judge(destination, protocol, now)); // likewise
            }
            Request::Connect { remote, reply } => {
                if let Some(stack) = self.io.device.stack() {
                    stack.connect(remote, reply, now);
                }
            }
            Request::Bind { is_ipv6, reply } => {
                if let Some(stack) = self.io.device.stack() {
                    let _ = reply.send(stack.bind_udp(is_ipv6)); // likewise
                }
            }
        }
    }

    /// A dropped reply says that there are too many questions.
    fn ask(&mut self, key: Key, reply: oneshot::Sender<Vec<u8>>, now: Instant) {
        let Some((key, reply)) = self.questions.join(key, reply) else { return };
        if self.questions.by_number.len() >= MOST_QUESTIONS {
            return;
        }
        let number = self.questions.next_number;
        self.questions.next_number = number.wrapping_add(1);
        let transport = if key.0 { Transport::Tcp } else { Transport::Udp };
        let client = Client { source: NOWHERE, local: NOWHERE, transport, connection: number };
        match self.resolver.handle_query(client, &key.1, now, &mut self.answer) {
            Outcome::Answer => {
                let _ = reply.send(self.answer.clone()); // likewise
            }
            Outcome::Pending => self.questions.add(number, key, reply),
            Outcome::Drop(_) => {}
        }
    }

    fn judge(&mut self, destination: SocketAddr, protocol: Protocol, now: Instant) -> Result<(), Denied> {
        let protocol = match protocol {
            Protocol::Tcp => netstack::packet::TCP,
            Protocol::Udp => netstack::packet::UDP,
        };
        match self.datapath.judge(destination, protocol, now) {
            Judgement::Allowed => Ok(()),
            Judgement::Refused { reason, applications } => Err(Denied::Refused { reason, applications }),
            Judgement::NoRoute => Err(Denied::NoRoute),
        }
    }
}
