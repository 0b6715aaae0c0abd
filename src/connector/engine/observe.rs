//! What changed about the gateways: proven, or lost. A person is shown what was proven, never what was intended.

use std::time::Instant;

use netstack::Datapath;
use netstack::wireguard::Peer;

use super::Event;

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

/// What was told of one gateway.
#[derive(Clone, Default)]
struct Told {
    state: GatewayState,
    unanswered_at: Option<Instant>,
}

/// Remembers what was told.
pub(super) struct Observer {
    told: Vec<Told>,
    look_again: Option<Instant>,
}

impl Observer {
    pub(super) fn new(gateways: u32) -> Self {
        Self { told: vec![Told::default(); gateways as usize], look_again: None }
    }

    /// How gateway `id` was last seen.
    pub(super) fn state(&self, id: u32) -> GatewayState {
        self.told.get(id as usize).map(|told| told.state).unwrap_or_default()
    }

    /// How many gateways there are.
    pub(super) fn count(&self) -> u32 {
        self.told.len() as u32
    }

    /// There are that many gateways now; new ones have not been seen yet.
    pub(super) fn set_count(&mut self, gateways: u32) {
        self.told.resize(gateways as usize, Told::default());
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
        for (id, told) in (0..).zip(&mut self.told) {
            let Some(peer) = datapath.peer(id) else { continue };
            let state = state(peer, told.state, now);
            if state != GatewayState::Lost {
                self.look_again = self.look_again.into_iter().chain(peer.lost_at()).min();
            }
            if state != told.state {
                told.state = state;
                changed.push(Event::Gateway { id, state });
            }
            let unanswered_at = peer.stats().unanswered_at;
            if unanswered_at != told.unanswered_at {
                told.unanswered_at = unanswered_at;
                changed.push(Event::Unanswered(id));
            }
        }
        changed.into_iter()
    }
}

/// How a gateway stands that stood as `before`.
fn state(peer: &Peer, before: GatewayState, now: Instant) -> GatewayState {
    let stats = peer.stats();
    if peer.is_lost(now) {
        return GatewayState::Lost;
    }
    // packets may still come in the old session while a new one is being made
    let is_answering = stats.trying_since.is_none_or(|since| stats.proven_at.is_some_and(|at| at > since));
    match is_answering && peer.is_established(now) {
        true => GatewayState::Proven,
        false => before, // a proven one that is idle is renewed when it is needed
    }
}
