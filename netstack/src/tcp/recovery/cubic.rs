//! How much may be under way: CUBIC (RFC 9438).
use std::time::{Duration, Instant};

/// RFC 9438 §4.6: what is left of the window after a loss.
const BETA: f64 = 0.7;
/// RFC 9438 §5: segments per cubic second.
const C: f64 = 0.4;
/// RFC 9438 §4.3: how fast Reno would grow, in segments a round trip, with that β.
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// RFC 6928 §2: segments that may go out at first.
const FIRST_SEGMENTS: f64 = 10.0;
/// Any buffer is smaller.
const MOST: f64 = (1_u64 << 31) as f64;

/// The congestion window, in octets.
#[derive(Debug)]
pub(super) struct Cubic {
    segment: f64,
    window: f64,
    /// Below it the window doubles each round trip.
    threshold: f64,
    /// Where the last loss was.
    plateau: f64,
    curve: Option<Curve>,
}

/// The way back up since the last loss.
#[derive(Debug)]
struct Curve {
    start: Instant,
    /// Seconds until `origin` is reached.
    k: f64,
    origin: f64,
    /// Where Reno would be.
    reno: f64,
}

impl Cubic {
    /// The window of a young flow whose segments have so many octets.
    pub(super) fn new(segment: usize) -> Self {
        let segment = segment as f64;
        let window = FIRST_SEGMENTS * segment;
        Self { segment, window, threshold: MOST, plateau: 0.0, curve: None }
    }

    pub(super) fn octets(&self) -> usize {
        self.window as usize
    }

    /// `octets` were acknowledged, and the window was in use.
    pub(super) fn on_acknowledged(&mut self, octets: usize, now: Instant, round_trip: Duration) {
        let octets = octets as f64;
        self.window = match self.window < self.threshold {
            true => (self.window + octets).min(self.threshold.max(self.window)),
            false => self.risen(octets, now, round_trip),
        };
        self.window = self.window.min(MOST);
    }

    /// Something was lost for the first time in a flight of so many octets.
    pub(super) fn on_loss(&mut self, flight: usize) {
        self.lower(flight);
        self.window = self.threshold;
    }

    /// Nothing was acknowledged for too long; the threshold is lowered by the first of several.
    pub(super) fn on_timeout(&mut self, flight: usize, is_first: bool) {
        if is_first {
            self.lower(flight);
        }
        self.window = self.segment;
    }

    fn lower(&mut self, flight: usize) {
        let reached = self.window.min(flight as f64);
        // RFC 9438 §4.7: who had more before gives room to others
        self.plateau = if reached < self.plateau { reached * (1.0 + BETA) / 2.0 } else { reached };
        self.threshold = (reached * BETA).max(2.0 * self.segment);
        self.curve = None;
    }

    fn risen(&mut self, octets: f64, now: Instant, round_trip: Duration) -> f64 {
        let (window, plateau) = (self.window, self.plateau);
        let steepness = C * self.segment;
        let curve = self.curve.get_or_insert_with(|| Curve {
            start: now,
            k: ((plateau - window).max(0.0) / steepness).cbrt(),
            origin: plateau.max(window),
            reno: window,
        });
        curve.reno += ALPHA * self.segment * octets / window;
        let time = now.saturating_duration_since(curve.start) + round_trip;
        let target = steepness * (time.as_secs_f64() - curve.k).powi(3) + curve.origin;
        let target = target.clamp(window, 1.5 * window);
        (window + (target - window) * (octets / window).min(1.0)).max(curve.reno.min(1.5 * window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::tests::world;

    const SEGMENT: usize = 1_000;

    /// Acknowledges whole windows, one each `round_trip`, for so long.
    fn run(cubic: &mut Cubic, now: &mut Instant, round_trip: Duration, time: Duration) {
        let end = *now + time;
        while *now < end {
            cubic.on_acknowledged(cubic.octets(), *now, round_trip);
            *now += round_trip;
        }
    }

    #[test]
    fn it_doubles_at_first_then_returns_to_where_the_loss_was_and_beyond() {
        let (mut cubic, mut now, trip) = (Cubic::new(SEGMENT), world::start(), Duration::from_millis(50));
        run(&mut cubic, &mut now, trip, trip * 4);
        assert_eq!(cubic.octets(), 160 * SEGMENT);
        cubic.on_loss(cubic.octets());
        assert_eq!(cubic.octets(), 112 * SEGMENT);
        // K = cbrt(160 * 0.3 / 0.4) = 4.9 s
        run(&mut cubic, &mut now, trip, Duration::from_secs(4));
        assert!((155..163).contains(&(cubic.octets() / SEGMENT)), "{}", cubic.octets());
        run(&mut cubic, &mut now, trip, Duration::from_secs(6));
        assert!(cubic.octets() > 200 * SEGMENT, "{}", cubic.octets());
    }

    #[test]
    fn on_short_paths_it_is_as_fast_as_reno() {
        let (mut cubic, mut now, trip) = (Cubic::new(SEGMENT), world::start(), Duration::from_millis(1));
        run(&mut cubic, &mut now, trip, trip * 4);
        cubic.on_loss(cubic.octets());
        run(&mut cubic, &mut now, trip, trip * 100);
        assert!((160..170).contains(&(cubic.octets() / SEGMENT)), "{}", cubic.octets());
    }

    #[test]
    fn a_time_out_leaves_one_segment_and_lowers_the_threshold_once() {
        let (mut cubic, mut now, trip) = (Cubic::new(SEGMENT), world::start(), Duration::from_millis(50));
        run(&mut cubic, &mut now, trip, trip * 4);
        cubic.on_timeout(100 * SEGMENT, true);
        cubic.on_timeout(SEGMENT, false);
        assert_eq!((cubic.octets(), cubic.threshold as usize), (SEGMENT, 70 * SEGMENT));
        run(&mut cubic, &mut now, trip, trip * 8);
        assert!((70..90).contains(&(cubic.octets() / SEGMENT)), "{}", cubic.octets());
    }
}
