//! What the path to one gateway carries, found by probing with packets that may be lost (RFC 8899 in spirit; RFC 4821).
//!
//! Echo requests of several sizes go through the tunnel; the largest that is answered is what passes both ways. Sizes
//! are those of inner packets in bytes. The caller sends what [`PathMtu::poll_probe`] gives and tells what was answered.

use std::time::{Duration, Instant};

/// Outer packet sizes that links have: jumbo frames, FDDI, Ethernet, PPPoE, tunnels within tunnels, IPv6's least, and
/// IPv4's (RFC 1191, section 7.1, with today's tunnels).
const PLATEAUS: [u16; 21] = [
    9_000, 4_352, 2_002, 1_500, 1_492, 1_472, 1_452, 1_440, 1_420, 1_400, 1_380, 1_360, 1_340, 1_300, 1_280,
    1_240, 1_200, 1_124, 1_064, 1_000, 900,
];
/// Smaller still: tried with the others, and the last step down where nobody answers.
const LEAST_PLATEAU: u16 = 576;
/// Sizes where answers are rationed: Linux sends six "time exceeded" at once, then one a second (`icmp_ratelimit`).
const FEW_PLATEAUS: [u16; 5] = [1_400, 1_280, 1_124, 1_000, LEAST_PLATEAU];
/// Bytes around an inner packet: IP, UDP, and WireGuard's header and tag (paper, section 5.4.6).
const OVERHEAD: [u16; 2] = [20 + 8 + 32, 40 + 8 + 32];
/// WireGuard pads to a multiple of this (paper, section 5.4.6).
const PADDING: u16 = 16;
/// What surely passes while nothing is known: fits 1,000 bytes over IPv6 with padding.
const CAUTIOUS: u16 = 912;
/// The size that most paths have; gateways do not pad beyond their own MTU, which is mostly made for it.
const ETHERNET: u16 = 1_500;
/// How often a size is tried: loss is not size.
const TRIES: u8 = 3;
/// Tries are at least this far apart,
const LEAST_INTERVAL: Duration = Duration::from_millis(300);
/// and at most this far, also where answers are rationed.
const MOST_INTERVAL: Duration = Duration::from_secs(1);
/// Sizes of a second, finer look.
const FINER_STEPS: u16 = 8;
/// A path that may have changed is looked at again at most this often.
const LEAST_PAUSE: Duration = Duration::from_secs(10);
/// A path with traffic is looked at again after this long (RFC 8899, section 5.1.1: PMTU_RAISE_TIMER, 600 s).
const ROUTINE_PAUSE: Duration = Duration::from_secs(600);

/// How the size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Known {
    /// It was not looked for yet.
    #[default]
    Assumed,
    /// Packets of this size were answered.
    Probed,
    /// It was looked for, and nobody answers.
    NoAnswer,
}

/// Why the path is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The first session, another endpoint, another access network: nothing is known any more.
    NewPath,
    /// Large segments go unanswered.
    Suspicion,
    /// It is time.
    Routine,
}

/// Sizes in force, of inner packets in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest packet that is sent; what cannot be cut is refused beyond it.
    pub packet: usize,
    /// The largest TCP segment that is cut and asked for; smaller than `packet` while the path is not known.
    pub segment: usize,
}

/// An echo request to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Size of the inner packet in bytes.
    pub size: u16,
    /// To which of the gateway's targets.
    pub target: usize,
    /// The gateway itself is to answer, by "time exceeded": this shows the way up only.
    pub is_short_lived: bool,
}

/// One look at the path.
#[derive(Debug)]
struct Look {
    cause: Cause,
    targets: usize,
    target: usize,
    is_short_lived: bool,
    is_finer: bool,
    interval: Duration,
    /// Ascending.
    sizes: Vec<u16>,
    /// The next of them in the present try.
    next: usize,
    tries: u8,
    /// When the present try is over.
    due: Instant,
    /// The largest that was answered; 0: none.
    answered: u16,
}

