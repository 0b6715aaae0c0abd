//! The dialer against an engine that the test plays.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use netstack::counters::RefusalReason;
use netstack::policy::Prefix;
use tokio::sync::mpsc;

use super::*;

/// `*.corp.example.com` and 10.77.0.0/16 are protected; search domain `corp.example.com`.
fn catalogue() -> Arc<Catalogue> {
    let rule = dns::Rule {
        pattern: dns::Pattern::Wildcard("corp.example.com".parse().unwrap()),
        action: dns::Action::Grant { gateway: 0, grant: 0 },
    };
    let gateways = BTreeMap::from([(0, dns::GatewayZone { has_ipv4: true, ..Default::default() })]);
    Arc::new(Catalogue {
        zones: Arc::new(dns::Zones::new([rule], [], gateways).unwrap()),
        networks: vec![Prefix { address: "10.77.0.0".parse().unwrap(), length: 16 }],
        search: vec!["corp.example.com".to_owned()],
        applications: vec![ApplicationWords {
            name: "wiki".to_owned(),
            ports: vec!["tcp/443".to_owned()],
            withheld: None,
        }],
        is_everything: false,
    })
}

/// An answer to `query` with these addresses.
fn answer(query: &[u8], flags: u16, addresses: &[[u8; 4]]) -> Vec<u8> {
    let mut message = query[..query.len() - 11].to_vec();
    message[2..4].copy_from_slice(&(flags | 0x8000).to_be_bytes());
    (message[7], message[11]) = (addresses.len() as u8, 0);
    for address in addresses {
        message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        message.extend_from_slice(address);
    }
    message
}

/// A connected dialer; the engine knows `wiki.corp.example.com` at 100.64.0.5, cut over UDP, and allows port 443 there.
fn connected() -> (Dialer, Switch) {
    let (dialer, switch) = Dialer::new(catalogue());
    let (requests, mut queue) = mpsc::channel(REQUEST_QUEUE);
    switch.connect(Line { requests, way: Way::Kernel });
    tokio::spawn(async move {
        while let Some(request) = queue.recv().await {
            match request {
                Request::Query { message, is_whole, reply } => {
                    let is_known = message[12..].starts_with(b"\x04wiki\x04corp\x07example");
                    let is_ipv4 = message[message.len() - 14] == 1;
                    let response = match (is_known, is_ipv4, is_whole) {
                        (false, _, _) => answer(&message, 3, &[]),
                        (true, false, _) => answer(&message, 0, &[]),
                        (true, true, false) => answer(&message, 0x200, &[]),
                        (true, true, true) => answer(&message, 0, &[[100, 64, 0, 5]]),
                    };
                    reply.send(response).unwrap();
                }
                Request::Judge { destination, reply, .. } => {
                    let denied =
                        Denied::Refused { reason: RefusalReason::PortNotAllowed, applications: vec![0] };
                    reply.send(if destination.port() == 443 { Ok(()) } else { Err(denied) }).unwrap();
                }
                Request::Connect { .. } | Request::Bind { .. } => panic!("only a stack is asked that"),
            }
        }
    });
    (dialer, switch)
}

fn name(text: &str) -> Host {
    Host::Name(text.to_owned())
}

#[tokio::test]
async fn what_is_not_protected_is_left_alone_though_nothing_is_connected() {
    let (dialer, _switch) = Dialer::new(catalogue());
    for host in [name("example.org"), name("corp.example.com"), name("192.0.2.1"), name("not a name")] {
        assert_eq!(dialer.resolve(&host).await.unwrap(), Destination::Unprotected, "{host:?}");
    }
    let error = dialer.resolve(&name("wiki.corp.example.com")).await.unwrap_err();
    assert!(matches!(error, DialError::Disconnected));
}

#[tokio::test]
async fn protected_addresses_are_themselves_in_every_spelling() {
    let (dialer, _switch) = Dialer::new(catalogue());
    let real: IpAddr = "10.77.0.5".parse().unwrap();
    for host in [Host::Address(real), name("10.77.0.5"), Host::Address("::ffff:10.77.0.5".parse().unwrap())] {
        assert_eq!(dialer.resolve(&host).await.unwrap(), Destination::Protected(vec![real]), "{host:?}");
    }
    assert!(dialer.is_protected(real) && !dialer.is_protected("10.78.0.1".parse().unwrap()));
}

#[tokio::test]
async fn names_are_resolved_by_the_engine_also_short_ones_and_long_answers() {
    let (dialer, _switch) = connected();
    let found = Destination::Protected(vec!["100.64.0.5".parse().unwrap()]);
    for host in [name("wiki.corp.example.com"), name("WIKI.corp.example.com."), name("wiki")] {
        assert_eq!(dialer.resolve(&host).await.unwrap(), found, "{host:?}");
    }
    let error = dialer.resolve(&name("nothing.corp.example.com")).await.unwrap_err();
    assert!(matches!(error, DialError::NotFound));
}

#[tokio::test]
async fn a_refusal_names_the_application_and_the_rule() {
    let (dialer, _switch) = connected();
    let address = "100.64.0.5".parse().unwrap();
    assert!(dialer.judge(address, 443, Protocol::Tcp).await.is_ok());
    let Err(DialError::Refused(refusal)) = dialer.connect(&[address], 22).await else {
        panic!("not refused")
    };
    assert_eq!(refusal.rule, "`wiki` allows tcp/443, not tcp/22");
}

#[tokio::test]
async fn a_switch_that_is_off_leaves_protected_destinations_out_of_reach() {
    let (dialer, switch) = connected();
    switch.disconnect();
    let address = "100.64.0.5".parse().unwrap();
    assert!(matches!(dialer.judge(address, 443, Protocol::Tcp).await, Err(DialError::Disconnected)));
    assert!(matches!(dialer.bind_udp(false).await, Err(DialError::Disconnected)));
}
