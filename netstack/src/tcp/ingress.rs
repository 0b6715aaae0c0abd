//! Packets in: to their flow, to a listener, or back with a reset.
use std::time::{Duration, Instant};

use smoltcp::iface::SocketSet;
use smoltcp::socket::tcp::State;

use super::device::Device;
use super::flow::Flow;
use super::limits::MAX_HALF_OPEN;
use super::segment::Segment;
use super::steering;
use super::{FlowId, TcpStack};

impl TcpStack {
    pub(super) fn ingest(
        &mut self,
        link: u32,
        packet: &[u8],
        now: Instant,
        is_sound: impl FnOnce(&Segment<'_>) -> bool,
    ) -> bool {
        let Some(segment) = Segment::parse(packet) else {
            return false;
        };
        let key = segment.key(link);
        let listening = self.listeners.contains(&(link, segment.local));
        let flow = self.table.find(&key);
        if flow.is_none() && !listening {
            return false;
        }
        if !is_sound(&segment) {
            self.counters.bad_checksum += 1;
            return true;
        }
        self.clock.advance(now);
        let reopens = listening && segment.opens();
        match flow.filter(|id| !(reopens && self.displace_time_wait(*id))) {
            Some(id) => self.deliver(id, &segment, packet),
            None if segment.opens() => self.admit(&segment, link, packet),
            None => self.refuse(link, packet),
        }
        true
    }

    /// Frees a place for a new flow: the oldest in TIME-WAIT, else the oldest half-open one, else none.
    pub(super) fn make_room(&mut self) -> bool {
        if !self.table.is_full() {
            return true;
        }
        let Some(id) = self.time_wait.front().or_else(|| self.half_open.front()) else {
            return false;
        };
        self.evict(id);
        true
    }

    fn deliver(&mut self, id: FlowId, segment: &Segment, packet: &[u8]) {
        let Some(flow) = self.table.get_mut(id) else {
            return;
        };
        let heard = segment.acknowledgement();
        if !flow.admits(segment) || !(segment.is_reset() || flow.recovery.hear(&heard, self.clock.now())) {
            self.counters.outside_window += 1;
            return;
        }
        let mut copy = [0; steering::MOST_COPIED];
        let shown = steering::shown(flow, segment, packet, &mut copy);
        let mut device = Device::new(&mut self.outbox, flow.key.link, self.mtu, self.clock.now());
        (device.inbound, device.recovery) = (Some(shown), Some(&mut flow.recovery));
        let now = self.clock.stack_now(flow.jumped);
        self.interface.poll_ingress_single(now, &mut device, &mut flow.sockets);
        self.counters.polls += 1;
        flow.observe();
        flow.heard(self.clock.now());
        self.ready.push(id, &mut flow.places.ready);
        self.settle(id);
    }

    /// A SYN for a listener. Its socket is made now and not before, so listening costs nothing.
    fn admit(&mut self, segment: &Segment, link: u32, packet: &[u8]) {
        let key = segment.key(link);
        let flow = Flow::accepting(key, self.sizes(), self.clock.now());
        let admitted = flow.filter(|_| self.make_room()).and_then(|flow| self.table.insert(flow));
        let Some(id) = admitted else {
            self.counters.refused += 1;
            return self.refuse(link, packet);
        };
        if let Some(flow) = self.table.get_mut(id) {
            self.half_open.push(id, &mut flow.places.half_open);
        }
        self.renew_interface();
        self.deliver(id, segment, packet);
        if self.half_open.len() > MAX_HALF_OPEN {
            self.half_open.front().into_iter().for_each(|oldest| self.evict(oldest));
        }
    }

    /// Answers with a reset (RFC 9293 §3.10.7.1), which smoltcp does when no socket takes a segment.
    fn refuse(&mut self, link: u32, packet: &[u8]) {
        let mut device = Device::new(&mut self.outbox, link, self.mtu, self.clock.now());
        device.inbound = Some(packet);
        let now = self.clock.stack_now(Duration::ZERO);
        self.interface.poll_ingress_single(now, &mut device, &mut SocketSet::new(Vec::new()));
        self.counters.polls += 1;
    }

    /// A SYN may reopen a connection in TIME-WAIT (RFC 9293 §3.6.1); smoltcp would not let it.
    fn displace_time_wait(&mut self, id: FlowId) -> bool {
        let Some(flow) = self.table.get_mut(id).filter(|flow| flow.state() == State::TimeWait) else {
            return false;
        };
        flow.mute = true;
        self.settle(id);
        true
    }

    fn evict(&mut self, id: FlowId) {
        let Some(flow) = self.table.get(id) else {
            return;
        };
        if !flow.is_open() {
            self.counters.half_open_evicted += 1;
        }
        self.remove(id);
    }
}
