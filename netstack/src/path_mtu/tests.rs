//! Paths of every size, with loss, with one-way limits and without answers, found by the machine alone.

use proptest::prelude::*;

use super::*;
use crate::packets_for_tests::start;

/// A path: how large inner packets may be up and down, who answers, and which packets are lost (a pattern of bits).
#[derive(Debug, Clone, Copy)]
struct Path {
    up: u16,
    down: u16,
    /// The index of the first target that answers.
    answering: Option<usize>,
    /// Whether the gateway says "time exceeded".
    has_time_exceeded: bool,
    loss: u64,
}

impl Default for Path {
    fn default() -> Self {
        Self { up: 9_000, down: 9_000, answering: Some(0), has_time_exceeded: true, loss: 0 }
    }
}

impl Path {
    fn of(size: u16) -> Self {
        Self { up: size, down: size, ..Self::default() }
    }

    fn answers(&self, probe: &Probe, count: usize) -> bool {
        let is_lost = self.loss >> (count % 64) & 1 == 1;
        let is_answered = match probe.is_short_lived {
            true => self.has_time_exceeded && probe.size <= self.up,
            false => {
                self.answering.is_some_and(|first| probe.target >= first)
                    && probe.size <= self.up.min(self.down)
            }
        };
        is_answered && !is_lost
    }
}

/// Runs until it is quiet; how long it took and how many probes it sent.
fn run(machine: &mut PathMtu, path: &Path, mut now: Instant) -> (Instant, usize) {
    let (mut count, begun) = (0, now);
    loop {
        while let Some(probe) = machine.poll_probe() {
            count += 1;
            if path.answers(&probe, count) {
                machine.handle_answer(probe.size.into(), now);
            }
        }
        let Some(due) = machine.poll_timeout() else { return (now, count) };
        assert!(due > now && now - begun < Duration::from_secs(30) && count < 500, "it ends");
        now = due;
        machine.handle_timeout(now);
    }
}

fn look(machine: &mut PathMtu, cause: Cause, path: &Path, now: Instant) -> (Instant, usize) {
    machine.begin(cause, 2, false, None, now);
    run(machine, path, now)
}

fn both(size: usize) -> Limits {
    Limits { packet: size, segment: size }
}

#[test]
fn a_path_that_carries_everything_is_known_after_one_round_trip() {
    let (mut machine, now) = (PathMtu::new(1_420), start());
    let (end, probes) = look(&mut machine, Cause::NewPath, &Path::default(), now);
    assert_eq!((end, machine.limits(), machine.known()), (now, both(1_420), Known::Probed));
    assert!(probes <= 20, "{probes}");
    assert_eq!(machine.outer(), 1_480);
}

#[test]
fn the_largest_size_that_is_answered_both_ways_is_found() {
    for (up, down) in [(1_340, 9_000), (9_000, 1_220), (1_064, 1_064), (940, 1_000), (920, 920), (560, 600)] {
        let (mut machine, now) = (PathMtu::new(1_420), start());
        let path = Path { up, down, ..Path::default() };
        let (end, _) = look(&mut machine, Cause::NewPath, &path, now);
        let found = machine.limits().packet;
        assert!(found <= up.min(down).into() && found + 32 > up.min(down).into(), "{found} of {up}, {down}");
        assert_eq!((machine.limits().segment, machine.known()), (found, Known::Probed));
        assert!(end - now < Duration::from_secs(3), "{:?}", end - now);
    }
}

#[test]
fn segments_are_small_only_until_larger_ones_are_answered() {
    let (mut machine, now) = (PathMtu::new(1_420), start());
    machine.begin(Cause::NewPath, 1, false, None, now);
    assert_eq!(machine.limits(), Limits { packet: 1_420, segment: 912 });
    machine.handle_answer(1_328, now);
    assert_eq!(machine.limits(), Limits { packet: 1_420, segment: 1_328 });
    machine.handle_answer(1_329, now);
    assert_eq!(machine.limits().segment, 1_328, "nobody asked for that size");
}

#[test]
fn another_target_is_asked_and_at_last_the_gateway_itself() {
    let (mut machine, now) = (PathMtu::new(1_420), start());
    let path = Path { answering: Some(1), ..Path::of(1_232) };
    look(&mut machine, Cause::NewPath, &path, now);
    assert!((1_200..=1_232).contains(&machine.limits().packet));
    let mut machine = PathMtu::new(1_420);
    let path = Path { answering: None, ..Path::of(1_232) };
    look(&mut machine, Cause::NewPath, &path, now);
    assert_eq!((machine.limits(), machine.known()), (both(1_216), Known::Probed), "a plateau of the few");
}

