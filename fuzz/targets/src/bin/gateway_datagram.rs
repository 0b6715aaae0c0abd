//! Any bytes as datagrams, packets of devices and frames of the inner side: only what is allowed comes out anywhere.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use model::doorway::Doorway;
use model::pieces::pieces;

// The first byte says which egress; then pieces, each behind its length. Their first byte says what becomes of the rest.
fuzz_target!(|bytes: &[u8]| {
    let Some((egress, rest)) = bytes.split_first() else { return };
    let mut doorway = Doorway::new(egress % 2 == 1);
    for piece in pieces(rest).take(32) {
        let Some((what, rest)) = piece.split_first() else { continue };
        let which = usize::from(what / 8);
        match what % 8 {
            0 => doorway.hostile_datagram(rest, which),
            1 => doorway.device_sends(which, rest),
            2 => doorway.inner_sends(&mut rest.to_vec()),
            3 => doorway.changed_datagram(which, rest),
            4 => doorway.replayed_datagram(rest.first().copied().unwrap_or_default()),
            5 => doorway.pass_milliseconds(rest.iter().map(|byte| u64::from(*byte) * 50).sum()),
            6 => rest.chunks_exact(2).for_each(|pair| doorway.decide(pair[0], pair[1])),
            _ => doorway.toggle_rights(),
        }
    }
});
