//! The cache: what is kept, for how long, and for whom.

use std::time::Duration;

use dns::Outcome;
use hickory_proto::op::{Message, ResponseCode};

use crate::support::*;

fn address(message: &mut Message) {
    message.add_answer(record("wiki.corp.example", 300, "A", "10.0.1.2"));
}

type Case = (&'static str, fn(&mut Message));

#[test]
fn a_cached_answer_has_the_clients_id_and_spelling_and_older_ttls() {
    let mut world = World::new();
    world.resolve(&query(1, "wiki.corp.example", "A"), address);
    world.pass(Duration::from_secs(100));
    let again = query(0xabcd, "WiKi.cOrp.Example", "A");
    assert_eq!(world.query(udp(2), &again), Outcome::Answer);
    assert_eq!(world.out[..2], again[..2]);
    assert_eq!(world.out[12..again.len()], again[12..]);
    assert_eq!(parse(&world.out).answers[0].ttl, 200);
    world.pass(Duration::from_secs(199));
    assert_eq!(world.query(udp(2), &again), Outcome::Answer);
    assert_eq!(parse(&world.out).answers[0].ttl, 1);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.query(udp(2), &again), Outcome::Pending);
}

#[test]
fn the_first_answer_has_the_clients_spelling_too() {
    let mut world = World::new();
    let asked = query(1, "wIKI.corp.EXAMPLE", "A");
    let transmit = world.ask(udp(1), &asked);
    let mut answer = response(&transmit.payload, address);
    answer[12..asked.len()].make_ascii_lowercase();
    answer[asked.len() - 4..asked.len()].copy_from_slice(&asked[asked.len() - 4..]);
    world.respond(&transmit, &answer);
    assert_eq!(world.answer().unwrap().payload[12..asked.len()], asked[12..]);
}

#[test]
fn negative_answers_are_kept_for_the_minimum_of_their_soa() {
    for (code, ttl, minimum, kept) in [
        (ResponseCode::NXDomain, 3_600, 60, 60),
        (ResponseCode::NoError, 30, 600, 30),
        (ResponseCode::NXDomain, 86_400, 86_400, 3_600),
    ] {
        let mut world = World::new();
        let asked = query(1, "none.eng.corp.example", "A");
        let answer = world.resolve(&asked, |message| {
            message.metadata.response_code = code;
            message.add_authority(soa(ttl, minimum));
        });
        assert_eq!(
            (answer.metadata.response_code, answer.authorities[0].ttl),
            (code, ttl),
            "the first is the truth"
        );
        world.pass(Duration::from_secs(10));
        assert_eq!(world.query(udp(1), &asked), Outcome::Answer);
        assert_eq!(parse(&world.out).authorities[0].ttl, kept - 10);
        world.pass(Duration::from_secs(u64::from(kept) - 10));
        assert_eq!(world.query(udp(1), &asked), Outcome::Pending);
    }
}

#[test]
fn what_must_not_be_kept_is_not() {
    let cases: [Case; 5] = [
        ("no SOA", |message| message.metadata.response_code = ResponseCode::NXDomain),
        ("referral", |message| {
            message.add_authority(record("eng.corp.example", 300, "NS", "ns.corp.example."));
        }),
        ("TTL 0", |message| {
            message.add_answer(record("x.eng.corp.example", 0, "A", "10.0.1.2"));
        }),
        ("FORMERR", |message| message.metadata.response_code = ResponseCode::FormErr),
        ("NOTIMP", |message| message.metadata.response_code = ResponseCode::NotImp),
    ];
    for (case, fill) in cases {
        let mut world = World::new();
        world.resolve(&query(1, "x.eng.corp.example", "A"), fill);
        assert_eq!(world.resolver.cached_answers(), 0, "{case}");
    }
}

#[test]
fn a_family_that_was_left_out_is_kept_as_nodata() {
    let mut world = World::new();
    let asked = query(1, "x.lab.example", "AAAA");
    world.resolve(&asked, |message| {
        message.add_answer(record("x.lab.example", 300, "AAAA", "fd00:10::1"));
    });
    assert_eq!(world.query(udp(1), &asked), Outcome::Answer);
    assert!(parse(&world.out).answers.is_empty());
}

#[test]
fn questions_that_differ_in_type_or_dnssec_do_not_share_an_answer() {
    let mut world = World::new();
    world.resolve(&query(1, "wiki.corp.example", "A"), address);
    assert_eq!(world.query(udp(1), &query(1, "wiki.corp.example", "AAAA")), Outcome::Pending);
    assert_eq!(world.query(udp(1), &edns_query(1, "wiki.corp.example", "A", 1232, false)), Outcome::Pending);
    assert_eq!(world.query(udp(1), &edns_query(1, "wiki.corp.example", "A", 1232, true)), Outcome::Pending);
    let mut checking_disabled = query(1, "wiki.corp.example", "A");
    checking_disabled[3] |= 0x10;
    assert_eq!(world.query(udp(1), &checking_disabled), Outcome::Pending);
}

#[test]
fn a_new_policy_drops_every_answer() {
    let mut world = World::new();
    world.resolve(&query(1, "wiki.corp.example", "A"), address);
    world.resolver.set_zones(zones());
    assert_eq!(world.resolver.cached_answers(), 0);
    assert_eq!(world.query(udp(1), &query(1, "wiki.corp.example", "A")), Outcome::Pending);
}

#[test]
fn a_mapping_that_is_taken_back_is_handed_out_by_no_cached_answer() {
    let mut world = World::new();
    world.resolve(&query(1, "wiki.corp.example", "A"), address);
    let virtual_address = world.mappings[0].virtual_address;
    assert!(world.resolver.remove_mapping(virtual_address).is_some());
    assert_eq!(world.query(udp(1), &query(2, "wiki.corp.example", "A")), Outcome::Pending);
}

#[test]
fn the_cache_stays_within_its_bounds() {
    let mut world = World::new();
    for index in 0..10_000 {
        let name = format!("n{index}.eng.corp.example");
        let transmit = world.ask(tcp(1), &query(1, &name, "TXT"));
        let answer = response(&transmit.payload, |message| {
            message.add_answer(record(&name, 300, "TXT", &format!("\"{}\"", "x".repeat(250))));
        });
        world.respond(&transmit, &answer);
        world.answer().unwrap();
    }
    assert!(world.resolver.cached_answers() <= 8_192);
    assert!(world.resolver.cached_answers() > 4_000);
    assert_eq!(world.query(tcp(1), &query(1, "n9999.eng.corp.example", "TXT")), Outcome::Answer);
    assert_eq!(world.query(tcp(1), &query(1, "n0.eng.corp.example", "TXT")), Outcome::Pending);
}
