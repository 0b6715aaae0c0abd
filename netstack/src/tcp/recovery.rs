//! What a flow's sender does beyond smoltcp: which octets are lost (RFC 6675), which of them are repeated, and how much may
//! be under way.
//!
//! smoltcp 0.14 repeats its first unacknowledged segment after three duplicate acknowledgements; for whatever else is
//! lost it waits for a time-out of a second at least and then sends everything again. Here it is told to do the latter
//! as soon as a loss is known, by letting its clock jump beyond its time-out, and what the peer has, or what may still
//! arrive, is then not let out. How much it may send stands in the windows that it is shown.
mod cubic;
mod ranges;
mod round_trip;
mod sent;

use std::time::{Duration, Instant};

use cubic::Cubic;
use ranges::Ranges;
use round_trip::RoundTrip;

pub(super) use sent::Sent;

use super::segment::Acknowledgement;

/// Where positions begin: so far from zero that none becomes negative.
const ORIGIN: u64 = 1 << 40;
/// Duplicate acknowledgements that mean a loss, and segments' worth of octets that arrived after what is lost
/// (RFC 5681 §3.2, RFC 6675 §4).
const DUPLICATES: usize = 3;
/// Between two times that smoltcp goes back to its first octet, at least: the resolution of the timers that drive us.
const LEAST_PAUSE: Duration = Duration::from_millis(1);
/// Acknowledgements of segments that arrive out of order count up to here: any flight is shorter.
const MOST_DUPLICATES: usize = 1 << 16;

/// The sender's state. Octets have positions, whose low 32 bits are their sequence numbers.
#[derive(Debug)]
pub(super) struct Recovery {
    /// The first octet that is not acknowledged, and the end of what was sent.
    una: u64,
    max: u64,
    /// The peer's SYN was seen.
    is_open: bool,
    /// Octets of a full segment.
    segment: usize,
    has_sack: bool,
    sacked: Ranges,
    /// Acknowledgements that acknowledged nothing new, one after the other.
    duplicates: usize,
    /// What the peer does not have of the octets before it is lost …
    lost_end: u64,
    /// … and was repeated before it.
    repeated: u64,
    /// If the peer has something sent after this, what was repeated first is lost again.
    retry_above: u64,
    /// The loss is over when this is acknowledged.
    point: Option<u64>,
    /// Since it began: octets that arrived, and octets that were sent.
    arrived: usize,
    sent: usize,
    /// What was not acknowledged when a time-out came that nothing was acknowledged after.
    timed_out: Option<u64>,
    wants_rewind: bool,
    /// When it is to begin again, and when it did: not for each segment that is found lost.
    rewind_at: Option<Instant>,
    rewound_at: Option<Instant>,
    /// The end of what smoltcp sent last: it goes on from there.
    cursor: u64,
    /// What was heard last acknowledged something.
    is_new: bool,
    /// The last packet let out: its acknowledgement and window.
    said: Option<(u32, u16)>,
    /// The peer's window, and how far its field is shifted.
    peer_window: usize,
    shift: u8,
    /// The window that smoltcp was last shown: the field, and what it says.
    told: (u16, usize),
    timer: Option<Instant>,
    round_trip: RoundTrip,
    window: Cubic,
}

/// What is to become of a packet that smoltcp made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes out.
    Send,
    /// Only what it acknowledges goes out, behind this sequence number.
    Bare(u32),
    /// It does not go out.
    Hold,
}

impl Recovery {
    /// A flow that sent nothing; `segment` is the payload of the largest packet in octets.
    pub(super) fn new(segment: usize) -> Self {
        Self {
            una: ORIGIN,
            max: ORIGIN,
            is_open: false,
            segment,
            has_sack: false,
            sacked: Ranges::default(),
            duplicates: 0,
            lost_end: ORIGIN,
            repeated: ORIGIN,
            retry_above: ORIGIN,
            point: None,
            arrived: 0,
            sent: 0,
            timed_out: None,
            wants_rewind: false,
            rewind_at: None,
            rewound_at: None,
            cursor: ORIGIN,
            is_new: false,
            said: None,
            peer_window: 0,
            shift: 0,
            told: (0, 0),
            timer: None,
            round_trip: RoundTrip::default(),
            window: Cubic::new(segment),
        }
    }

