//! From one state of a flow to the next: what its owner hears, what its timer means, and when it is gone.
use smoltcp::socket::tcp::State;

use super::event::{End, Event, Signal};
use super::flow::Flow;
use super::{FlowId, TcpStack};

impl TcpStack {
    /// Draws the consequences of whatever happened to the flow.
    pub(super) fn settle(&mut self, id: FlowId) {
        let Some(flow) = self.table.get_mut(id) else {
            return;
        };
        flow.observe();
        if flow.is_open() {
            self.half_open.remove(&mut flow.places.half_open);
        }
        if flow.signals.any() && flow.is_known() && !flow.released {
            self.events.push(id, &mut flow.places.events);
        }
        if !flow.is_over() {
            return;
        }
        if flow.released || !flow.is_known() {
            return self.remove(id);
        }
        self.ready.remove(&mut flow.places.ready);
        self.table.forget_key(id);
        self.schedule(id);
    }

    pub(super) fn make_ready(&mut self, id: FlowId) {
        if let Some(flow) = self.table.get_mut(id) {
            self.ready.push(id, &mut flow.places.ready);
        }
    }

    /// The next event of the flow at the head of the queue.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        loop {
            let id = self.events.front()?;
            let flow = self.table.get_mut(id)?;
            let signal = flow.signals.take();
            if !flow.signals.any() {
                self.events.remove(&mut flow.places.events);
            }
            let Some(signal) = signal else {
                continue;
            };
            let event = event(id, flow, &signal);
            if matches!(signal, Signal::End(_)) {
                self.release(id);
            }
            return Some(event);
        }
    }

    /// The owner has nothing more to do with the flow; what it still has to send goes out.
    pub(super) fn release(&mut self, id: FlowId) {
        let Some(flow) = self.table.get_mut(id) else {
            return;
        };
        flow.released = true;
        self.events.remove(&mut flow.places.events);
        if flow.is_over() {
            return self.remove(id);
        }
        if flow.state() == State::TimeWait {
            self.time_wait.push(id, &mut flow.places.time_wait);
            self.schedule(id);
        }
    }

    /// The flow's timer has fired.
    pub(super) fn wake(&mut self, id: FlowId) {
        let now = self.clock.now();
        let Some(flow) = self.table.get_mut(id) else {
            return;
        };
        self.timers.set(id, &mut flow.wake_at, None);
        flow.recovery.handle_timeout(now);
        let expired = flow.deadline(self.limits.idle_timeout, now).is_some_and(|at| at <= now);
        if !expired {
            return self.make_ready(id);
        }
        if flow.released || !flow.is_known() {
            return self.remove(id);
        }
        flow.time_out();
        self.make_ready(id);
        self.settle(id);
    }

    /// Takes the flow out of everything.
    pub(super) fn remove(&mut self, id: FlowId) {
        let Some(mut flow) = self.table.remove(id) else {
            return;
        };
        self.timers.set(id, &mut flow.wake_at, None);
        self.ready.remove(&mut flow.places.ready);
        self.events.remove(&mut flow.places.events);
        self.half_open.remove(&mut flow.places.half_open);
        self.time_wait.remove(&mut flow.places.time_wait);
    }
}

fn event(id: FlowId, flow: &Flow, signal: &Signal) -> Event {
    match signal {
        Signal::Open if flow.was_accepted() => {
            Event::Accepted { flow: id, link: flow.key.link, local: flow.key.local, remote: flow.key.remote }
        }
        Signal::Open => Event::Connected(id),
        Signal::Readable => Event::Readable(id),
        Signal::Finished => Event::Finished(id),
        Signal::Writable => Event::Writable(id),
        Signal::End(End::Closed) => Event::Closed(id),
        Signal::End(End::Reset) => Event::Reset(id),
        Signal::End(End::TimedOut) => Event::TimedOut(id),
    }
}
