//! What changed about the gateways: proven, or lost. A person is shown what was proven, never what was intended.

use std::time::{Duration, Instant};

use netstack::Datapath;

use super::Event;

/// A handshake that was not answered for this long is a gateway that cannot be reached: two tries of 5 s.
const LOST_AFTER: Duration = Duration::from_secs(8);

/// How a gateway stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GatewayState {
    /// A handshake is under way for the first time, or none was tried yet.
    #[default]
    Trying,
    /// A session exists.
    Proven,
    /// It does not answer.
    Lost,
}

/// Remembers what was told.
pub(super) struct Observer {
    states: Vec<GatewayState>,
    look_again: Option<Instant>,
}

impl Observer {
    pub(super) fn new(gateways: u32) -> Self {
        Self { states: vec![GatewayState::Trying; gateways as usize], look_again: None }
    }

    /// How gateway `id` was last seen.
    pub(super) fn state(&self, id: u32) -> GatewayState {
        self.states.get(id as usize).copied().unwrap_or_default()
    }

    /// How many gateways there are.
    pub(super) fn count(&self) -> u32 {
        self.states.len() as u32
    }

    /// When to look again though nothing happened.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.look_again
    }

    /// What is new.
    pub(super) fn observe(
        &mut self,
        datapath: &Datapath,
        now: Instant,
    ) -> impl Iterator<Item = Event> + use<> {
        let mut changed = Vec::new();
        self.look_again = None;
        for (index, before) in self.states.iter_mut().enumerate() {
            let Some(peer) = datapath.peer(index as u32) else { continue };
            let is_established = peer.is_established(now);
            let lost_at = peer.stats().trying_since.map(|since| since + LOST_AFTER);
            let state = match lost_at {
                Some(at) if at <= now => GatewayState::Lost,
                _ if is_established => GatewayState::Proven,
                _ if *before == GatewayState::Proven && lost_at.is_none() => GatewayState::Proven, // idle, to be renewed
                _ => *before,
            };
            if state != GatewayState::Lost {
                self.look_again = self.look_again.into_iter().chain(lost_at).min();
            }
            if state != *before {
                *before = state;
                changed.push(Event::Gateway { id: index as u32, state });
            }
        }
        changed.into_iter()
    }
}