    /// Judges a packet of smoltcp's, and notes it if it goes out.
    pub(super) fn judge(&mut self, sent: &Sent, now: Instant) -> Verdict {
        let verdict = self.verdict(sent, now);
        if verdict != Verdict::Hold {
            self.said = Some((sent.acknowledgement, sent.window));
        }
        verdict
    }

    /// Notes what the peer's segment acknowledges. False: it acknowledges what was never sent.
    pub(super) fn hear(&mut self, heard: &Acknowledgement, now: Instant) -> bool {
        if let Some(options) = &heard.options
            && !std::mem::replace(&mut self.is_open, true)
        {
            let size = options.max_segment_size.filter(|size| *size > 0).map_or(self.segment, usize::from);
            self.segment = self.segment.min(size.max(1));
            self.window = Cubic::new(self.segment);
            self.has_sack = options.sack_permitted;
            self.shift = options.window_scale.unwrap_or(0).min(14);
        }
        let shift = if heard.options.is_some() { 0 } else { self.shift };
        let Some(number) = heard.number else {
            self.peer_window = usize::from(heard.window) << shift;
            return true;
        };
        let number = self.position(number);
        if number > self.max {
            return false;
        }
        if number < self.una {
            return true; // smoltcp leaves it aside, too
        }
        let was_full = self.is_full();
        let peer_window = usize::from(heard.window) << shift;
        let is_alike = std::mem::replace(&mut self.peer_window, peer_window) == peer_window;
        let newly = (number - self.una) as usize;
        (self.una, self.is_new) = (number, newly > 0);
        let more = self.note_blocks(heard);
        if newly > 0 {
            self.advance(newly, was_full, now);
        } else if more > 0 || (is_alike && !heard.has_payload && self.una < self.max) {
            self.duplicates = (self.duplicates + 1).min(MOST_DUPLICATES);
            self.arrived += if self.has_sack { 0 } else { self.segment };
        }
        self.arrived += more;
        self.look_for_loss(newly > 0);
        self.plan_rewind(now);
        true
    }

    /// The window field that smoltcp is to see instead of the peer's; `is_scaled` but in a SYN. It differs from the one
    /// before when nothing was acknowledged, so that smoltcp counts no duplicates.
    pub(super) fn window_to_show(&mut self, is_scaled: bool) -> u16 {
        let is_new = std::mem::take(&mut self.is_new);
        let shift = if is_scaled { self.shift } else { 0 };
        let field = (self.allowed() >> shift).min(usize::from(u16::MAX)) as u16;
        let field = field.max(u16::from(self.peer_window > 0));
        let again = !is_new && field == self.told.0 && field > 1;
        let field = if again { field - 1 } else { field };
        self.told = (field, usize::from(field) << shift);
        field
    }

    /// smoltcp has seen the peer's own window.
    pub(super) fn was_shown(&mut self, field: u16) {
        self.told = (field, self.peer_window);
    }

    /// Octets of `queued` that smoltcp has not sent yet: those after the place where it is.
    pub(super) fn unsent(&self, queued: usize) -> usize {
        queued.saturating_sub(self.cursor.saturating_sub(self.una) as usize)
    }

    /// Octets of a full segment.
    pub(super) fn segment(&self) -> usize {
        self.segment
    }

    /// Whether smoltcp was shown a larger window than it may use.
    pub(super) fn is_over_told(&self) -> bool {
        self.is_open && self.told.1 >= self.allowed() + (1 << self.shift)
    }

    /// The acknowledgement that smoltcp heard last.
    pub(super) fn acknowledged(&self) -> u32 {
        self.una as u32
    }

    /// Whether smoltcp is to begin again at its first unacknowledged octet; asked once each time.
    pub(super) fn take_rewind(&mut self) -> bool {
        std::mem::take(&mut self.wants_rewind)
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timer.into_iter().chain(self.rewind_at).min()
    }