/// The machine.
#[derive(Debug)]
pub struct PathMtu {
    ceiling: u16,
    overhead: u16,
    limits: Limits,
    known: Known,
    look: Option<Look>,
    looked_at: Option<Instant>,
}

impl PathMtu {
    /// Nothing is known: packets of `ceiling` bytes, the TUN's MTU, are assumed to pass.
    pub fn new(ceiling: usize) -> Self {
        let ceiling = u16::try_from(ceiling).unwrap_or(u16::MAX);
        let limits = Limits { packet: ceiling.into(), segment: ceiling.into() };
        Self { ceiling, overhead: OVERHEAD[1], limits, known: Known::Assumed, look: None, looked_at: None }
    }

    /// The sizes in force.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How they are known.
    pub fn known(&self) -> Known {
        self.known
    }

    /// Size in bytes of the outer packets that carry the largest inner ones.
    pub fn outer(&self) -> usize {
        self.limits.packet + usize::from(self.overhead)
    }

    /// Begins to look, with at most `targets` hosts that may answer; `round_trip` is that of a handshake. A look that
    /// is under way ends without a result when the path is a new one, and goes on otherwise.
    pub fn begin(
        &mut self,
        cause: Cause,
        targets: usize,
        is_ipv6_outside: bool,
        round_trip: Option<Duration>,
        now: Instant,
    ) {
        if (self.look.is_some() && cause != Cause::NewPath) || targets == 0 {
            return;
        }
        self.overhead = OVERHEAD[usize::from(is_ipv6_outside)];
        match cause {
            Cause::NewPath => {
                (self.known, self.limits.packet) = (Known::Assumed, self.ceiling.into());
                self.limits.segment = CAUTIOUS.min(self.ceiling).into();
            }
            Cause::Suspicion => self.limits.segment = self.limits.segment.min(CAUTIOUS.into()),
            Cause::Routine => {}
        }
        let interval = (round_trip.unwrap_or_default() * 2).clamp(LEAST_INTERVAL, MOST_INTERVAL);
        self.look = Some(Look {
            cause,
            targets,
            target: 0,
            is_short_lived: false,
            is_finer: false,
            interval,
            sizes: self.sizes(&PLATEAUS),
            next: 0,
            tries: 1,
            due: now + interval,
            answered: 0,
        });
    }

    /// Large segments went unanswered again and again: whether it is worth a look now.
    pub fn is_worth_a_look(&self, now: Instant) -> bool {
        self.is_older_than(LEAST_PAUSE, now)
    }

    /// There was traffic: whether a look is due because the last was long ago.
    pub fn is_routine_due(&self, now: Instant) -> bool {
        self.is_older_than(ROUTINE_PAUSE, now)
    }

    /// The next echo request to send now.
    pub fn poll_probe(&mut self) -> Option<Probe> {
        let look = self.look.as_mut()?;
        while let Some(size) = look.sizes.get(look.next).copied() {
            look.next += 1;
            if size > look.answered {
                return Some(Probe { size, target: look.target, is_short_lived: look.is_short_lived });
            }
        }
        None
    }

    /// A packet of `size` bytes was answered. True: the sizes in force have changed for good.
    pub fn handle_answer(&mut self, size: usize, now: Instant) -> bool {
        let Some(look) = self.look.as_mut() else { return false };
        let Some(size) = u16::try_from(size).ok().filter(|size| look.sizes.contains(size)) else {
            return false;
        };
        look.answered = look.answered.max(size);
        let is_largest = look.sizes.last().is_some_and(|largest| look.answered >= *largest);
        if look.cause != Cause::Routine {
            self.limits.segment = self.limits.segment.max(look.answered.into());
        }
        match is_largest && (look.is_finer || look.answered == self.ceiling) {
            true => self.conclude(now),
            false => false,
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.look.as_ref().map(|look| look.due)
    }

    /// Lets time pass. True: the sizes in force have changed for good.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let Some(look) = self.look.as_mut().filter(|look| look.due <= now) else { return false };
        look.next = 0;
        look.due = now + look.interval;
        if look.tries < TRIES && look.sizes.last().is_some_and(|largest| look.answered < *largest) {
            look.tries += 1;
            return false;
        }
        look.tries = 1;
        match (look.answered, look.is_finer || look.is_short_lived) {
            (0, _) => self.ask_another(now),
            (_, true) => self.conclude(now),
            (_, false) => self.look_closer(now),
        }
    }

