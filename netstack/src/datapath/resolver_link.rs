//! The resolver's way to packets: answers to the device, queries into tunnels over UDP, and DNS over TCP on both sides.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use super::{DEVICE_LINK, Datapath};
use crate::conntrack::{Owner, TunnelKey};
use crate::counters::DropReason;
use crate::packet::facts::Facts;
use crate::packet::{TCP, UDP, mss, udp};
use crate::tcp::{Event, FlowId};
use crate::wireguard::Expectation;

/// The port of DNS (RFC 1035, section 4.2).
pub(super) const DNS_PORT: u16 = 53;
/// Tries for a port that no connection in TIME-WAIT has: of 16,384 ports at most 512 are held.
const PORT_TRIES: usize = 8;
/// Answers that wait for the caller; it fetches them after each batch of at most 64 datagrams.
const MOST_ARRIVALS: usize = 1_024;

/// What came back from a tunnel for the resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// An answer to a query over UDP.
    Answer {
        /// Which query.
        query: u64,
        /// Who answered.
        server: SocketAddr,
        /// The DNS message.
        payload: Vec<u8>,
    },
    /// The network says that the server cannot be reached.
    Unreachable {
        /// Which query.
        query: u64,
        /// Which server.
        server: SocketAddr,
    },
}

/// What happened to a TCP connection of the resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpEvent {
    /// A program of the device connected to the resolver.
    Accepted {
        /// The connection.
        flow: FlowId,
        /// The resolver's address.
        local: SocketAddr,
        /// The program's.
        remote: SocketAddr,
    },
    /// Our connection into a tunnel is open.
    Connected(FlowId),
    /// There are bytes to read.
    Readable(FlowId),
    /// There is room to write again.
    Writable(FlowId),
    /// The peer will send no more.
    Finished(FlowId),
    /// It is gone.
    Ended(FlowId),
}

/// The resolver's connections into tunnels.
#[derive(Debug, Default)]
pub(super) struct OwnTcp {
    /// Their ports, and whether they are open; at most as many as the stack has flows.
    pub(super) ports: BTreeMap<FlowId, (TunnelKey, bool)>,
    /// Ended by us: yet to be told.
    ended: VecDeque<FlowId>,
}

impl Datapath {
    /// Sends the resolver's answer to a program of the device.
    pub fn send_to_device(&mut self, source: SocketAddr, destination: SocketAddr, payload: &[u8]) {
        let Some(out) = self.tun.spare() else { return self.drop(DropReason::BatchFull) };
        match udp::write(out, source, destination, payload) {
            Some(length) => self.tun.push_own(udp::facts(source, destination, length)),
            None => self.drop(DropReason::Malformed),
        }
    }

    /// Sends a query into the tunnel of `gateway`; false when that cannot be done.
    pub fn send_query(
        &mut self,
        query: u64,
        gateway: u32,
        server: SocketAddr,
        payload: &[u8],
        now: Instant,
    ) -> bool {
        if self.policy.is_blocked {
            return false;
        }
        let key = TunnelKey {
            gateway,
            protocol: UDP,
            local_port: 0,
            remote: server.ip(),
            remote_port: server.port(),
        };
        let Some(local) = self.local_address(gateway, server) else { return false };
        if self.is_lost(gateway, now) {
            return false;
        }
        let Some(key) = self.conntrack.reserve(key, Owner::Query(query), now) else { return false };
        let source = SocketAddr::new(local, key.local_port);
        let is_sent = self.seal_query(gateway, source, server, payload, now);
        if !is_sent {
            self.conntrack.release(&key);
        }
        is_sent
    }

    fn seal_query(
        &mut self,
        gateway: u32,
        source: SocketAddr,
        server: SocketAddr,
        payload: &[u8],
        now: Instant,
    ) -> bool {
        let Some(length) = udp::write(&mut self.scratch, source, server, payload) else { return false };
        let Some(peer) = self.peers.get_mut(gateway as usize).and_then(Option::as_mut) else { return false };
        peer.expect(Expectation::Sure, now);
        peer.seal(&self.scratch[..length], &mut self.send, now)
    }

    /// What came back, in order.
    pub fn poll_arrival(&mut self) -> Option<Arrival> {
        self.arrivals.pop_front()
    }

    /// Opens a TCP connection to a server behind `gateway`; `None` when that cannot be done.
    pub fn connect_tcp(&mut self, gateway: u32, server: SocketAddr, now: Instant) -> Option<FlowId> {
        if self.policy.is_blocked {
            return None;
        }
        let key = TunnelKey {
            gateway,
            protocol: TCP,
            local_port: 0,
            remote: server.ip(),
            remote_port: server.port(),
        };
        let local = self.local_address(gateway, server)?;
        if self.is_lost(gateway, now) {
            return None;
        }
        (0..PORT_TRIES).find_map(|_| self.try_connect(gateway, local, server, key, now))
    }

