//! Any bytes as queries and as responses: what is emitted is a message, and shows no real address of a granted name.
#![no_main]
#![forbid(unsafe_code)]

use std::time::Duration;

use dns::{Client, Outcome, Transmit, Transport, Via};
use hickory_proto::op::Message;
use hickory_proto::rr::{DNSClass, RData, Record};
use libfuzzer_sys::fuzz_target;
use model::names;
use model::pieces::pieces;

/// Seconds since 1970 at the start.
const WALL: u64 = 1_800_000_000;

// Pieces, each behind its length: a query, then what its servers say, one after the other; the lowest bit of a piece's
// first byte says which it is.
fuzz_target!(|bytes: &[u8]| {
    let mut resolver = names::resolver();
    let (mut now, mut out) = (names::start(), Vec::new());
    let (mut asked, mut has_foreign): (Option<Transmit>, bool) = (None, false);
    for piece in pieces(bytes).take(16) {
        let Some((kind, rest)) = piece.split_first() else { continue };
        match kind % 4 {
            0 | 2 => {
                let transport = if kind % 4 == 0 { Transport::Udp } else { Transport::Tcp };
                let client = Client { transport, ..names::client() };
                // what a server said is passed on as it is, even if another reader does not know it
                if resolver.handle_query(client, rest, now, &mut out) == Outcome::Answer && !has_foreign {
                    check(&out, "an answer at once");
                }
            }
            1 => {
                has_foreign = true;
                respond(&mut resolver, asked.as_ref(), rest, now);
            }
            _ => {
                now += Duration::from_millis(u64::from(rest.first().copied().unwrap_or(1)) * 40);
                resolver.handle_timeout(now);
            }
        }
        while let Some(transmit) = resolver.poll_transmit() {
            if transmit.via != Via::System {
                check(&transmit.payload, "a query into a tunnel");
            }
            asked = Some(transmit);
        }
        while resolver.poll_mapping().is_some() {}
        while let Some(answer) = resolver.poll_answer() {
            let is_ours = asked.as_ref().is_some_and(|transmit| transmit.via != Via::System);
            if is_ours {
                check_mapped(&answer.payload, &resolver);
            }
        }
    }
    assert!(resolver.queries_in_flight() <= 1_024 && resolver.pool().len() <= 2 * 65_519);
});

/// A response to what was asked: id and question are made to fit, so that the rest of it is looked at.
fn respond(resolver: &mut dns::Resolver, asked: Option<&Transmit>, rest: &[u8], now: std::time::Instant) {
    let Some(transmit) = asked else { return };
    let mut response = rest.to_vec();
    let question_end = names::question_end(&transmit.payload);
    if response.len() >= 12 {
        response[..2].copy_from_slice(&transmit.payload[..2]);
        response[2] |= 0x80;
        response[4..6].copy_from_slice(&[0, 1]);
        response.splice(12..12, transmit.payload[12..question_end].iter().copied());
    }
    resolver.handle_response(transmit.query, transmit.server, &response, now, WALL);
}

fn check(message: &[u8], what: &str) -> Message {
    Message::from_vec(message).unwrap_or_else(|error| panic!("{what} is no message: {error}: {message:?}"))
}

/// Whatever a server says, a client that asked for a granted name gets addresses of the pool for it.
fn check_mapped(answer: &[u8], resolver: &dns::Resolver) {
    let Ok(message) = Message::from_vec(answer) else { return };
    let Some(question) = message.queries.first() else { return };
    if !names::is_granted(&question.name().to_ascii()) {
        return;
    }
    let is_used = |record: &&Record| record.name == *question.name() && record.dns_class == DNSClass::IN;
    for record in message.answers.iter().filter(is_used) {
        let address = match &record.data {
            RData::A(address) => std::net::IpAddr::V4(address.0),
            RData::AAAA(address) => std::net::IpAddr::V6(address.0),
            _ => continue,
        };
        assert!(resolver.pool().contains(address), "{address} is no virtual address");
    }
}
