//! Addresses of granted names become virtual ones; everything else is passed on as it came.

use std::net::IpAddr;

use dns::{Forward, Mapping, Outcome, Zones};
use hickory_proto::op::ResponseCode;

use crate::support::*;

#[test]
fn an_address_is_mapped_and_announced_before_its_answer() {
    let mut world = World::new();
    let transmit = world.ask(udp(1), &query(1, "wiki.corp.example", "A"));
    let response = response(&transmit.payload, |message| {
        message.add_answer(record("wiki.corp.example", 300, "A", "10.0.1.2"));
    });
    world.resolver.handle_response(transmit.query, transmit.server, &response, world.now, world.wall);
    let virtual_address: IpAddr = "100.80.0.16".parse().unwrap();
    let expected = Mapping {
        virtual_address,
        real: "10.0.1.2".parse().unwrap(),
        gateway: HQ,
        grant: WIKI,
        name: "wiki.corp.example".into(),
    };
    assert_eq!(world.resolver.poll_mapping(), Some(expected.clone()));
    let answer = world.answer().unwrap();
    assert_eq!(lines(&parse(&answer.payload).answers), ["wiki.corp.example. 300 A 100.80.0.16"]);
    assert_eq!(answer.client, udp(1));
    assert_eq!(world.resolver.mappings().collect::<Vec<_>>(), [expected]);
    assert_eq!(&*world.resolver.pool().get(virtual_address).unwrap().name, "wiki.corp.example");
}

#[test]
fn a_cname_chain_is_followed_in_any_order_and_mapped_under_the_name_asked_for() {
    let mut world = World::new();
    let answer = world.resolve(&query(1, "wiki.corp.example", "A"), |message| {
        message.add_answer(record("b.elsewhere.example", 60, "A", "10.0.1.3"));
        message.add_answer(record("a.corp.example", 60, "CNAME", "b.elsewhere.example."));
        message.add_answer(record("wiki.corp.example", 60, "CNAME", "a.corp.example."));
    });
    let expected = [
        "b.elsewhere.example. 60 A 100.80.0.16",
        "a.corp.example. 60 CNAME b.elsewhere.example.",
        "wiki.corp.example. 60 CNAME a.corp.example.",
    ];
    assert_eq!(lines(&answer.answers), expected);
    assert_eq!(&*world.mappings[0].name, "wiki.corp.example");
}

#[test]
fn a_mapped_answer_keeps_every_other_byte() {
    let mut world = World::new();
    let transmit = world.ask(udp(1), &query(1, "wiki.corp.example", "A"));
    let response = response(&transmit.payload, |message| {
        message.add_answer(record("wiki.corp.example", 300, "A", "10.0.1.2"));
        message.add_authority(record("corp.example", 300, "NS", "ns.corp.example."));
    });
    world.respond(&transmit, &response);
    let mut payload = world.answer().unwrap().payload;
    let at = payload.windows(4).position(|window| window == [100, 80, 0, 16]).unwrap();
    payload[at..at + 4].copy_from_slice(&[10, 0, 1, 2]);
    payload[..2].copy_from_slice(&response[..2]);
    assert_eq!(payload, response);
}

#[test]
fn addresses_that_cannot_or_must_not_be_reached_are_left_out() {
    let mut world = World::new();
    let unusable = ["10.1.0.1", "127.0.0.1", "169.254.169.254", "100.80.0.20", "0.0.0.0", "224.0.0.1"];
    let answer = world.resolve(&query(1, "wiki.corp.example", "A"), |message| {
        for address in unusable {
            message.add_answer(record("wiki.corp.example", 300, "A", address));
        }
        message.add_answer(record("wiki.corp.example", 300, "A", "10.0.1.2"));
        message.add_authority(record("corp.example", 300, "NS", "ns.corp.example."));
    });
    assert_eq!(lines(&answer.answers), ["wiki.corp.example. 300 A 100.80.0.16"]);
    assert_eq!(lines(&answer.authorities), ["corp.example. 300 NS ns.corp.example."]);
    assert_eq!(world.resolver.counters().withheld_addresses, unusable.len() as u64);
}

#[test]
fn a_family_that_the_gateway_lacks_is_nodata_not_nxdomain() {
    let mut world = World::new();
    let answer = world.resolve(&query(1, "x.lab.example", "AAAA"), |message| {
        message.add_answer(record("x.lab.example", 300, "CNAME", "y.lab.example."));
        message.add_answer(record("y.lab.example", 300, "AAAA", "fd00:10::1"));
    });
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert_eq!(lines(&answer.answers), ["x.lab.example. 300 CNAME y.lab.example."]);
    assert!(answer.authorities.is_empty());
    assert!(world.mappings.is_empty());
    let answer = world.resolve(&query(2, "wiki.corp.example", "AAAA"), |message| {
        message.add_answer(record("wiki.corp.example", 300, "AAAA", "fd00:10::1"));
    });
    assert_eq!(lines(&answer.answers), ["wiki.corp.example. 300 AAAA fd12:3456:789a::10"]);
}