    /// Nobody answered: the next target, then the gateway itself, then it is given up.
    fn ask_another(&mut self, now: Instant) -> bool {
        let few = self.sizes(&FEW_PLATEAUS);
        let Some(look) = self.look.as_mut() else { return false };
        if look.is_short_lived {
            return self.give_up(now);
        }
        look.target += 1;
        if look.target == look.targets {
            (look.target, look.is_short_lived, look.interval) = (0, true, MOST_INTERVAL);
            (look.sizes, look.due) = (few, now + MOST_INTERVAL);
        }
        false
    }

    /// The largest that passed is known among the plateaus: what lies between it and the next one.
    fn look_closer(&mut self, now: Instant) -> bool {
        let Some(look) = self.look.as_mut() else { return false };
        let Some(failed) = look.sizes.iter().copied().find(|size| *size > look.answered) else {
            return self.conclude(now);
        };
        let step = ((failed - look.answered) / FINER_STEPS).next_multiple_of(PADDING).max(PADDING);
        let first = look.answered / PADDING * PADDING;
        let between = (1..FINER_STEPS).map(|count| first.saturating_add(count * step));
        look.sizes = between.filter(|size| *size > look.answered && *size < failed).collect();
        look.is_finer = true;
        match look.sizes.is_empty() {
            true => self.conclude(now),
            false => false,
        }
    }

    fn conclude(&mut self, now: Instant) -> bool {
        let Some(look) = self.look.take() else { return false };
        self.looked_at = Some(now);
        self.settle(look.answered, Known::Probed)
    }

    /// Nobody answers. What was measured before stays; what was only assumed stays too, but gives way step by step
    /// while large segments go unanswered.
    fn give_up(&mut self, now: Instant) -> bool {
        let Some(look) = self.look.take() else { return false };
        self.looked_at = Some(now);
        let present = u16::try_from(self.limits.packet).unwrap_or(u16::MAX);
        if self.known == Known::Probed {
            return self.settle(present, Known::Probed);
        }
        let is_step_due = look.cause == Cause::Suspicion && self.known == Known::NoAnswer;
        let lower = self.sizes(&FEW_PLATEAUS).into_iter().rfind(|size| *size < present);
        self.settle(lower.filter(|_| is_step_due).unwrap_or(present), Known::NoAnswer)
    }

    fn settle(&mut self, size: u16, known: Known) -> bool {
        let limits = Limits { packet: size.into(), segment: size.into() };
        let before = (self.limits.packet, self.known);
        (self.limits, self.known) = (limits, known);
        before != (limits.packet, known)
    }

    fn is_older_than(&self, pause: Duration, now: Instant) -> bool {
        let is_old = self.looked_at.is_some_and(|at| now.saturating_duration_since(at) >= pause);
        self.look.is_none() && is_old
    }

    /// Inner sizes of outer ones below the ceiling, and the ceiling itself, ascending; padding included.
    fn sizes(&self, outer: &[u16]) -> Vec<u16> {
        let inner = |outer: &u16| outer.saturating_sub(self.overhead) / PADDING * PADDING;
        let sizes = outer.iter().chain(&[LEAST_PLATEAU]).map(inner).chain([ETHERNET - self.overhead]);
        let unique: std::collections::BTreeSet<u16> =
            sizes.filter(|size| *size < self.ceiling).chain([self.ceiling]).collect();
        unique.into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
