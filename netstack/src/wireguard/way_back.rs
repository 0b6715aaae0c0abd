//! The way back: while a later address is in use, the first one is asked from time to time whether it answers again.

use std::time::{Duration, Instant};

use super::Peer;
use super::deadlines::KEEPALIVE_TIMEOUT;
use crate::send_batch::SendBatch;

/// The first address is asked this long after a session was made: a moment before the everyday renewal (120 s: WireGuard
/// paper, section 6.1), so that it costs no handshake of its own.
const INTERVAL: Duration = Duration::from_secs(115);
/// One that is left again this soon after a return is asked more rarely.
const PROBATION: Duration = Duration::from_secs(600);
/// But as often as this.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long it may take to answer before the address in use is asked: the session is good for a minute more.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// When the first address is asked again.
#[derive(Debug, Default)]
pub(super) struct WayBack {
    /// `None` while the first is in use.
    due: Option<Instant>,
    wait: Duration,
    /// It was asked since the last session was made.
    is_asked: bool,
    returned_at: Option<Instant>,
}

impl WayBack {
    /// A session was made: at a later address than the first, or not.
    pub(super) fn established(&mut self, is_at_later: bool, now: Instant) {
        let was_asked = std::mem::take(&mut self.is_asked);
        match (is_at_later, self.due) {
            (true, None) => {
                let is_doubtful = |at: Instant| now.saturating_duration_since(at) < PROBATION.max(self.wait);
                let is_doubtful = self.returned_at.is_some_and(is_doubtful);
                self.wait = if is_doubtful { (self.wait * 2).min(LONGEST) } else { INTERVAL };
                self.due = Some(now + self.wait);
            }
            (true, Some(_)) if was_asked => self.due = Some(now + self.wait),
            (true, Some(_)) | (false, None) => {}
            (false, Some(_)) => (self.due, self.returned_at) = (None, Some(now)),
        }
    }
}

impl Peer {
    /// Asks the first address instead of the one in use, if it is time and packets go to and fro; an idle peer sleeps.
    pub(super) fn ask_first(&mut self, batch: &mut SendBatch, now: Instant) {
        if self.way_back.due.is_none_or(|due| due > now) {
            return;
        }
        let at = &self.deadlines;
        let is_recent = |at: Instant| now.saturating_duration_since(at) < KEEPALIVE_TIMEOUT;
        let is_busy = at.initiation_sent.is_some() || at.retry_at.is_some();
        if !is_busy && at.data_sent.is_some_and(is_recent) && self.race.is_at_later() {
            self.race.turn_back();
            self.way_back.is_asked = true;
            self.initiate(false, batch, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_address_that_is_left_soon_after_each_return_is_asked_ever_more_rarely() {
        let mut now = crate::packets_for_tests::start();
        let mut way_back = WayBack::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            way_back.established(true, now);
            let due = way_back.due.unwrap();
            waits.push((due - now).as_secs());
            way_back.established(false, due);
            now = due + PROBATION / 2;
        }
        assert_eq!(waits, [115, 230, 460, 920, 1_840, 3_600, 3_600]);
        way_back.established(true, now + LONGEST);
        assert_eq!(way_back.due, Some(now + LONGEST + INTERVAL), "it has been good for long");
    }

    #[test]
    fn only_a_question_in_vain_puts_the_next_one_off() {
        let now = crate::packets_for_tests::start();
        let mut way_back = WayBack::default();
        way_back.established(true, now);
        way_back.established(true, now + INTERVAL * 2);
        assert_eq!(way_back.due, Some(now + INTERVAL));
        way_back.is_asked = true;
        way_back.established(true, now + INTERVAL + PATIENCE);
        assert_eq!(way_back.due, Some(now + INTERVAL + PATIENCE + INTERVAL));
    }
}