#[test]
fn types_without_addresses_are_passed_on_as_raw_bytes() {
    let cases = [
        ("SRV", "SRV", "1 2 5432 db.eng.corp.example."),
        ("MX", "MX", "10 mail.example.net."),
        ("TXT", "TXT", "\"v=1\" \"two\""),
        ("NS", "NS", "ns.corp.example."),
        ("PTR", "PTR", "ns.corp.example."),
        ("CAA", "CAA", "0 issue \"ca.example\""),
    ];
    for (asked, rtype, data) in cases {
        let mut world = World::new();
        let transmit = world.ask(udp(1), &query(9, "wiki.corp.example", asked));
        let response = response(&transmit.payload, |message| {
            message.metadata.authentic_data = true;
            message.add_answer(record("wiki.corp.example", 77, rtype, data));
        });
        world.respond(&transmit, &response);
        let payload = world.answer().unwrap().payload;
        assert_eq!(payload[..2], [0, 9]);
        assert_eq!(payload[2..], response[2..], "{asked}");
    }
}

#[test]
fn additional_addresses_are_mapped_only_for_owners_that_a_rule_grants() {
    let mut world = World::new();
    let answer = world.resolve(&query(1, "_pg._tcp.eng.corp.example", "SRV"), |message| {
        message.add_answer(record("_pg._tcp.eng.corp.example", 60, "SRV", "1 2 5432 db.eng.corp.example."));
        message.add_additional(record("db.eng.corp.example", 60, "A", "10.0.2.1"));
        message.add_additional(record("other.corp.example", 60, "A", "10.0.2.2"));
        message.add_additional(record("public.eng.corp.example", 60, "A", "192.0.2.7"));
        message.add_additional(record("x.lab.example", 60, "A", "10.0.2.3"));
    });
    let expected = [
        "db.eng.corp.example. 60 A 100.80.0.16",
        "other.corp.example. 60 A 10.0.2.2",
        "public.eng.corp.example. 60 A 192.0.2.7",
    ];
    assert_eq!(
        lines(&answer.additionals),
        expected,
        "a server of one gateway must not speak for another's names"
    );
    assert_eq!((&*world.mappings[0].name, world.mappings[0].grant), ("db.eng.corp.example", ENGINEERING));
}

#[test]
fn signatures_of_mapped_sets_and_the_ad_bit_go_and_other_signatures_stay() {
    let mut world = World::new();
    let signature = |covered: u16, name: &str| {
        let mut data = covered.to_be_bytes().to_vec();
        data.extend_from_slice(&[8, 3, 0, 0, 1, 44, 0, 0, 0, 2, 0, 0, 0, 1, 0, 9]);
        data.extend_from_slice(b"\x04corp\x07example\x00signature");
        let unknown = hickory_proto::rr::RData::Unknown {
            code: hickory_proto::rr::RecordType::RRSIG,
            rdata: hickory_proto::rr::rdata::NULL::with(data),
        };
        let mut signed = record(name, 300, "A", "0.0.0.0");
        signed.data = unknown;
        signed
    };
    let answer = world.resolve_bytes(&edns_query(1, "wiki.corp.example", "A", 4096, true), |message| {
        message.metadata.authentic_data = true;
        message.add_answer(record("wiki.corp.example", 300, "CNAME", "w.corp.example."));
        message.add_answer(signature(5, "wiki.corp.example"));
        message.add_answer(record("w.corp.example", 300, "A", "10.0.1.2"));
        message.add_answer(signature(1, "w.corp.example"));
    });
    let message = parse(&answer);
    let types: Vec<String> = message.answers.iter().map(|record| record.record_type().to_string()).collect();
    assert_eq!(types, ["CNAME", "RRSIG", "A"]);
    assert!(!message.metadata.authentic_data);
    assert!(message.edns.is_some_and(|edns| edns.flags().dnssec_ok), "EDNS is passed on");
}

#[test]
fn https_records_lose_their_address_hints_and_nothing_else() {
    let mut world = World::new();
    let data = "1 . mandatory=ipv4hint,alpn alpn=h2 port=8443 ipv4hint=10.0.1.2 ipv6hint=fd00:10::1";
    let answer = world.resolve(&query(1, "wiki.corp.example", "HTTPS"), |message| {
        message.add_answer(record("wiki.corp.example", 300, "HTTPS", data));
    });
    let expected = record("wiki.corp.example", 300, "HTTPS", "1 . mandatory=alpn alpn=h2 port=8443");
    assert_eq!(answer.answers, [expected]);
}

