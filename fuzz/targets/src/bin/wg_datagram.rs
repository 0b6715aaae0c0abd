//! Any bytes as datagrams, before and after a session: nothing but what the gateway sealed comes out at the device.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use model::bench::Bench;
use model::pieces::pieces;

// Pieces, each behind its length. The first byte of a piece says what becomes of the rest.
fuzz_target!(|bytes: &[u8]| {
    let mut bench = Bench::without_session();
    for piece in pieces(bytes).take(32) {
        let Some((what, rest)) = piece.split_first() else { continue };
        match what % 8 {
            0 => bench.hostile_datagram(rest, usize::from(what / 8)),
            1 => bench.make_session(),
            2 => bench.gateway_seals(rest),
            3 => bench.changed_datagram(rest),
            4 => bench.replayed_datagram(rest.first().copied().unwrap_or_default()),
            5 => bench.pass_milliseconds(rest.iter().map(|byte| u64::from(*byte) * 50).sum()),
            6 => bench.truncated_datagram(rest),
            _ => bench.device_asks(),
        }
    }
});
