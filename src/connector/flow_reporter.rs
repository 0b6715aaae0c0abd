//! Puts what happens to flows into events, beside the packet path.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use netstack::conntrack::FlowFacts;
use netstack::datapath::Refusal;
use netstack::packet::{TCP, UDP};
use tokio::sync::mpsc;

use super::engine::{FlowNews, NamedFlow};
use crate::dialer::words;
use crate::event::{Event, Events, Field, Kind};

/// Open flows whose user is remembered until they end.
const MOST_USERS: usize = 16_384;

/// A flow, while it is open.
type Key = (u8, SocketAddr, SocketAddr);

/// Who opened which flow, and what they are called.
#[derive(Default)]
struct Users {
    of_flows: BTreeMap<Key, u32>,
    names: BTreeMap<u32, Option<String>>,
}

/// Reports until the engine has ended and all is told. Blocks: for a thread of its own.
pub(super) fn report(mut news: mpsc::Receiver<FlowNews>, events: &Events) {
    let mut users = Users::default();
    while let Some(news) = news.blocking_recv() {
        events.emit(event(news, &mut users));
    }
}

fn event(news: FlowNews, users: &mut Users) -> Event {
    match news {
        FlowNews::Began(flow) => {
            let uid = users.learn(&flow.facts);
            users.name(of_flow(Kind::AccessAllowed, "a connection began", &flow), uid)
        }
        FlowNews::Ended(flow, why) => {
            let uid = users.forget(&flow.facts);
            users.name(ended(&flow, why), uid)
        }
        FlowNews::Refused { refusal, application, host, left_out } => {
            let event = refused(&refusal, left_out);
            let event = with(event, Field::Application, application.as_deref());
            with(event, Field::DestinationHost, host.as_deref())
        }
        FlowNews::LeftOut(count) => {
            let message = format!("{count} beginnings and ends of connections could not be told one by one");
            Event::new(Kind::EventsLost, message).with(Field::Count, count)
        }
    }
}

fn of_flow(kind: Kind, what: &str, flow: &NamedFlow) -> Event {
    let facts = &flow.facts;
    let name = flow.application.as_deref().unwrap_or("an application that is gone");
    let event =
        Event::new(kind, format!("{what}: {} of `{name}`", port(facts.protocol, facts.remote.port())))
            .with(Field::Protocol, protocol(facts.protocol))
            .with(Field::SourceAddress, facts.source.ip())
            .with(Field::SourcePort, facts.source.port())
            .with(Field::DestinationAddress, facts.remote.ip())
            .with(Field::DestinationPort, facts.remote.port());
    let event = with(event, Field::Application, flow.application.as_deref());
    let event = with(event, Field::Gateway, flow.gateway.as_deref());
    with(event, Field::DestinationHost, flow.host.as_deref())
}

fn ended(flow: &NamedFlow, why: &'static str) -> Event {
    let kind = if why == "revoked" { Kind::AccessRevoked } else { Kind::AccessEnded };
    let what = if why == "revoked" { "a connection lost its right" } else { "a connection ended" };
    let facts = &flow.facts;
    of_flow(kind, what, flow)
        .with(Field::Reason, why)
        .with(Field::BytesSent, facts.sent)
        .with(Field::BytesReceived, facts.received)
        .with(Field::DurationMs, facts.last_seen.saturating_duration_since(facts.began_at).as_millis())
}

fn refused(refusal: &Refusal, left_out: u64) -> Event {
    let message = words(refusal.reason);
    let event = Event::new(Kind::AccessRefused, message)
        .with(Field::Reason, refusal.reason.code())
        .with(Field::Protocol, protocol(refusal.protocol))
        .with(Field::DestinationAddress, refusal.destination)
        .with(Field::DestinationPort, refusal.port);
    if left_out == 0 { event } else { event.with(Field::Count, left_out + 1) }
}

fn with(event: Event, field: Field, value: Option<&str>) -> Event {
    match value {
        Some(value) => event.with(field, value),
        None => event,
    }
}

pub(super) fn protocol(number: u8) -> String {
    match number {
        TCP => "tcp".to_owned(),
        UDP => "udp".to_owned(),
        1 | 58 => "icmp".to_owned(), // IANA: ICMP and ICMPv6
        other => other.to_string(),
    }
}

fn port(number: u8, port: u16) -> String {
    match number {
        TCP | UDP => format!("{}/{port}", protocol(number)),
        _ => protocol(number),
    }
}

impl Users {
    /// Asks the kernel whose the socket is. Sockets of root are not told apart from our own, which dial for others.
    fn learn(&mut self, facts: &FlowFacts) -> Option<u32> {
        let owner = match facts.protocol {
            TCP => platform::socket_owner::tcp_owner(facts.source, facts.destination),
            UDP => platform::socket_owner::udp_owner(facts.source),
            _ => return None,
        };
        let uid = owner.ok()?.filter(|uid| *uid != 0)?;
        if self.of_flows.len() < MOST_USERS {
            self.of_flows.insert(key(facts), uid);
        }
        Some(uid)
    }

    fn forget(&mut self, facts: &FlowFacts) -> Option<u32> {
        self.of_flows.remove(&key(facts))
    }

    /// The event with who it was, if that is known.
    fn name(&mut self, event: Event, uid: Option<u32>) -> Event {
        let Some(uid) = uid else { return event };
        // a device has few users; one that is renamed is known by the new name after the next connect
        let name =
            self.names.entry(uid).or_insert_with(|| platform::privileges::user_name(uid).ok().flatten());
        with(event.with(Field::Uid, uid), Field::User, name.as_deref())
    }
}

fn key(facts: &FlowFacts) -> Key {
    (facts.protocol, facts.source, facts.destination)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn flow() -> NamedFlow {
        let now = Instant::now();
        let facts = FlowFacts {
            protocol: TCP,
            source: "100.64.0.1:4000".parse().unwrap(),
            destination: "100.64.0.20:443".parse().unwrap(),
            remote: "10.0.0.9:443".parse().unwrap(),
            gateway: 0,
            application: 0,
            began_at: now,
            last_seen: now + Duration::from_millis(1_500),
            sent: 100,
            received: 3_007,
        };
        let name = |text: &str| Some(text.into());
        NamedFlow {
            facts,
            application: name("wiki"),
            gateway: name("office"),
            host: name("wiki.corp.example"),
        }
    }

    #[test]
    fn an_end_says_how_much_how_long_and_why() {
        let event = event(FlowNews::Ended(flow(), "closed"), &mut Users::default());
        assert_eq!(event.kind, Kind::AccessEnded);
        assert_eq!(event.message, "a connection ended: tcp/443 of `wiki`");
        for (field, value) in [
            (Field::Application, "wiki"),
            (Field::Gateway, "office"),
            (Field::DestinationHost, "wiki.corp.example"),
            (Field::DestinationAddress, "10.0.0.9"),
            (Field::BytesReceived, "3007"),
            (Field::DurationMs, "1500"),
            (Field::Reason, "closed"),
        ] {
            assert_eq!(event.field(field), Some(value), "{field:?}");
        }
    }

    #[test]
    fn a_right_that_was_taken_away_is_a_kind_of_its_own() {
        let event = event(FlowNews::Ended(flow(), "revoked"), &mut Users::default());
        assert_eq!(event.kind, Kind::AccessRevoked);
    }
}
