//! Servers that fail, are slow, or lie; clients that ask the same.

use std::time::Duration;

use dns::{Outcome, Via, Zones};
use hickory_proto::op::{Message, ResponseCode};

use crate::support::*;

const LAB_ONE: &str = "10.9.0.1:53";
const LAB_TWO: &str = "10.9.0.2:53";

fn answer(message: &mut Message) {
    message.add_answer(record("x.lab.example", 300, "A", "10.1.1.1"));
}

fn failing(message: &mut Message) {
    message.metadata.response_code = ResponseCode::ServFail;
}

#[test]
fn a_silent_server_is_followed_by_the_next_and_a_late_answer_still_counts() {
    let mut world = World::new();
    let first = world.ask(udp(1), &query(1, "x.lab.example", "A"));
    assert_eq!(first.server, server(LAB_ONE));
    world.pass_to_timeout();
    let second = world.transmit().unwrap();
    assert_eq!((second.query, second.server), (first.query, server(LAB_TWO)));
    world.respond(&first, &response(&first.payload, answer));
    assert_eq!(code(&world.answer().unwrap().payload), ResponseCode::NoError);
    assert!(!world.resolver.is_pending(first.query));
    assert_eq!(world.resolver.poll_timeout(), None);
}

#[test]
fn the_last_good_server_is_asked_first() {
    let mut world = World::new();
    let first = world.ask(udp(1), &query(1, "x.lab.example", "A"));
    world.pass_to_timeout();
    let second = world.transmit().unwrap();
    world.respond(&second, &response(&first.payload, answer));
    assert_eq!(world.ask(udp(1), &query(2, "y.lab.example", "A")).server, server(LAB_TWO));
    let health: Vec<_> =
        world.resolver.servers().map(|(_, server, health)| (server, health.failed_in_a_row)).collect();
    assert_eq!(health, [(server(LAB_ONE), 1), (server(LAB_TWO), 0)]);
}

#[test]
fn a_server_that_fails_at_once_is_followed_at_once_and_the_last_code_is_passed_on() {
    let mut world = World::new();
    let first = world.ask(udp(1), &query(1, "x.lab.example", "A"));
    world.respond(&first, &response(&first.payload, failing));
    let second = world.transmit().unwrap();
    assert_eq!(second.server, server(LAB_TWO));
    world.respond(
        &second,
        &response(&second.payload, |message| {
            message.metadata.response_code = ResponseCode::Refused;
        }),
    );
    assert_eq!(code(&world.answer().unwrap().payload), ResponseCode::Refused);
    assert_eq!(world.resolver.cached_answers(), 0);
}

#[test]
fn an_error_with_addresses_does_not_carry_them_to_the_client() {
    let mut world = World::new();
    let asked = query(1, "wiki.corp.example", "A");
    let transmit = world.ask(udp(1), &asked);
    let odd = response(&transmit.payload, |message| {
        message.metadata.response_code = ResponseCode::Refused;
        message.add_answer(record("wiki.corp.example", 300, "A", "10.0.1.2"));
    });
    world.respond(&transmit, &odd);
    let answer = parse(&world.answer().unwrap().payload);
    assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::Refused, 0));
    assert_eq!(answer.queries.len(), 1);
}

#[test]
fn each_query_of_a_stream_is_answered() {
    let mut world = World::new();
    let asked = query(1, "x.lab.example", "A");
    let transmit = world.ask(tcp(1), &asked);
    assert_eq!(world.query(tcp(1), &asked), Outcome::Pending);
    world.respond(&transmit, &response(&transmit.payload, answer));
    assert!(world.answer().is_some() && world.answer().is_some());
}

#[test]
fn unreachable_servers_fail_over_and_end_in_servfail_with_a_reason() {
    let mut world = World::new();
    let first = world.ask(udp(1), &edns_query(1, "x.lab.example", "A", 1232, false));
    world.resolver.handle_upstream_failure(first.query, first.server, world.now);
    let second = world.transmit().unwrap();
    assert_eq!(second.server, server(LAB_TWO));
    world.resolver.handle_upstream_failure(first.query, first.server, world.now);
    assert!(world.answer().is_none(), "the same failure told twice counts once");
    world.resolver.handle_upstream_failure(second.query, second.server, world.now);
    let payload = world.answer().unwrap().payload;
    assert_eq!(code(&payload), ResponseCode::ServFail);
    let network_error = b"\x00\x17no server of the zone answered";
    assert!(payload.windows(network_error.len()).any(|window| window == network_error));
}

#[test]
fn silence_of_all_servers_ends_after_five_seconds() {
    let mut world = World::new();
    let started = world.now;
    let transmit = world.ask(udp(1), &query(1, "wiki.corp.example", "A"));
    let mut attempts = 1;
    while world.resolver.is_pending(transmit.query) {
        world.pass_to_timeout();
        attempts += usize::from(world.transmit().is_some());
    }
    assert_eq!(world.now - started, Duration::from_secs(5));
    assert_eq!(attempts, 5);
    assert_eq!(code(&world.answer().unwrap().payload), ResponseCode::ServFail);
    assert_eq!(world.resolver.counters().unanswered, 1);
}

