//! Any octets as what a client of the SOCKS proxy sends: no panic, bounded, and the same however they are cut.
#![no_main]
#![forbid(unsafe_code)]

use libfuzzer_sys::fuzz_target;
use openztna::proxy::socks::datagram;
use openztna::proxy::socks::handshake::{Handshake, MOST_INPUT, Step};

/// What a handshake came to: everything it wrote, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    written: Vec<u8>,
    end: Step,
    /// What is left of the input, when it is the flow's own.
    rest: Option<Vec<u8>>,
}

// The first byte says how: as a datagram, or as a handshake with a password or without one, cut into pieces.
fuzz_target!(|bytes: &[u8]| {
    let Some((how, input)) = bytes.split_first() else { return };
    if how & 1 == 1 {
        return as_datagram(input);
    }
    let needs_password = how & 2 == 2;
    let size = usize::from(how >> 2).max(1);
    assert_eq!(shake_hands(input, needs_password, size), shake_hands(input, needs_password, MOST_INPUT));
});

fn as_datagram(input: &[u8]) {
    let Some(found) = datagram::parse(input) else { return };
    assert!(found.target.port > 0, "port 0: {found:?}");
    let header = datagram::header(found.address);
    assert!(header.len() <= datagram::LONGEST_HEADER);
    assert_eq!(header[3..], input[3..header.len()], "the header of the reply is that of the datagram");
    let again = [header.as_slice(), found.payload].concat();
    assert_eq!(datagram::parse(&again), Some(found), "what is read is what was written");
}

fn shake_hands(input: &[u8], needs_password: bool, size: usize) -> Outcome {
    let mut handshake = Handshake::new(needs_password);
    let mut pieces = input.chunks(size);
    let mut written = Vec::new();
    let mut taken = 0;
    let mut step = handshake.poll();
    let end = loop {
        step = match step {
            Step::Read => {
                // the longest messages of all three steps have 1,032 octets together
                assert!(taken <= 2 * MOST_INPUT, "it takes in {taken} octets and understands nothing");
                let Some(piece) = pieces.next() else { break Step::Read };
                taken += piece.len();
                handshake.handle_input(piece);
                handshake.poll()
            }
            Step::Write(octets) => {
                written.extend(octets);
                handshake.poll()
            }
            Step::Check { username, password } => {
                assert!(needs_password, "nobody asked for a password");
                handshake.handle_verdict(username == password)
            }
            Step::Refuse(octets) => {
                written.extend(octets);
                break Step::Refuse(Vec::new());
            }
            Step::Done(request) => break Step::Done(request),
        };
    };
    let is_done = matches!(end, Step::Done(_));
    let rest = is_done.then(|| [handshake.into_rest(), pieces.flatten().copied().collect()].concat());
    Outcome { written, end, rest }
}