#[test]
fn without_any_answer_the_assumption_stays_until_it_is_suspected() {
    let (mut machine, mut now) = (PathMtu::new(1_420), start());
    let silent = Path { answering: None, has_time_exceeded: false, ..Path::default() };
    (now, _) = look(&mut machine, Cause::NewPath, &silent, now);
    assert_eq!((machine.limits(), machine.known()), (both(1_420), Known::NoAnswer));
    assert!(!machine.is_worth_a_look(now), "not at once");
    for lower in [1_328, 1_216, 1_056, 928, 512, 512] {
        now += LEAST_PAUSE;
        assert!(machine.is_worth_a_look(now));
        (now, _) = look(&mut machine, Cause::Suspicion, &silent, now);
        assert_eq!((machine.limits(), machine.known()), (both(lower), Known::NoAnswer));
    }
    (now, _) = look(&mut machine, Cause::NewPath, &silent, now);
    assert_eq!(machine.limits(), both(1_420), "a new path is judged anew");
    now += ROUTINE_PAUSE;
    look(&mut machine, Cause::Routine, &Path::of(1_312), now);
    assert_eq!((machine.limits(), machine.known()), (both(1_312), Known::Probed));
}

#[test]
fn what_was_measured_outlives_a_silence() {
    let (mut machine, mut now) = (PathMtu::new(1_420), start());
    (now, _) = look(&mut machine, Cause::NewPath, &Path::of(1_216), now);
    now += LEAST_PAUSE;
    let silent = Path { answering: None, has_time_exceeded: false, ..Path::default() };
    look(&mut machine, Cause::Suspicion, &silent, now);
    assert_eq!((machine.limits(), machine.known()), (both(1_216), Known::Probed));
}

#[test]
fn a_path_that_changes_is_followed_up_and_down() {
    let (mut machine, mut now) = (PathMtu::new(1_420), start());
    (now, _) = look(&mut machine, Cause::NewPath, &Path::default(), now);
    assert!(!machine.is_routine_due(now));
    now += LEAST_PAUSE;
    machine.begin(Cause::Suspicion, 1, false, None, now);
    assert_eq!(machine.limits(), Limits { packet: 1_420, segment: 912 }, "segments pass at once");
    (now, _) = run(&mut machine, &Path::of(1_056), now);
    assert_eq!(machine.limits(), both(1_056));
    now += ROUTINE_PAUSE;
    assert!(machine.is_routine_due(now));
    machine.begin(Cause::Routine, 1, false, None, now);
    assert_eq!(machine.limits(), both(1_056), "a routine look disturbs nobody");
    run(&mut machine, &Path::default(), now);
    assert_eq!(machine.limits(), both(1_420));
}

#[test]
fn nothing_is_sent_without_a_target_or_a_cause() {
    let (mut machine, now) = (PathMtu::new(1_420), start());
    assert!(machine.poll_probe().is_none() && machine.poll_timeout().is_none());
    assert!(!machine.is_worth_a_look(now) && !machine.is_routine_due(now));
    machine.begin(Cause::NewPath, 0, false, None, now);
    assert!(machine.poll_probe().is_none() && machine.poll_timeout().is_none());
    assert_eq!((machine.limits(), machine.known()), (both(1_420), Known::Assumed));
}

#[test]
fn ipv6_outside_takes_twenty_bytes_more() {
    let (mut machine, now) = (PathMtu::new(1_440), start());
    machine.begin(Cause::NewPath, 1, true, None, now);
    run(&mut machine, &Path::of(1_420), now);
    assert_eq!((machine.limits(), machine.outer()), (both(1_420), 1_500));
}

#[test]
fn tries_wait_for_slow_paths() {
    let (mut machine, now) = (PathMtu::new(1_420), start());
    machine.begin(Cause::NewPath, 1, false, Some(Duration::from_millis(400)), now);
    assert_eq!(machine.poll_timeout(), Some(now + Duration::from_millis(800)));
    machine.begin(Cause::NewPath, 1, false, Some(Duration::from_secs(9)), now);
    assert_eq!(machine.poll_timeout(), Some(now + MOST_INTERVAL));
}

proptest! {
    #[test]
    fn every_path_is_measured_well(up in 520u16..9_000, down in 520u16..9_000, ceiling in 1_280usize..9_000, v6: bool) {
        let (mut machine, now) = (PathMtu::new(ceiling), start());
        machine.begin(Cause::NewPath, 1, v6, None, now);
        run(&mut machine, &Path { up, down, ..Path::default() }, now);
        let (found, real) = (machine.limits().packet, usize::from(up.min(down)).min(ceiling));
        prop_assert!(found <= real, "{} passes", real);
        // within one of eight steps between neighbouring plateaus, or 16 bytes
        prop_assert!(found * 7 / 6 + 32 >= real || real > 1_500, "{} of {}", found, real);
    }

    #[test]
    fn loss_is_not_size(a: u64, b: u64, c: u64, size in 600u16..1_420) {
        // one packet in eight is lost
        let (mut machine, now) = (PathMtu::new(1_420), start());
        look(&mut machine, Cause::NewPath, &Path { loss: a & b & c & 0x0101_0101_0101_0101, ..Path::of(size) }, now);
        let found = machine.limits().packet;
        prop_assert!(machine.known() == Known::Probed && found <= size.into());
        prop_assert!(found + 60 >= usize::from(size).min(1_420) || size < 1_200, "{} of {}", found, size);
    }
}
