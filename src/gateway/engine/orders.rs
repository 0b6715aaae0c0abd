//! What the egress wants done, and what a configuration means to the packet machine.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use netstack::gateway::{Application, Destination, Network, PeerConfig, Policy};
use netstack::policy::{Ports, Prefix, Protocol};

use super::Engine;
use crate::config::{self, Host, PortSpec};
use crate::gateway::config::Egress;
use crate::gateway::forbidden;
use crate::gateway::job::Order;
use crate::gateway::names::Given;
use crate::gateway::own_addresses::OwnAddresses;
use crate::gateway::roster::Roster;

impl Engine {
    /// Carries out one order.
    pub(super) fn handle_order(&mut self, order: Order, now: Instant) {
        match order {
            Order::Admit(flow, dialed) => {
                if let (Some(record), Some(facts)) = (self.records.get_mut(&flow), self.gateway.flow(flow)) {
                    record.set_dialed(dialed);
                    self.io.device.listen(facts.destination);
                    self.gateway.admit(flow);
                }
            }
            Order::Close(flow, how, reason, name) => {
                if let Some(record) = self.records.get_mut(&flow) {
                    record.ended_by_us = Some((reason, name));
                }
                self.gateway.close_flow(flow, how, now);
            }
            Order::Socket(flow, socket, dialed) => {
                if let Some(record) = self.records.get_mut(&flow) {
                    record.set_dialed(dialed);
                    record.set_socket(socket);
                }
            }
            Order::Dialed(flow, dialed) => {
                if let Some(record) = self.records.get_mut(&flow) {
                    record.set_dialed(dialed);
                }
            }
            // over, or no room: a lost datagram, as on any network
            Order::Datagram(flow, payload) => {
                let _ = self.gateway.send_udp(flow, &payload, now);
            }
            Order::EchoReply(flow, sequence, payload) => {
                let _ = self.gateway.send_echo_reply(flow, sequence, &payload, now);
            }
            Order::Answer { peer, source, local, reply, roster } => {
                if reply.destination.is_none_or(|given| self.know(given, &roster)) {
                    self.gateway.send_answer(peer, source, local, &reply.payload, now);
                }
            }
            Order::Destination(given, roster) => {
                let _ = self.know(given, &roster); // an answer that leads nowhere is asked for again
            }
            Order::Forget(addresses) => {
                self.gateway.retain_destinations(|address, _| !addresses.contains(&address));
                self.reals.retain(|address, _| !addresses.contains(address));
            }
        }
    }

    /// Enforces a configuration: flows that lost their right end first.
    pub(super) fn enforce(&mut self, roster: Arc<Roster>, now: Instant) {
        let table = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let known = table.all(&roster);
        drop(table);
        let reals = &self.reals;
        let is_kernel = roster.config.egress == Egress::Kernel;
        let known = known.into_iter().filter_map(|(address, named)| {
            // With kernel egress an address leads nowhere until its name was asked for.
            let real = reals.get(&address).copied();
            let is_known = !is_kernel || real.is_some();
            is_known.then_some((address, Destination { applications: named.applications, real }))
        });
        self.gateway.replace_destinations(known);
        let numbers = self.gateway.set_policy(policy(&roster), now);
        self.pump_events(now); // with the names that peers had while their flows were open
        self.peers = numbers.into_iter().zip(roster.peers.iter().cloned()).collect();
        self.roster = roster;
    }

    /// False: the answer was made by a configuration that is not in force any more, whose numbers mean other things.
    fn know(&mut self, given: Given, roster: &Arc<Roster>) -> bool {
        if !Arc::ptr_eq(roster, &self.roster) {
            return false;
        }
        let Given { address, applications, real } = given;
        let real = (self.roster.config.egress == Egress::Kernel).then_some(real);
        self.reals.extend(real.map(|real| (address, real)));
        self.gateway.add_destination(address, Destination { applications, real });
        true
    }
}

/// What the packet machine enforces.
fn policy(roster: &Roster) -> Policy {
    let config = &roster.config;
    let peers = config.peers.iter().map(|peer| PeerConfig {
        public_key: peer.public_key,
        preshared_key: peer.preshared_key.as_ref().map(|key| *key.reveal()),
        allowed_ips: peer.allowed_ips.iter().map(|range| prefix(*range)).collect(),
        applications: peer.applications.clone(),
    });
    let applications = config.applications.iter().map(|application| Application {
        ports: application.ports.iter().map(|port| ports(*port)).collect(),
    });
    let networks = config.applications.iter().enumerate().flat_map(|(number, application)| {
        let ranges = application.hosts.iter().filter_map(Host::prefix);
        ranges.map(move |range| Network { prefix: prefix(range), application: number as u32 })
    });
    Policy {
        peers: peers.collect(),
        applications: applications.collect(),
        networks: networks.collect(),
        guarded: guarded(roster),
    }
}

/// What wide ranges do not reach into. Egress looks again at each address that it dials.
fn guarded(roster: &Roster) -> Vec<Prefix> {
    let own = OwnAddresses::default().list(Instant::now());
    let own = own.map(|own| own.iter().copied().map(config::Prefix::host).collect::<Vec<_>>());
    let own = own.inspect_err(|error| tracing::warn!("the gateway's own addresses are not known: {error}"));
    let ranges = forbidden::ranges().chain(roster.config.inner_ranges()).chain(own.unwrap_or_default());
    ranges.map(prefix).collect()
}

fn prefix(range: config::Prefix) -> Prefix {
    Prefix { address: range.address, length: range.length }
}

fn ports(spec: PortSpec) -> Ports {
    match spec {
        PortSpec::Tcp { first, last } => Ports { protocol: Protocol::Tcp, first, last },
        PortSpec::Udp { first, last } => Ports { protocol: Protocol::Udp, first, last },
        PortSpec::Icmp => Ports { protocol: Protocol::Icmp, first: 0, last: 0 },
    }
}
