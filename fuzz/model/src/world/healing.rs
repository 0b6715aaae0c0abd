//! When the network is good again, everything that is allowed works again soon.

use std::net::IpAddr;
use std::time::Duration;

use super::{ServerMode, World};
use crate::messages::{A, AAAA};
use crate::network::Weather;
use crate::spec::NAMES;
use crate::wire::{ACK, SYN, UDP};

/// It may take this long: a handshake that was given up, and an answer that was kept.
const SOON: Duration = Duration::from_secs(100);
/// Names that are tried: any, and enough.
const TRIED: usize = 3;

impl World {
    /// Makes the network good, and everything reachable.
    ///
    /// # Panics
    /// When something that is allowed does not work soon.
    pub fn heal(&mut self) {
        self.net.clear();
        self.net.weather = Weather::default();
        for site in &mut self.sites {
            (site.is_up, site.mode) = (true, ServerMode::Well);
        }
        if self.reference.spec.is_blocked() {
            let spec = self.reference.spec.unblocked();
            self.enforce(spec);
        }
        let first = self.random.next() as usize % NAMES.len();
        let mut tried = 0;
        for name in NAMES.iter().cycle().skip(first).take(NAMES.len()) {
            if tried < TRIED && self.is_reachable(name) {
                tried += 1;
                let address = self.until_answered(name);
                self.until_reached(name, address);
            }
        }
    }

    /// The family by which a name can be reached: something must be allowed there, on a gateway that is present.
    fn family(&self, name: &str) -> Option<u16> {
        let spec = self.reference.spec;
        let (gateway, grant) = spec.granted(name)?;
        let may_speak = [(crate::wire::TCP, 80), (UDP, 5_000)]
            .iter()
            .any(|(protocol, port)| spec.allows(grant, *protocol, *port));
        let is_fit = |address: &&IpAddr| spec.reaches(gateway, **address) && may_speak;
        let address =
            self.names[name].iter().find(is_fit).filter(|_| self.sites[gateway as usize].is_present)?;
        Some(if address.is_ipv6() { AAAA } else { A })
    }

    fn is_reachable(&self, name: &str) -> bool {
        self.family(name).is_some()
    }

    /// Asks until there is an address.
    fn until_answered(&mut self, name: &'static str) -> IpAddr {
        let (since, qtype) = (self.now, self.family(name).expect("a name that is reachable"));
        loop {
            let id = self.ask_for(name, qtype, false);
            for _ in 0..60 {
                if let Some((answered, addresses)) = &self.last_answer
                    && *answered == id
                {
                    if let Some(address) = addresses.first() {
                        return *address;
                    }
                    break;
                }
                self.pass(Duration::from_millis(100));
            }
            self.pass(Duration::from_secs(1));
            assert!(self.now - since < SOON, "`{name}` has no address, long after the network became good");
        }
    }

    /// Opens connections or sends datagrams until one is answered.
    fn until_reached(&mut self, name: &str, address: IpAddr) {
        let since = self.now;
        while self.now - since < SOON {
            let grant = self
                .reference
                .destination(address)
                .unwrap_or_else(|verdict| panic!("`{name}`: {verdict:?}"))
                .2;
            let is_tcp = self.reference.spec.allows(grant, crate::wire::TCP, 80);
            let is_reached = if is_tcp { self.try_connection(address) } else { self.try_datagram(address) };
            if is_reached {
                return;
            }
            self.pass(Duration::from_secs(1));
        }
        panic!("`{name}` at {address} is not reached, long after the network became good");
    }

    fn try_connection(&mut self, address: IpAddr) -> bool {
        let Some(id) = self.open(address, 80, true) else { return false };
        self.pass(Duration::from_millis(20));
        if self.reference.flows[id].local_port.is_none() {
            return false;
        }
        if self.reference.flows[id].sent.1 == 0 {
            self.host_segment(id, SYN | ACK, 0);
        }
        self.pass(Duration::from_millis(20));
        self.reference.flows[id].received > 0
    }

    fn try_datagram(&mut self, address: IpAddr) -> bool {
        let port = 50_000 + self.sent.len() as u16 % 10_000;
        let key = (UDP, super::device_address(address.is_ipv6()), port, address, 5_000);
        let Some(id) = self.udp(key, 100, 0) else { return false };
        self.pass(Duration::from_millis(20));
        let answer = self.host_datagram(id, 100);
        self.pass(Duration::from_millis(20));
        answer.is_some_and(|answer| self.inside[answer].is_delivered)
    }
}
