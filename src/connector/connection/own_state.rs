//! What is ours in the system's network is put back when another program removes it, without a war.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use platform::netlink::NetworkFacts;

use super::{Carrier, Connection};

/// What is ours is put back at most so often
const MOST_REPAIRS: usize = 6;
/// in so long a time.
const REPAIR_PERIOD: Duration = Duration::from_secs(60);

/// Said in the status while another program removes what is ours again and again.
const NOTE: &str = "another program removes our addresses, routes or rules again and again; hint: let it leave the \
                    link ztna0 and rules with the priorities 5150 to 5152 alone (systemd-networkd: \
                    ManageForeignRoutingPolicyRules=no, ManageForeignRoutes=no)";

/// When what is ours was put back, as far as it counts: at most [`MOST_REPAIRS`].
#[derive(Debug, Default)]
pub(super) struct Repairs(VecDeque<Instant>);

impl Repairs {
    /// Whether it may be done again now; if not, when.
    fn may_repair(&mut self, now: Instant) -> Result<(), Instant> {
        self.0.retain(|at| *at + REPAIR_PERIOD > now);
        match self.0.front() {
            Some(oldest) if self.0.len() >= MOST_REPAIRS => Err(*oldest + REPAIR_PERIOD),
            _ => {
                self.0.push_back(now);
                Ok(())
            }
        }
    }
}

impl Connection {
    /// Writes the addresses, routes and rules again that are missing, and brings the link up.
    ///
    /// # Errors
    /// When the kernel refuses one of them.
    pub(super) fn put_back_what_is_ours(&mut self, facts: &NetworkFacts) -> anyhow::Result<()> {
        let Carrier::Link(own) = &self.carrier else { return Ok(()) };
        if !own.is_there(facts) {
            return Ok(()); // the engine notices it
        }
        if own.is_whole(facts) {
            self.notes.retain(|note| note != NOTE);
            return Ok(());
        }
        if let Err(at) = self.surroundings.repairs.may_repair(Instant::now()) {
            self.surroundings.look_again(at);
            if !self.notes.iter().any(|note| note == NOTE) {
                tracing::warn!("{NOTE}");
                self.notes.push(NOTE.to_owned());
            }
            return Ok(());
        }
        tracing::warn!("another program has removed addresses, routes or rules of ours: they are put back");
        own.put_back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_put_back_six_times_a_minute_at_most() {
        let (mut repairs, start) = (Repairs::default(), Instant::now());
        let done = (0..240).filter(|second| {
            let now = start + Duration::from_secs(*second);
            match repairs.may_repair(now) {
                Ok(()) => true,
                Err(at) => {
                    assert!(at > now && at <= now + REPAIR_PERIOD);
                    false
                }
            }
        });
        assert_eq!(done.count(), 4 * MOST_REPAIRS);
    }
}
