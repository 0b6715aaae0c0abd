//! Virtual addresses move to other prefixes, since another program uses theirs now.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use super::{DEVICE_LINK, Datapath, resolver_link::DNS_PORT};
use crate::policy::Prefix;

impl Datapath {
    /// Virtual addresses are of `pool` from now on, and `resolver` is asked for names. Mappings and flows of prefixes
    /// that are no longer ours end, TCP by exact resets on both sides; those of a prefix that stays go on. Returns how
    /// many flows of the device ended.
    pub fn renumber(
        &mut self,
        resolver: (Ipv4Addr, Option<Ipv6Addr>),
        pool: Vec<Prefix>,
        now: Instant,
    ) -> usize {
        for address in addresses(self.config.resolver) {
            self.tcp.unlisten(DEVICE_LINK, (address, DNS_PORT).into());
        }
        for address in addresses(resolver) {
            self.tcp.listen(DEVICE_LINK, (address, DNS_PORT).into());
        }
        let former = std::mem::replace(&mut self.config.pool, pool);
        self.config.resolver = resolver;
        let pool = &self.config.pool;
        let is_gone = |address: IpAddr| within(&former, address) && !within(pool, address);
        self.mappings.retain(|address, _| !is_gone(*address));
        let mut ended = Vec::new();
        for (index, flow) in self.conntrack.iter() {
            // the device's own address was of the pool too: programs have it as the source of other connections
            if is_gone(flow.device.destination) || is_gone(flow.device.source) {
                ended.push(index);
            }
        }
        self.end_flows(&ended, now);
        self.reset_device();
        self.reset_remote();
        ended.len()
    }
}

fn addresses((ipv4, ipv6): (Ipv4Addr, Option<Ipv6Addr>)) -> impl Iterator<Item = IpAddr> {
    std::iter::once(ipv4.into()).chain(ipv6.map(IpAddr::from))
}

fn within(prefixes: &[Prefix], address: IpAddr) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(address))
}
