//! Internal hosts are told what reaches us: a stock gateway tells them nothing, and what is too long for the path is
//! lost without a word (RFC 2923, section 2.1).

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::super::Datapath;
use crate::conntrack::Flow;
use crate::packet::too_big::{self, Quoted};
use crate::packet::{TCP, UDP};

/// A host is told again while its flow goes on, before it forgets (Linux: after 10 minutes, `mtu_expires`).
const TELL_INTERVAL: Duration = Duration::from_secs(300);
/// While nothing came back, it may not have heard.
const UNANSWERED_INTERVAL: Duration = Duration::from_secs(1);
/// Hosts that are remembered as told; beyond, new ones are not told until some are forgotten.
const MOST_TOLD: usize = 1_024;

/// Who is to be told, and who was.
#[derive(Debug, Default)]
pub(in crate::datapath) struct Tells {
    /// Gateways whose TCP flows are told one by one, and the number of the next flow.
    under_way: VecDeque<(u32, u32)>,
    since: Option<Instant>,
    told: BTreeMap<(u32, IpAddr), Instant>,
}

impl Tells {
    /// The size of a gateway's path is another: its TCP flows are told as there is room.
    pub(super) fn begin(&mut self, gateway: u32, now: Instant) {
        self.under_way.retain(|(other, _)| *other != gateway);
        self.under_way.push_back((gateway, 0));
        self.since = Some(now);
        self.told.retain(|(other, _), _| *other != gateway);
    }

    fn should_tell(&mut self, gateway: u32, host: IpAddr, interval: Duration, now: Instant) -> bool {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < interval;
        if self.told.get(&(gateway, host)).is_some_and(is_recent) {
            return false;
        }
        if self.told.len() >= MOST_TOLD {
            self.told.retain(|_, at| now.saturating_duration_since(*at) < TELL_INTERVAL);
        }
        if self.told.len() >= MOST_TOLD {
            return false;
        }
        self.told.insert((gateway, host), now);
        true
    }
}

impl Datapath {
    /// Tells the hosts of open TCP flows whose segments would be too long, as far as there is room.
    pub(in crate::datapath) fn tell_hosts(&mut self) {
        let Some(since) = self.paths.tells.since else { return };
        while let Some((gateway, first)) = self.paths.tells.under_way.pop_front() {
            let most = self.paths.limits(gateway).packet;
            let is_concerned = |flow: &Flow| {
                flow.tunnel.gateway == gateway && flow.is_open_tcp() && usize::from(flow.remote_most) > most
            };
            let next = self.conntrack.iter_from(first).find(|(_, flow)| is_concerned(flow));
            let Some((index, quoted)) = next.map(|(index, flow)| (index, quoted(flow))) else { continue };
            if self.send.spare().is_none() {
                return self.paths.tells.under_way.push_front((gateway, index));
            }
            self.tell(gateway, &quoted, most, since);
            if let Some(flow) = self.conntrack.get_mut(index) {
                flow.remote_most = flow.remote_most.min(u16::try_from(most).unwrap_or(u16::MAX));
            }
            self.paths.tells.under_way.push_front((gateway, index + 1));
        }
    }

    /// After a datagram of the device: its host is told if the path carries less than the device's link does.
    pub(in crate::datapath) fn tell_datagram_host(&mut self, flow: u32, now: Instant) {
        let Some(flow) = self.conntrack.get_mut(flow).map(|flow| *flow) else { return };
        let gateway = flow.tunnel.gateway;
        let most = self.paths.limits(gateway).packet;
        let interval = if flow.is_answered { TELL_INTERVAL } else { UNANSWERED_INTERVAL };
        if most < self.paths.ceiling
            && self.paths.tells.should_tell(gateway, flow.tunnel.remote, interval, now)
        {
            let length = u16::try_from(self.paths.ceiling).unwrap_or(u16::MAX);
            self.tell(gateway, &Quoted { protocol: UDP, length, ..quoted(&flow) }, most, now);
        }
    }

    fn tell(&mut self, gateway: u32, quoted: &Quoted, most: usize, now: Instant) {
        let Some(length) = too_big::write_to_host(&mut self.scratch, quoted, most) else { return };
        if let Some(peer) = self.peers.get_mut(gateway as usize).and_then(Option::as_mut) {
            peer.seal(&self.scratch[..length], &mut self.send, now);
        }
    }
}

/// A packet of the flow's host, as it left there.
fn quoted(flow: &Flow) -> Quoted {
    Quoted {
        protocol: TCP,
        source: SocketAddr::new(flow.tunnel.remote, flow.tunnel.remote_port),
        destination: SocketAddr::new(flow.local, flow.tunnel.local_port),
        sequence: flow.device_expects,
        length: flow.remote_most,
    }
}
