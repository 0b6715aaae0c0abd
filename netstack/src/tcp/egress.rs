//! Packets out: the flows that have something to do take turns.
use std::time::Instant;

use smoltcp::socket::tcp::State;

use super::device::{Device, Made};
use super::limits::{REWIND, TURN_POLLS};
use super::steering;
use super::{FlowId, TcpStack};

/// How a flow's turn ended.
enum Turn {
    /// It has nothing more to send for now.
    Idle,
    /// It has sent its share and may have more.
    Over,
    /// It may send more only later.
    Paced(Instant),
}

impl TcpStack {
    /// Gives flows their turns until there is a packet to fetch or nothing left to do.
    pub(super) fn fill_outbox(&mut self) {
        while self.outbox.len() == 0 {
            let Some(id) = self.ready.front() else {
                return;
            };
            self.drive(id);
        }
    }

    /// Sets the flow's timer to what smoltcp and our own patience ask for.
    pub(super) fn schedule(&mut self, id: FlowId) {
        let now = self.clock.now();
        let Some(flow) = self.table.get_mut(id) else {
            return;
        };
        let mut wanted = flow.deadline(self.limits.idle_timeout, now);
        if !flow.quiet && !flow.is_over() {
            let poll_at = self.interface.poll_at(self.clock.stack_now(flow.jumped), &flow.sockets);
            let poll_at = poll_at.map(|at| self.clock.caller_time(at, flow.jumped));
            let poll_at = poll_at.map(|at| if at <= now { now + flow.back_off() } else { at });
            wanted = wanted.into_iter().chain(poll_at).chain(flow.recovery.poll_timeout()).min();
        }
        self.timers.set(id, &mut flow.wake_at, wanted);
    }

    fn drive(&mut self, id: FlowId) {
        let turn = self.take_turn(id);
        if let Some(flow) = self.table.get_mut(id) {
            self.ready.remove(&mut flow.places.ready);
        }
        self.settle(id);
        match turn {
            Turn::Idle => self.schedule(id),
            Turn::Over => self.make_ready(id),
            Turn::Paced(until) => self.wake_at(id, until),
        }
    }

    fn take_turn(&mut self, id: FlowId) -> Turn {
        let Some(flow) = self.table.get_mut(id).filter(|flow| !flow.quiet && !flow.is_over()) else {
            return Turn::Idle;
        };
        if flow.recovery.take_rewind() {
            flow.jumped += REWIND;
        }
        let (now, caller_now) = (self.clock.stack_now(flow.jumped), self.clock.now());
        if let Some(correction) = steering::acknowledgement(flow) {
            let mut device = Device::new(&mut self.outbox, flow.key.link, self.mtu, caller_now);
            device.inbound = Some(correction.packet());
            self.interface.poll_ingress_single(now, &mut device, &mut flow.sockets);
            self.counters.polls += 1;
        }
        let mut left = flow.pace.allowance(self.limits.pace_packets, caller_now);
        for _ in 0..TURN_POLLS {
            if left == 0 {
                break;
            }
            self.counters.polls += 1;
            flow.avoid_silly_segments();
            let mut device = Device::new(&mut self.outbox, flow.key.link, self.mtu, caller_now);
            device.recovery = Some(&mut flow.recovery);
            self.interface.poll_egress(now, &mut device, &mut flow.sockets);
            let made = device.made;
            if made != Made::Nothing {
                flow.sent();
            }
            if matches!(made, Made::Bare | Made::Data) {
                flow.pace.spend(1);
                left -= 1;
            }
            // Data goes first, so after a bare packet there is none; asking on may give the same packet without end.
            if matches!(made, Made::Nothing | Made::Bare) {
                flow.quiet = flow.state() == State::TimeWait;
                return Turn::Idle;
            }
        }
        if flow.pace.is_spent(self.limits.pace_packets) {
            Turn::Paced(flow.pace.resumes_at())
        } else {
            Turn::Over
        }
    }

    fn wake_at(&mut self, id: FlowId, at: Instant) {
        if let Some(flow) = self.table.get_mut(id) {
            self.timers.set(id, &mut flow.wake_at, Some(at));
        }
    }
}
