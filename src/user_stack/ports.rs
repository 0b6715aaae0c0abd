//! The local ports of the stack: random ones for flows, and those of sockets for datagrams.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use netstack::packet::facts::{Facts, Transport};
use netstack::packet::udp;

use super::FlowDatagrams;
use super::bell::Bell;
use super::datagrams::{Datagram, Mailbox};

/// All but the well-known ports, as RFC 6056 (section 3.2) has it: nobody else is at the stack's addresses, and 1,000
/// flows a second leave 10,000 ports in TIME-WAIT.
const FIRST: u16 = 1_024;
/// Sockets for datagrams at one time: a sixteenth of the ports.
const MOST_SOCKETS: usize = 4_096;
/// Datagrams that wait to be fetched as frames; more are lost.
const MOST_WAITING: usize = 1_024;

/// Our end of a socket for datagrams.
pub(super) type PortKey = SocketAddr;

/// All of them.
pub(super) struct Ports {
    sockets: BTreeMap<PortKey, Arc<Mailbox>>,
    waiting: VecDeque<(SocketAddr, Datagram)>,
    /// State of a generator: ports need only be hard to guess from outside.
    random: u64,
}

impl Ports {
    /// `seed` is secret.
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let mut word = [0; 8];
        word.copy_from_slice(&seed[..8]);
        Self { sockets: BTreeMap::new(), waiting: VecDeque::new(), random: u64::from_le_bytes(word) }
    }

    /// Any of them (RFC 6056, section 3.3.1).
    pub(super) fn random(&mut self) -> u16 {
        // splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let ports = u64::from(u16::MAX - FIRST) + 1;
        FIRST + (((mixed >> 32) * ports) >> 32) as u16
    }

    /// Binds a socket to a random port of `address`.
    pub(super) fn bind(&mut self, address: IpAddr, bell: &Arc<Bell>) -> io::Result<FlowDatagrams> {
        if self.sockets.len() >= MOST_SOCKETS {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let key = loop {
            let key = SocketAddr::new(address, self.random());
            if !self.sockets.contains_key(&key) {
                break key; // at most a sixteenth of them is taken
            }
        };
        let mailbox = Arc::new(Mailbox::new(key, bell.clone()));
        self.sockets.insert(key, mailbox.clone());
        Ok(FlowDatagrams::new(mailbox, address.is_ipv6()))
    }

    /// Hands a packet to the socket that it is for; false when there is none.
    pub(super) fn handle_packet(&self, packet: &[u8]) -> bool {
        let Some(facts) = Facts::parse(packet) else { return false };
        let Transport::Udp { source, destination } = facts.transport else { return false };
        let Some(mailbox) = self.sockets.get(&SocketAddr::new(facts.destination, destination)) else {
            return false;
        };
        if let Some(payload) = udp::payload(packet, &facts).filter(|_| udp::is_checksum_valid(packet, &facts))
        {
            let address = SocketAddr::new(facts.source, source);
            mailbox.deliver(Datagram { address, payload: packet[payload].to_vec() });
        }
        true
    }

    /// Takes what a socket sends, or learns that it is gone.
    pub(super) fn answer_bell(&mut self, key: PortKey) {
        let Some(mailbox) = self.sockets.get(&key) else { return };
        let waiting = &mut self.waiting;
        let is_there = mailbox.collect(&mut |datagram| {
            if waiting.len() < MOST_WAITING {
                waiting.push_back((key, datagram));
            }
        });
        if !is_there {
            self.sockets.remove(&key);
        }
    }

    /// The next datagram to send, and where from.
    pub(super) fn poll_datagram(&mut self) -> Option<(SocketAddr, Datagram)> {
        self.waiting.pop_front()
    }
}

#[cfg(test)]
impl Ports {
    pub(super) fn only_socket(&self) -> &PortKey {
        self.sockets.keys().next().unwrap()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        self.sockets.values().for_each(|mailbox| mailbox.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_ports_in_use_leave_nobody_without_one() {
        let mut ports = Ports::new([7; 32]);
        let mut used = std::collections::BTreeSet::new();
        while used.len() < 10_000 {
            used.insert(ports.random());
        }
        assert!(used.iter().all(|port| *port >= FIRST));
        for _ in 0..100_000 {
            let mut tries = std::iter::repeat_with(|| ports.random()).take(super::super::PORT_TRIES);
            assert!(tries.any(|port| !used.contains(&port)));
        }
    }
}
