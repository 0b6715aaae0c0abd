//! When each flow wants to be woken, in order of time.
use std::collections::BTreeSet;
use std::time::Instant;

use super::FlowId;

/// One deadline for each flow that has any; the flow keeps a copy to find its entry.
#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Instant, FlowId)>,
}

impl Timers {
    /// Moves the flow's deadline from `current` to `wanted`, and `current` with it.
    pub(super) fn set(&mut self, flow: FlowId, current: &mut Option<Instant>, wanted: Option<Instant>) {
        if *current == wanted {
            return;
        }
        if let Some(at) = std::mem::replace(current, wanted) {
            self.due.remove(&(at, flow));
        }
        if let Some(at) = wanted {
            self.due.insert((at, flow));
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The flow whose deadline is the earliest, if it has come. It stays until its deadline is set anew.
    pub(super) fn due(&self, now: Instant) -> Option<FlowId> {
        self.due.first().filter(|(at, _)| *at <= now).map(|(_, flow)| *flow)
    }
}