    /// Lets time pass. Where nothing was acknowledged for too long (RFC 6298 §5), all that the peer does not have is lost.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.rewind_at.is_some_and(|at| at <= now) {
            self.rewind(now);
        }
        if self.timer.is_none_or(|at| at > now) {
            return;
        }
        self.round_trip.back_off();
        self.timer = Some(now + self.round_trip.timeout());
        if self.peer_window == 0 {
            return; // smoltcp asks whether it is open again
        }
        let is_first = self.timed_out != Some(self.una);
        if !is_first {
            self.sacked.clear(); // a peer may forget what it has only said to have (RFC 2018 §8)
        }
        self.window.on_timeout(self.flight(), is_first);
        (self.timed_out, self.point) = (Some(self.una), Some(self.max));
        (self.lost_end, self.repeated) = (self.max, self.una);
        self.rewind(now);
    }

    fn verdict(&mut self, sent: &Sent, now: Instant) -> Verdict {
        if sent.is_syn {
            return self.begin(sent, now);
        }
        let begin = self.position(sent.sequence);
        let end = begin + sent.length as u64;
        if sent.length > 0 {
            self.cursor = end;
        }
        // smoltcp leaves acknowledgements aside that come with octets out of its window: then it repeats what was not lost
        let is_behind = begin < self.una;
        if sent.length == 0 || sent.is_reset || self.peer_window == 0 || is_behind {
            self.max = self.max.max(end);
            return Verdict::Send;
        }
        if end > self.max {
            if self.timer.is_none() {
                self.timer = Some(now + self.round_trip.timeout());
            }
            self.sent += (end - self.max) as usize;
            self.max = end;
            self.round_trip.sent(end, now);
            return Verdict::Send;
        }
        let is_lost =
            begin < self.lost_end && end > self.repeated && !self.sacked.cover(begin, end.min(self.lost_end));
        if is_lost && (self.timed_out.is_some() || self.budget() >= self.segment) {
            self.repeat(end, sent.length);
            return Verdict::Send;
        }
        match self.said == Some((sent.acknowledgement, sent.window)) {
            true => Verdict::Hold,
            false => Verdict::Bare(self.max as u32),
        }
    }

    fn begin(&mut self, sent: &Sent, now: Instant) -> Verdict {
        let first = ORIGIN | u64::from(sent.sequence);
        match self.max == ORIGIN {
            true => self.round_trip.sent(first + 1, now),
            false => self.round_trip.repeated(),
        }
        (self.una, self.max) = (first, first + 1);
        (self.lost_end, self.repeated, self.cursor) = (first, first, first + 1);
        Verdict::Send
    }

    fn repeat(&mut self, end: u64, length: usize) {
        self.retry_above = self.max;
        self.repeated = self.repeated.max(end);
        self.sent += length;
        self.round_trip.repeated();
    }

    /// How many octets the peer says for the first time that it has.
    fn note_blocks(&mut self, heard: &Acknowledgement) -> usize {
        let known = self.sacked.octets();
        self.sacked.forget_before(self.una);
        let before = self.sacked.octets();
        self.arrived = self.arrived.saturating_sub(known - before); // they will be counted as acknowledged
        for (left, right) in heard.blocks.iter().flatten() {
            let (left, right) = (self.position(*left), self.position(*right));
            if self.has_sack && left > self.una && left < right && right <= self.max {
                self.sacked.add(left, right);
            }
        }
        self.sacked.octets().saturating_sub(before)
    }

    /// `newly` octets were acknowledged.
    fn advance(&mut self, newly: usize, was_full: bool, now: Instant) {
        (self.duplicates, self.cursor) = (0, self.cursor.max(self.una));
        self.arrived += if self.has_sack { newly } else { self.segment };
        self.round_trip.acknowledged(self.una, now);
        self.timer = (self.una < self.max).then(|| now + self.round_trip.timeout());
        (self.lost_end, self.repeated) = (self.lost_end.max(self.una), self.repeated.max(self.una));
        if self.point.is_some_and(|point| self.una >= point) {
            (self.point, self.timed_out) = (None, None);
            (self.lost_end, self.rewind_at) = (self.una, None);
        }
        // A window grows only if it is used (RFC 7661 §4), and after a time-out also while losses are repaired.
        if was_full && (self.point.is_none() || self.timed_out.is_some()) {
            self.window.on_acknowledged(newly, now, self.round_trip.smoothed());
        }
    }

    fn look_for_loss(&mut self, is_new: bool) {
        let lost_end = match self.has_sack {
            true => self.sacked.begin_of_last(self.threshold()),
            false if self.duplicates >= DUPLICATES => Some(self.una + self.segment as u64),
            // RFC 6582 §3.2: what follows a partial acknowledgement is lost, too
            false if is_new && self.point.is_some() => Some(self.una + self.segment as u64),
            false => None,
        };
        if let Some(end) = lost_end.map(|end| end.min(self.max)).filter(|end| *end > self.una) {
            self.lose_until(end);
        }
        let over = self.sacked.end().is_some_and(|end| end > self.retry_above + self.threshold() as u64);
        if self.point.is_some() && over && self.repeated > self.una {
            (self.repeated, self.retry_above) = (self.una, self.max);
        }
    }

    /// Decides when smoltcp is to go back, if there is something to repeat before the place where it is; each time costs
    /// as much as the flight has segments.
    fn plan_rewind(&mut self, now: Instant) {
        if self.point.is_some()
            && self.rewind_at.is_none()
            && self.first_hole().is_some_and(|at| at < self.cursor)
        {
            let pause = (self.round_trip.smoothed() / 8).max(LEAST_PAUSE);
            self.rewind_at = Some(self.rewound_at.map_or(now, |at| at + pause));
        }
        if self.rewind_at.is_some_and(|at| at <= now) {
            self.rewind(now);
        }
    }

    fn rewind(&mut self, now: Instant) {
        (self.wants_rewind, self.rewind_at, self.rewound_at) = (true, None, Some(now));
    }

    /// Where what is lost and was not repeated begins.
    fn first_hole(&self) -> Option<u64> {
        let from = self.repeated.max(self.una);
        (from < self.lost_end && !self.sacked.cover(from, self.lost_end)).then_some(from)
    }

    /// Octets that may be sent now during a recovery: as many as arrived while less is under way than the window is to
    /// have afterwards, a share of them before (RFC 6937).
    fn budget(&self) -> usize {
        let from = self.repeated.max(self.una);
        let lost = match from < self.lost_end {
            true => (self.lost_end - from) as usize - self.sacked.octets_within(from, self.lost_end),
            false => 0,
        };
        let under_way = self.flight().saturating_sub(self.sacked.octets() + lost);
        let share = match under_way > self.window.octets() {
            true => self.arrived / 10 * 7,
            false => self.arrived,
        };
        (share + 2 * self.segment).saturating_sub(self.sent)
    }

    fn lose_until(&mut self, end: u64) {
        if self.point.is_none() {
            self.point = Some(self.max);
            self.repeated = self.una;
            self.retry_above = self.max;
            (self.arrived, self.sent, self.rewound_at) = (self.sacked.octets(), 0, None);
            self.window.on_loss(self.flight());
        }
        self.lost_end = self.lost_end.max(end);
    }

    /// Octets that must have arrived after what is lost; fewer of a flight that is too short for them (RFC 5827 §3.1).
    fn threshold(&self) -> usize {
        let most = (DUPLICATES - 1) * self.segment;
        most.min(self.flight().saturating_sub(2 * self.segment))
    }

    fn flight(&self) -> usize {
        (self.max - self.una) as usize
    }

    fn is_full(&self) -> bool {
        self.flight() + 2 * self.segment >= self.allowed().min(self.window.octets())
    }

    /// What may lie between the first unacknowledged octet and the last one sent: what has left the network does not count.
    fn allowed(&self) -> usize {
        if self.point.is_some() && self.timed_out.is_none() {
            let new = if self.first_hole().is_some() { 0 } else { self.budget() };
            return self.peer_window.min(self.flight() + new);
        }
        let arrived = match self.has_sack {
            true => self.sacked.octets(),
            false => self.duplicates * self.segment,
        };
        self.peer_window.min(self.window.octets() + arrived)
    }

    fn position(&self, sequence: u32) -> u64 {
        let distance = sequence.wrapping_sub(self.una as u32).cast_signed();
        self.una.wrapping_add_signed(distance.into())
    }
}