#[test]
fn records_after_a_removed_one_keep_their_names() {
    let mut world = World::new();
    let answer = world.resolve(&query(1, "wiki.corp.example", "ANY"), |message| {
        message.add_answer(record("wiki.corp.example", 1, "A", "192.0.2.1"));
        message.add_answer(record("long.name.below.corp.example", 2, "A", "192.0.2.2"));
        message.add_answer(record("wiki.corp.example", 3, "MX", "5 long.name.below.corp.example."));
        message.add_authority(soa(4, 5));
        message.add_additional(record("long.name.below.corp.example", 6, "SRV", "1 2 3 below.corp.example."));
        message.add_additional(record("x.lab.example", 7, "A", "10.0.0.1"));
        message.add_additional(record("end.lab.example", 8, "NAPTR", "1 2 \"s\" \"x\" \"\" x.lab.example."));
    });
    assert_eq!(
        lines(&answer.answers),
        [
            "long.name.below.corp.example. 2 A 192.0.2.2",
            "wiki.corp.example. 3 MX 5 long.name.below.corp.example."
        ]
    );
    assert_eq!(answer.authorities, [soa(4, 5)]);
    assert_eq!(answer.additionals.len(), 2);
    assert_eq!(
        lines(&answer.additionals)[0],
        "long.name.below.corp.example. 6 SRV 1 2 3 below.corp.example."
    );
}

#[test]
fn an_exhausted_quota_is_a_servfail_with_its_reason() {
    let mut world = World::new();
    for index in 0..164 {
        let name = format!("n{index}.eng.corp.example");
        let transmit = world.ask(tcp(1), &edns_query(1, &name, "A", 1232, false));
        let response = response(&transmit.payload, |message| {
            for host in 0..100u32 {
                message.add_answer(record(&name, 300, "A", &format!("10.0.{}.{host}", index + 1)));
            }
        });
        world.respond(&transmit, &response);
        let payload = world.answer().unwrap().payload;
        let expected = if index < 163 { ResponseCode::NoError } else { ResponseCode::ServFail };
        assert_eq!(code(&payload), expected, "{index}");
        let reason = b"has used up its virtual addresses";
        assert_eq!(payload.windows(reason.len()).any(|window| window == reason), index == 163);
    }
    assert_eq!(world.resolver.counters().pool_exhausted, 1);
}

#[test]
fn a_rule_that_is_gone_hands_out_nothing_more() {
    let mut world = World::new();
    world.resolve(&query(1, "wiki.corp.example", "A"), |message| {
        message.add_answer(record("wiki.corp.example", 300, "A", "10.0.1.2"));
    });
    let forward = Forward { suffix: "corp.example".parse().unwrap(), gateway: HQ, servers: Vec::new() };
    world.resolver.set_zones(Zones::new([], [forward], gateways()).unwrap());
    assert_eq!(world.resolver.mappings().count(), 0);
    let answer = world.resolve(&query(2, "wiki.corp.example", "A"), |message| {
        message.add_answer(record("wiki.corp.example", 300, "A", "10.0.1.2"));
    });
    assert_eq!(lines(&answer.answers), ["wiki.corp.example. 300 A 10.0.1.2"]);
    world.resolver.set_zones(zones());
    assert_eq!(world.resolver.mappings().count(), 1, "the mapping is kept for when the rule comes back");
}

#[test]
fn the_reverse_name_of_a_virtual_address_is_answered_here() {
    let mut world = World::new();
    world.resolve(&query(1, "wiki.corp.example", "A"), |message| {
        message.add_answer(record("wiki.corp.example", 300, "A", "10.0.1.2"));
    });
    let mut ask = |name: &str, rtype: &str| {
        assert_eq!(world.query(udp(1), &edns_query(2, name, rtype, 1232, false)), Outcome::Answer, "{name}");
        assert!(world.transmit().is_none());
        let answer = parse(&world.out);
        (answer.metadata.response_code, lines(&answer.answers))
    };
    let name = "16.0.80.100.in-addr.arpa";
    let expected = vec![format!("{name}. 60 PTR wiki.corp.example.")];
    assert_eq!(ask(name, "PTR"), (ResponseCode::NoError, expected));
    assert_eq!(ask(name, "TXT"), (ResponseCode::NoError, Vec::new()));
    assert_eq!(ask("17.0.80.100.in-addr.arpa", "PTR"), (ResponseCode::NXDomain, Vec::new()));
    assert_eq!(world.query(udp(1), &query(3, "1.0.81.100.in-addr.arpa", "PTR")), Outcome::Pending);
}

#[test]
fn transfers_are_refused_since_they_would_carry_real_addresses() {
    let mut world = World::new();
    for rtype in [251, 252] {
        let mut asked = query(1, "wiki.corp.example", "A");
        let at = asked.len() - 3;
        asked[at] = rtype;
        assert_eq!(world.query(tcp(1), &asked), Outcome::Answer);
        assert_eq!(code(&world.out), ResponseCode::Refused);
    }
}