#[test]
fn responses_that_do_not_fit_the_query_are_counted_and_ignored() {
    let mut world = World::new();
    let transmit = world.ask(udp(1), &query(1, "x.lab.example", "A"));
    let good = response(&transmit.payload, answer);
    let mut other_id = good.clone();
    other_id[0] ^= 1;
    let mut other_question = good.clone();
    other_question[13] ^= 1;
    for bad in [&other_id, &other_question, &transmit.payload, &good[..11].to_vec(), &Vec::new()] {
        world.respond(&transmit, bad);
    }
    let (now, wall) = (world.now, world.wall);
    world.resolver.handle_response(transmit.query, server("10.9.9.9:53"), &good, now, wall);
    world.resolver.handle_response(transmit.query, server(LAB_TWO), &good, now, wall);
    world.resolver.handle_response(transmit.query + 1, transmit.server, &good, now, wall);
    assert!(world.answer().is_none());
    assert_eq!(world.resolver.counters().unexpected_responses, 8);
    world.respond(&transmit, &good);
    assert!(world.answer().is_some());
}

#[test]
fn a_malformed_response_of_the_right_server_makes_the_next_one_be_asked() {
    let mut world = World::new();
    let transmit = world.ask(udp(1), &query(1, "x.lab.example", "A"));
    let good = response(&transmit.payload, answer);
    world.respond(&transmit, &good[..good.len() - 1]);
    assert_eq!(world.transmit().unwrap().server, server(LAB_TWO));
    assert_eq!(world.resolver.counters().malformed_responses, 1);
}

#[test]
fn an_error_without_question_is_passed_on_with_the_clients() {
    let mut world = World::new();
    let asked = query(1, "x.lab.example", "A");
    let transmit = world.ask(udp(1), &asked);
    let mut bare = transmit.payload[..12].to_vec();
    bare[2..6].copy_from_slice(&[0x81, 0x81, 0, 0]);
    world.respond(&transmit, &bare);
    let answer = world.answer().unwrap().payload;
    assert_eq!(code(&answer), ResponseCode::FormErr);
    assert_eq!(answer[12..], asked[12..]);
}

#[test]
fn identical_questions_share_one_query_and_each_client_gets_its_own_answer() {
    let mut world = World::new();
    let transmit = world.ask(udp(1), &query(1, "x.lab.example", "A"));
    assert_eq!(world.query(udp(2), &query(2, "X.lab.EXAMPLE", "A")), Outcome::Pending);
    assert_eq!(world.query(udp(1), &query(1, "x.lab.example", "A")), Outcome::Pending);
    assert!(world.transmit().is_none());
    world.respond(&transmit, &response(&transmit.payload, answer));
    let first = world.answer().unwrap();
    let second = world.answer().unwrap();
    assert!(world.answer().is_none(), "a repeated query of one client is answered once");
    assert_eq!((first.client, parse(&first.payload).metadata.id), (udp(1), 1));
    assert_eq!((second.client, parse(&second.payload).metadata.id), (udp(2), 2));
    assert_eq!(second.payload[12..29], query(2, "X.lab.EXAMPLE", "A")[12..29]);
}

#[test]
fn a_forwarder_that_asks_us_back_cannot_start_a_storm() {
    let mut world = World::new();
    let asked = query(1, "www.example.org", "A");
    world.ask(udp(1), &asked);
    let mut transmits = 0;
    for id in 2..200u16 {
        let mut back = asked.clone();
        back[..2].copy_from_slice(&id.to_be_bytes());
        world.query(udp(id), &back);
        transmits += usize::from(world.transmit().is_some());
    }
    assert_eq!(transmits, 0);
    assert!(world.resolver.counters().overload > 0);
}

#[test]
fn queries_in_flight_are_bounded() {
    let mut world = World::new();
    let mut answered = 0;
    for index in 0..3_000u16 {
        let asked = query(index, &format!("n{index}.example.org"), "A");
        answered += usize::from(world.query(udp(index), &asked) == Outcome::Answer);
    }
    assert_eq!(world.resolver.queries_in_flight() + answered, 3_000);
    assert_eq!(world.resolver.queries_in_flight(), 1_024);
    assert_eq!(code(&world.out), ResponseCode::ServFail);
    world.pass(Duration::from_secs(5));
    assert_eq!(world.resolver.queries_in_flight(), 0);
}

#[test]
fn a_new_policy_ends_the_queries_that_it_would_send_elsewhere() {
    let mut world = World::new();
    world.ask(udp(1), &query(1, "x.lab.example", "A"));
    let off_zone = world.ask(udp(2), &query(2, "www.example.org", "A"));
    world.resolver.set_zones(Zones::new([], [], gateways()).unwrap());
    let failed = world.answer().unwrap();
    assert_eq!((failed.client, code(&failed.payload)), (udp(1), ResponseCode::ServFail));
    assert!(world.answer().is_none());
    assert!(world.resolver.is_pending(off_zone.query));
}

#[test]
fn off_zone_queries_in_flight_move_to_the_new_links_servers() {
    let mut world = World::new();
    let before = world.ask(udp(1), &query(1, "www.example.org", "A"));
    world.resolver.set_system_servers(vec![server("198.51.100.9:53")]);
    world.pass_to_timeout();
    let after = world.transmit().unwrap();
    assert_eq!(
        (after.query, after.via, after.server),
        (before.query, Via::System, server("198.51.100.9:53"))
    );
}

#[test]
fn without_any_server_the_answer_is_servfail_at_once() {
    let mut world = World::new();
    world.resolver.set_system_servers(Vec::new());
    assert_eq!(world.query(udp(1), &query(1, "www.example.org", "A")), Outcome::Answer);
    assert_eq!(code(&world.out), ResponseCode::ServFail);
}

#[test]
fn ids_toward_tunnel_servers_differ_from_the_clients_and_from_each_other() {
    let mut world = World::new();
    let ids: std::collections::BTreeSet<_> = (0..64)
        .map(|index| {
            world.ask(udp(1), &query(5, &format!("n{index}.lab.example"), "A")).payload[..2].to_vec()
        })
        .collect();
    assert!(ids.len() > 60);
}
