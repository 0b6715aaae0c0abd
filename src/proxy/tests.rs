//! The proxies with real sockets on loopback, and an engine that the test plays.

mod hostile;
mod http;
mod socks;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use netstack::counters::RefusalReason;
use netstack::policy::Prefix;
use tokio::sync::mpsc;

use super::*;
use crate::access::Access;
use crate::config::Secret;
use crate::dialer::{ApplicationWords, Catalogue, Denied, Dialer, Line, Request, Switch, Way};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where `wiki.corp.example.com` is.
const WIKI: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 5);
/// A port that policy refuses, everywhere.
const REFUSED_PORT: u16 = 22;

/// Proxies on free ports, and an engine behind them.
struct World {
    proxies: Proxies,
    switch: Switch,
    socks: SocketAddr,
    http: SocketAddr,
}

impl World {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: Settings) -> Self {
        let (dialer, switch) = Dialer::new(catalogue());
        switch.connect(Line { requests: engine(), way: Way::Kernel });
        let proxies = Proxies::start(settings, dialer).unwrap();
        let address = |kind| {
            eventually(|| match proxies.report().ports.get(&kind) {
                Some(State::Listening(address)) => Some(*address),
                Some(State::Failed { .. }) | None => None,
            })
        };
        let (socks, http) = (address(Kind::Socks), address(Kind::Http));
        Self { proxies, switch, socks, http }
    }
}

fn settings() -> Settings {
    Settings {
        socks_port: Some(0),
        http_port: Some(0),
        pac_port: 0,
        serves_pac: true,
        allow_direct: false,
        exclude: Vec::new(),
        credentials: None,
        access: Access::new(0, None),
        rules: pac::Rules::default(),
    }
}

/// `*.corp.example.com` is protected.
fn catalogue() -> Arc<Catalogue> {
    let rule = dns::Rule {
        pattern: dns::Pattern::Wildcard("corp.example.com".parse().unwrap()),
        action: dns::Action::Grant { gateway: 0, grant: 0 },
    };
    let gateways = BTreeMap::from([(0, dns::GatewayZone { has_ipv4: true, ..Default::default() })]);
    Arc::new(Catalogue {
        zones: Arc::new(dns::Zones::new([rule], [], gateways).unwrap()),
        networks: vec![Prefix { address: WIKI.into(), length: 32 }],
        search: Vec::new(),
        applications: vec![ApplicationWords {
            name: "wiki".to_owned(),
            ports: vec!["tcp/443".to_owned()],
            withheld: None,
        }],
        ..Catalogue::default()
    })
}

/// Knows `wiki.corp.example.com`, and allows every port there but one.
fn engine() -> mpsc::Sender<Request> {
    let (requests, mut queue) = mpsc::channel(16);
    thread::spawn(move || {
        while let Some(request) = queue.blocking_recv() {
            match request {
                Request::Query { message, reply, .. } => drop(reply.send(resolve(&message))),
                Request::Judge { destination, reply, .. } => {
                    let denied =
                        Denied::Refused { reason: RefusalReason::PortNotAllowed, applications: vec![0] };
                    let verdict = if destination.port() == REFUSED_PORT { Err(denied) } else { Ok(()) };
                    drop(reply.send(verdict));
                }
                Request::Connect { .. } | Request::Bind { .. } => panic!("only a stack is asked that"),
            }
        }
    });
    requests
}

/// The answer of the company's server: one address of IPv4 for the wiki, no such name for everything else.
fn resolve(query: &[u8]) -> Vec<u8> {
    let is_wiki = query[12..].starts_with(b"\x04wiki\x04corp\x07example\x03com\x00");
    let is_ipv4 = is_wiki && query[12 + 23..].starts_with(&[0, 1]);
    let end = 12 + query[12..].iter().position(|octet| *octet == 0).unwrap() + 5;
    let mut answer = query[..end].to_vec();
    answer[2..4].copy_from_slice(&[0x81, if is_wiki { 0x80 } else { 0x83 }]);
    answer[6..12].copy_from_slice(&[0, u8::from(is_ipv4), 0, 0, 0, 0]);
    if is_ipv4 {
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend_from_slice(&WIKI.octets());
    }
    answer
}

/// A server at the wiki's address that does `serve` with each connection; its port.
fn wiki(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind((WIKI, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    port
}

/// Sends everything back, and closes after the client did.
fn echo(mut stream: TcpStream) {
    let mut reader = stream.try_clone().unwrap();
    let _ = std::io::copy(&mut reader, &mut stream); // a test may hang up
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn read_exactly(stream: &mut impl Read, length: usize) -> Vec<u8> {
    let mut octets = vec![0; length];
    stream.read_exact(&mut octets).unwrap();
    octets
}

fn read_to_end(stream: &mut impl Read) -> Vec<u8> {
    let mut octets = Vec::new();
    // A connection that was closed with something unread ends in a reset, after all that was sent.
    let _ = stream.read_to_end(&mut octets);
    octets
}

fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "it did not happen");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_port_that_is_taken_is_told_and_the_others_are_served() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().port();
    let (dialer, _switch) = Dialer::new(catalogue());
    let proxies = Proxies::start(Settings { socks_port: Some(taken), ..settings() }, dialer).unwrap();
    let ports = eventually(|| Some(proxies.report().ports).filter(|ports| ports.len() == 3));
    assert!(matches!(&ports[&Kind::Socks], State::Failed { port, .. } if *port == taken), "{ports:?}");
    assert!(matches!(ports[&Kind::Http], State::Listening(_)), "{ports:?}");
}

#[test]
fn other_ports_take_effect_and_connections_go_on() {
    let world = World::new();
    let port = wiki(echo);
    let mut flow = socks::open(&world, "wiki.corp.example.com", port);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    world.proxies.apply(Settings { socks_port: Some(free), http_port: None, ..settings() });
    let ports = eventually(|| {
        let ports = world.proxies.report().ports;
        let is_moved = matches!(ports.get(&Kind::Socks), Some(State::Listening(at)) if at.port() == free);
        (is_moved && !ports.contains_key(&Kind::Http)).then_some(ports)
    });
    assert!(ports.contains_key(&Kind::Pac), "{ports:?}");
    assert!(TcpStream::connect(world.http).is_err(), "the port is free again");
    flow.write_all(b"still").unwrap();
    assert_eq!(read_exactly(&mut flow, 5), b"still");
    drop(world);
    assert_eq!(read_to_end(&mut flow), b"", "the end of the proxies is the end of the flow");
}

#[test]
fn nothing_is_counted_that_is_gone() {
    let world = World::new();
    let port = wiki(echo);
    let flows: Vec<TcpStream> = (0..5).map(|_| socks::open(&world, "wiki.corp.example.com", port)).collect();
    assert_eq!(world.proxies.report().connections, 5);
    drop(flows);
    eventually(|| (world.proxies.report().connections == 0).then_some(()));
    assert_eq!(world.proxies.report().totals, Totals { accepted: 5, ..Totals::default() });
}
