//! Bytes of any kind are data: never a panic, never an answer to the wrong question.

use dns::{DropReason, Outcome};
use hickory_proto::op::ResponseCode;
use proptest::prelude::*;

use crate::support::*;

#[test]
fn messages_that_are_no_queries_are_refused_or_dropped() {
    let mut world = World::new();
    let good = query(0x1234, "wiki.corp.example", "A");
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    assert_eq!(world.query(udp(1), &good[..5]), Outcome::Drop(DropReason::Short));
    assert_eq!(world.query(udp(1), &with(2, 0x81)), Outcome::Drop(DropReason::Response));
    let refusals = [
        (with(2, 0x29), ResponseCode::NotImp),
        (with(5, 0), ResponseCode::FormErr),
        (with(5, 2), ResponseCode::FormErr),
        (with(12, 0xc0), ResponseCode::FormErr),
        (with(6, 0xff), ResponseCode::FormErr),
        (good[..good.len() - 1].to_vec(), ResponseCode::FormErr),
        ([&good[..], &[0; 5_000]].concat(), ResponseCode::FormErr),
    ];
    for (bytes, expected) in refusals {
        assert_eq!(world.query(udp(1), &bytes), Outcome::Answer, "{bytes:?}");
        assert_eq!(world.out[..2], [0x12, 0x34]);
        assert_eq!(world.out[2] & 0x80, 0x80);
        assert_eq!(u16::from(world.out[3] & 15), u16::from(expected));
        assert_eq!(world.out.len(), 12);
    }
    assert_eq!(world.resolver.counters().malformed_queries, 9);
}

#[test]
fn a_compression_loop_in_a_response_ends_in_a_failure() {
    let mut world = World::new();
    let transmit = world.ask(udp(1), &query(1, "wiki.corp.example", "A"));
    let mut looping = response(&transmit.payload, |message| {
        message.add_answer(record("wiki.corp.example", 300, "CNAME", "b.corp.example."));
    });
    let data_at = looping.len() - 4;
    let pointer = 0xc000 | data_at as u16;
    looping[data_at + 2..].copy_from_slice(&pointer.to_be_bytes());
    world.respond(&transmit, &looping);
    assert_eq!(code(&world.answer().unwrap().payload), ResponseCode::ServFail);
}

/// A response with records of every kind that is looked into.
fn rich_response(query: &[u8]) -> Vec<u8> {
    response(query, |message| {
        message.add_answer(record("db.eng.corp.example", 60, "CNAME", "wiki.corp.example."));
        message.add_answer(record("wiki.corp.example", 60, "A", "10.0.1.2"));
        message.add_answer(record("wiki.corp.example", 60, "A", "192.0.2.1"));
        message.add_answer(record(
            "wiki.corp.example",
            60,
            "HTTPS",
            "1 x.corp.example. alpn=h2 ipv4hint=10.0.1.2",
        ));
        message.add_authority(soa(60, 60));
        message.add_additional(record("x.eng.corp.example", 60, "AAAA", "fd00:10::2"));
        message.add_additional(record("x.eng.corp.example", 60, "SRV", "1 2 3 x.lab.example."));
    })
}

/// Drains everything that came out, and holds it against the rules that always hold.
fn check_answers(world: &mut World, asked: &[u8]) {
    while let Some(answer) = world.answer() {
        assert_eq!(answer.payload[..2], asked[..2]);
        assert_eq!(answer.payload[2] & 0x80, 0x80);
        assert!(answer.payload.len() <= 1_232);
    }
    for mapping in &world.mappings {
        assert!(world.resolver.pool().contains(mapping.virtual_address));
        assert!(!mapping.real.is_loopback());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_queries_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut world = World::new();
        world.query(udp(1), &bytes);
    }

    #[test]
    fn mutated_queries_never_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        length in any::<prop::sample::Index>(),
    ) {
        let mut world = World::new();
        let mut bytes = edns_query(1, "db.eng.corp.example", "A", 1232, true);
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(length.index(bytes.len()) + 40);
        if world.query(udp(1), &bytes) == Outcome::Pending {
            prop_assert!(world.transmit().is_some());
        }
    }

    #[test]
    fn random_responses_never_panic(body in proptest::collection::vec(any::<u8>(), 0..600), counts in any::<[u8; 6]>()) {
        let mut world = World::new();
        let asked = query(1, "db.eng.corp.example", "A");
        let transmit = world.ask(udp(1), &asked);
        let mut bytes = transmit.payload.clone();
        bytes[2] |= 0x80;
        bytes[6..12].copy_from_slice(&counts.map(|count| count % 4));
        bytes[6] = 0;
        bytes[8] = 0;
        bytes[10] = 0;
        bytes.extend(body);
        world.respond(&transmit, &bytes);
        check_answers(&mut world, &asked);
    }

    #[test]
    fn mutated_responses_never_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        length in any::<prop::sample::Index>(),
    ) {
        let mut world = World::new();
        let asked = query(1, "db.eng.corp.example", "A");
        let transmit = world.ask(udp(1), &asked);
        let mut bytes = rich_response(&transmit.payload);
        let question_end = transmit.payload.len();
        for (index, value) in changes {
            let at = question_end + index.index(bytes.len() - question_end);
            bytes[at] = value;
        }
        if value_of(length) > 64 {
            bytes.truncate(length.index(bytes.len()));
        }
        world.respond(&transmit, &bytes);
        check_answers(&mut world, &asked);
        world.query(udp(1), &asked);
    }
}

fn value_of(index: prop::sample::Index) -> usize {
    index.index(128)
}
