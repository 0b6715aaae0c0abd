//! Losses are repaired within round trips, not by time-outs.
use super::path::{Hop, Path};
use super::*;

const PACKET: Duration = Duration::from_micros(100);
const SHORT_QUEUE: Hop =
    Hop { packet_time: PACKET, queue: 60, loss: 0, delay: Duration::from_micros(500), knows_sack: true };

#[test]
fn a_short_queue_on_the_way_is_kept_busy_in_spite_of_what_it_drops() {
    for delay in [200, 2_000] {
        let hop = Hop { delay: Duration::from_micros(delay), ..SHORT_QUEUE };
        let outcome = Path::new(hop, 1_000).transfer(16 << 20);
        let segments = (16 << 20) / 1_360;
        assert!(outcome.lost > 20, "{outcome:?}");
        // What is lost again when it is repeated may cost a time-out, of 200 ms.
        assert!(outcome.longest_wait < Duration::from_millis(300), "{outcome:?}");
        assert!(outcome.took < PACKET * segments as u32 * 3 / 2, "{outcome:?}");
        assert!(outcome.for_nothing < outcome.lost / 4 + 10, "{outcome:?}");
        // Whole segments but where the ring buffer of 1 MiB ends.
        assert!(outcome.sent < segments + outcome.lost + outcome.for_nothing + 40, "{outcome:?}");
        assert!(outcome.polls < 4 * segments as u64, "{outcome:?}");
    }
}

#[test]
fn a_peer_that_does_not_know_sack_gets_a_hole_filled_each_round_trip() {
    let outcome = Path::new(Hop { knows_sack: false, ..SHORT_QUEUE }, 1_000).transfer(4 << 20);
    assert!(outcome.lost > 20, "{outcome:?}");
    assert!(outcome.longest_wait < Duration::from_millis(300), "{outcome:?}");
    assert!(outcome.took < Duration::from_secs(4), "{outcome:?}");
}

#[test]
fn losses_by_chance_on_a_long_path_cause_no_long_wait() {
    let hop = Hop { loss: 10, delay: Duration::from_millis(25), queue: 1_000, ..SHORT_QUEUE };
    let outcome = Path::new(hop, 1_000).transfer(4 << 20);
    assert!(outcome.lost > 20, "{outcome:?}");
    assert!(outcome.longest_wait < Duration::from_millis(700), "{outcome:?}");
    // A flight of some 13 segments is what CUBIC has at 1 % on such a path, Linux' as well.
    assert!(outcome.took < Duration::from_secs(16), "{outcome:?}");
    assert!(outcome.for_nothing < outcome.lost / 2, "{outcome:?}");
}

#[test]
fn most_of_what_is_sent_may_be_lost() {
    let hop = Hop { loss: 300, delay: Duration::from_millis(1), queue: 1_000, ..SHORT_QUEUE };
    let outcome = Path::new(hop, 1_000).transfer(1 << 18);
    assert!(outcome.took < Duration::from_secs(60), "{outcome:?}");
}

#[test]
fn what_is_lost_at_the_end_comes_after_a_fraction_of_a_second() {
    let (mut world, client, server) = opened(V4);
    world.stacks[CLIENT].send(client, b"the first words");
    let mut buffer = vec![0; 1 << 10];
    world.until(|world| world.stacks[SERVER].recv(server, &mut buffer) > 0);
    world.run_for(Duration::from_millis(50));
    world.faults.loss = 1_000;
    world.stacks[CLIENT].send(client, b"the last words");
    world.run_for(Duration::from_millis(20));
    world.faults.loss = 0;
    let before = world.now;
    world.until(|world| world.stacks[SERVER].recv(server, &mut buffer) > 0);
    assert!(world.now - before < Duration::from_millis(300), "{:?}", world.now - before);
}
