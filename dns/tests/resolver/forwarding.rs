//! Names that are none of ours, and names that are only resolved through a tunnel.

use dns::{Action, Forward, Outcome, Pattern, Rule, Transport, Via, Zones};
use hickory_proto::op::ResponseCode;

use crate::support::*;

#[test]
fn an_off_zone_query_and_its_reply_are_not_changed_by_a_byte() {
    let mut world = World::new();
    for name in ["www.example.org", "public.eng.corp.example", "eng.example", "example"] {
        // A cookie option: what belongs to client and server alone must survive.
        let mut query = edns_query(77, name, "A", 4096, true);
        query.extend_from_slice(&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        let length_at = query.len() - 14;
        query[length_at..length_at + 2].copy_from_slice(&[0, 12]);
        let transmit = world.ask(udp(1), &query);
        assert_eq!(transmit.via, Via::System);
        assert_eq!(transmit.server, server("192.0.2.1:53"));
        assert_eq!(transmit.payload, query);
        let mut reply = query.clone();
        reply[2..4].copy_from_slice(&[0x81, 0xa0]);
        reply.extend_from_slice(b"bytes that nobody reads");
        world.respond(&transmit, &reply);
        assert_eq!(world.answer().unwrap().payload, reply);
    }
    assert_eq!(world.resolver.cached_answers(), 0);
}

#[test]
fn a_name_under_a_forward_only_is_resolved_there_and_not_mapped() {
    let mut world = World::new();
    let transmit = world.ask(udp(1), &query(1, "printer.corp.example", "A"));
    assert_eq!((transmit.via, transmit.server), (Via::Gateway(HQ), server("10.0.0.53:53")));
    let response = response(&transmit.payload, |message| {
        message.add_answer(record("printer.corp.example", 300, "A", "10.0.9.9"));
    });
    world.respond(&transmit, &response);
    assert_eq!(world.answer().unwrap().payload[2..], response[2..]);
    assert!(world.mappings.is_empty());
}

#[test]
fn the_longest_forward_says_who_resolves_and_else_the_gateway() {
    let mut world = World::new();
    assert_eq!(world.ask(udp(1), &query(1, "wiki.corp.example", "A")).server, server("10.0.0.53:53"));
    assert_eq!(world.ask(udp(1), &query(2, "x.lab.example", "A")).server, server("10.9.0.1:53"));
}

#[test]
fn a_name_resolved_through_one_gateway_is_mapped_to_the_one_that_grants_it() {
    let grant = Action::Grant { gateway: LAB, grant: 5 };
    let rule = Rule { pattern: Pattern::Exact("db.corp.example".parse().unwrap()), action: grant };
    let servers = vec![server("10.0.0.53:53")];
    let forward = Forward { suffix: "corp.example".parse().unwrap(), gateway: HQ, servers };
    let mut world = World::with_zones(Zones::new([rule], [forward], gateways()).unwrap());
    let transmit = world.ask(udp(1), &query(1, "db.corp.example", "A"));
    assert_eq!(transmit.via, Via::Gateway(HQ));
    let response = response(&transmit.payload, |message| {
        message.add_answer(record("db.corp.example", 300, "A", "10.7.7.7"));
    });
    world.respond(&transmit, &response);
    assert_eq!((world.mappings[0].gateway, world.mappings[0].grant), (LAB, 5));
}

#[test]
fn an_excluded_name_goes_to_the_system() {
    let mut world = World::new();
    assert_eq!(world.ask(udp(1), &query(1, "public.eng.corp.example", "A")).via, Via::System);
    assert_eq!(world.ask(udp(1), &query(2, "x.public.eng.corp.example", "A")).via, Via::Gateway(HQ));
}

#[test]
fn a_query_over_tcp_is_asked_over_tcp_and_not_cut() {
    let mut world = World::new();
    let transmit = world.ask(tcp(4), &query(1, "wiki.corp.example", "TXT"));
    assert_eq!(transmit.transport, Transport::Tcp);
    let response = response(&transmit.payload, |message| {
        for index in 0..40 {
            message.add_answer(record(
                "wiki.corp.example",
                300,
                "TXT",
                &format!("\"{index}{}\"", "x".repeat(200)),
            ));
        }
    });
    assert!(response.len() > 4096);
    world.respond(&transmit, &response);
    let answer = world.answer().unwrap();
    assert_eq!(answer.client.connection, 4);
    assert_eq!(answer.payload[2..], response[2..]);
    // The same answer is now known, but does not fit into a datagram.
    assert_eq!(world.query(udp(1), &query(2, "wiki.corp.example", "TXT")), Outcome::Answer);
    let cut = parse(&world.out);
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    assert_eq!(cut.metadata.id, 2);
}

#[test]
fn a_truncated_answer_is_passed_on_as_such_and_not_kept() {
    let mut world = World::new();
    let answer = world.resolve(&query(1, "wiki.corp.example", "TXT"), |message| {
        message.metadata.truncation = true;
        message.add_answer(record("wiki.corp.example", 300, "TXT", "\"part\""));
    });
    assert!(answer.metadata.truncation);
    assert_eq!(world.resolver.cached_answers(), 0);
}

#[test]
fn an_answer_that_the_datagram_cannot_hold_is_cut_to_a_tc_bit() {
    let fill = |message: &mut hickory_proto::op::Message| {
        for index in 0..5 {
            message.add_answer(record(
                "wiki.corp.example",
                300,
                "TXT",
                &format!("\"{index}{}\"", "x".repeat(150)),
            ));
        }
    };
    let mut world = World::new();
    let plain = world.resolve(&query(1, "wiki.corp.example", "TXT"), fill);
    assert!(plain.metadata.truncation && plain.answers.is_empty());
    let edns = world.resolve(&edns_query(2, "wiki.corp.example", "TXT", 1232, false), fill);
    assert!(!edns.metadata.truncation);
    assert_eq!(edns.answers.len(), 5);
    assert_eq!(world.resolver.counters().truncated, 1);
}

#[test]
fn tunnel_queries_carry_no_options_and_ask_for_no_fragments() {
    let mut world = World::new();
    let mut query = edns_query(77, "wiki.corp.example", "A", 4096, true);
    query.extend_from_slice(&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    let length_at = query.len() - 14;
    query[length_at..length_at + 2].copy_from_slice(&[0, 12]);
    let sent = parse(&world.ask(udp(1), &query).payload);
    let edns = sent.edns.unwrap();
    assert_eq!((edns.max_payload(), edns.flags().dnssec_ok), (1232, true));
    assert!(edns.options().as_ref().is_empty());
    assert!(sent.metadata.recursion_desired);
}

#[test]
fn a_query_into_a_narrow_tunnel_asks_for_no_longer_answers_than_it_carries() {
    for (asked, most, expected) in
        [(4096, 900, 900), (4096, usize::MAX, 1232), (700, 900, 700), (4096, 100, 512), (4096, 70_000, 1232)]
    {
        let mut world = World::new();
        let mut transmit = world.ask(udp(1), &edns_query(77, "wiki.corp.example", "A", asked, true));
        let before = transmit.payload.clone();
        transmit.limit_answer(most);
        let edns = parse(&transmit.payload).edns.unwrap();
        assert_eq!((edns.max_payload(), edns.flags().dnssec_ok), (expected, true), "{asked} by {most}");
        let size_at = before.len() - 8;
        assert_eq!(
            (&before[..size_at], &before[size_at + 2..]),
            (&transmit.payload[..size_at], &transmit.payload[size_at + 2..])
        );
        let server_says = response(&transmit.payload, |_| ());
        world.respond(&transmit, &server_says);
        assert!(world.answer().is_some(), "the answer is still that of the query");
    }
    let mut world = World::new();
    let mut plain = world.ask(udp(1), &query(77, "wiki.corp.example", "A"));
    let before = plain.clone();
    plain.limit_answer(600);
    assert_eq!(plain, before, "no EDNS, no size");
}

#[test]
fn an_unknown_edns_version_is_refused_for_our_names_and_passed_on_for_others() {
    let mut world = World::new();
    let with_version = |name: &str| {
        let mut query = edns_query(1, name, "A", 1232, false);
        let at = query.len() - 5;
        query[at] = 1;
        query
    };
    assert_eq!(world.query(udp(1), &with_version("wiki.corp.example")), Outcome::Answer);
    // 16 is BADVERS here, and BADSIG in a TSIG record.
    assert_eq!(u16::from(code(&world.out)), 16);
    assert_eq!(world.query(udp(1), &with_version("example.org")), Outcome::Pending);
}

#[test]
fn the_canary_of_browsers_does_not_exist_whatever_is_asked_of_it() {
    let mut world = World::new();
    for (name, rtype) in [
        ("use-application-dns.net", "A"),
        ("USE-application-dns.net", "AAAA"),
        ("use-application-dns.net", "TXT"),
        ("www.use-application-dns.net", "A"),
    ] {
        for query in [query(7, name, rtype), edns_query(7, name, rtype, 1232, true)] {
            assert_eq!(world.query(udp(1), &query), Outcome::Answer, "{name}");
            let answer = parse(&world.out);
            assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{name}");
            assert!(answer.metadata.authoritative && answer.metadata.id == 7, "{name}");
            assert!(answer.answers.is_empty() && answer.authorities.is_empty(), "{name}");
            assert!(world.transmit().is_none(), "{name}");
        }
    }
    let neighbour = world.ask(udp(1), &query(8, "my-use-application-dns.net", "A"));
    assert_eq!(neighbour.via, Via::System);
}