    /// One try with a random port; the stack may still know the one that it hits, from a connection that just ended.
    fn try_connect(
        &mut self,
        gateway: u32,
        local: std::net::IpAddr,
        server: SocketAddr,
        key: TunnelKey,
        now: Instant,
    ) -> Option<FlowId> {
        let key = self.conntrack.reserve(key, Owner::Local, now)?;
        match self.tcp.connect(gateway, SocketAddr::new(local, key.local_port), server, now) {
            Ok(flow) => {
                self.own_tcp.ports.insert(flow, (key, false));
                self.flush_tcp(now);
                Some(flow)
            }
            Err(_) => {
                self.conntrack.release(&key);
                None
            }
        }
    }

    /// What happened on the resolver's TCP connections.
    pub fn poll_tcp_event(&mut self) -> Option<TcpEvent> {
        if let Some(flow) = self.own_tcp.ended.pop_front() {
            return Some(TcpEvent::Ended(flow));
        }
        Some(match self.tcp.poll_event()? {
            Event::Accepted { flow, local, remote, .. } => TcpEvent::Accepted { flow, local, remote },
            Event::Connected(flow) => {
                if let Some((_, is_open)) = self.own_tcp.ports.get_mut(&flow) {
                    *is_open = true;
                }
                TcpEvent::Connected(flow)
            }
            Event::Readable(flow) => TcpEvent::Readable(flow),
            Event::Writable(flow) => TcpEvent::Writable(flow),
            Event::Finished(flow) => TcpEvent::Finished(flow),
            Event::Closed(flow) | Event::Reset(flow) | Event::TimedOut(flow) => {
                self.release_tcp(flow);
                TcpEvent::Ended(flow)
            }
        })
    }

    /// Reads what a TCP connection has received; returns how many bytes.
    pub fn recv_tcp(&mut self, flow: FlowId, buffer: &mut [u8]) -> usize {
        self.tcp.recv(flow, buffer)
    }

    /// Writes to a TCP connection; returns how many bytes were taken.
    pub fn send_tcp(&mut self, flow: FlowId, data: &[u8], now: Instant) -> usize {
        let taken = self.tcp.send(flow, data);
        self.flush_tcp(now);
        taken
    }

    /// Says that we will write no more. A connection that is not open yet ends at once, and no event follows.
    pub fn close_tcp(&mut self, flow: FlowId, now: Instant) {
        if self.own_tcp.ports.get(&flow).is_some_and(|(_, is_open)| !is_open) {
            return self.abort_tcp(flow, now);
        }
        self.tcp.close(flow);
        self.flush_tcp(now);
    }

    /// Ends a TCP connection at once; no event follows.
    pub fn abort_tcp(&mut self, flow: FlowId, now: Instant) {
        self.tcp.abort(flow);
        self.flush_tcp(now);
        self.release_tcp(flow);
    }

    /// Carries what our TCP stack has to say to where it goes.
    pub(super) fn flush_tcp(&mut self, now: Instant) {
        while let Some((link, packet)) = self.tcp.poll_packet(now) {
            if link == DEVICE_LINK {
                let Some(out) = self.tun.spare() else { return self.drop(DropReason::BatchFull) };
                out[..packet.len()].copy_from_slice(&packet);
                self.tun.push(packet.len());
            } else if !self.seal_tcp(link, packet, now) {
                self.drop(DropReason::BatchFull);
            }
        }
    }

    /// False: no room. What goes to a gateway that is no more is lost without a word.
    fn seal_tcp(&mut self, gateway: u32, mut packet: Vec<u8>, now: Instant) -> bool {
        if let Some(facts) = Facts::parse(&packet) {
            mss::clamp(&mut packet, &facts, self.paths.limits(gateway).segment, false);
        }
        let peer = self.peers.get_mut(gateway as usize).and_then(Option::as_mut);
        peer.is_none_or(|peer| peer.seal(&packet, &mut self.send, now))
    }

    /// Resets the resolver's connections that the policy does not allow any more.
    pub(super) fn end_own_tcp(&mut self, now: Instant) {
        let is_ended = |key: &TunnelKey| {
            let server = SocketAddr::new(key.remote, key.remote_port);
            self.policy.is_blocked || self.local_address(key.gateway, server).is_none()
        };
        let ports = self.own_tcp.ports.iter();
        let ended: Vec<FlowId> = ports.filter(|(_, (key, _))| is_ended(key)).map(|(flow, _)| *flow).collect();
        for flow in ended {
            self.abort_tcp(flow, now);
            self.own_tcp.ended.push_back(flow);
        }
    }

    pub(super) fn arrive(&mut self, arrival: Arrival) {
        if self.arrivals.len() >= MOST_ARRIVALS {
            return self.drop(DropReason::BatchFull);
        }
        self.arrivals.push_back(arrival);
    }

    fn release_tcp(&mut self, flow: FlowId) {
        if let Some((key, _)) = self.own_tcp.ports.remove(&flow) {
            self.conntrack.release(&key);
        }
    }

    fn local_address(&self, gateway: u32, server: SocketAddr) -> Option<std::net::IpAddr> {
        let peer = self.policy.gateways.get(gateway as usize)?;
        peer.local_address(server.ip()).filter(|_| peer.allows(server.ip()))
    }
}
