//! Several addresses of one peer, behind which servers with the same key come and go.

use super::super::race::patience;
use super::*;

/// A client and servers with one key, each at its own port; those that are down swallow what they get.
struct Servers {
    now: Instant,
    client: Peer,
    batch: SendBatch,
    servers: Vec<(u16, Peer, bool)>,
    /// Initiations that arrived, by port, whether the server is up or not.
    initiations: Vec<u16>,
}

impl Servers {
    fn new(ports: &[u16], can_move: bool) -> Self {
        let now = crate::packets_for_tests::start();
        let (own, other) = ([3; 32], [5; 32]);
        let config = |own, other, endpoints| PeerConfig {
            private_key: own,
            public_key: public_key(other),
            preshared_key: None,
            endpoints,
            can_move,
            keepalive: 0,
        };
        let endpoints = ports.iter().map(|port| address(*port)).collect();
        let server = |port: &u16| (*port, Peer::new(config(other, own, vec![]), 2, now), true);
        Self {
            now,
            client: Peer::new(config(own, other, endpoints), 1, now),
            batch: SendBatch::new(1),
            servers: ports.iter().map(server).collect(),
            initiations: Vec::new(),
        }
    }

    fn connected(ports: &[u16]) -> Self {
        let mut world = Self::new(ports, false);
        world.client.connect(&mut world.batch, world.now);
        world.pump();
        assert_eq!(world.client.endpoint(), Some(address(ports[0])));
        world.initiations.clear();
        world
    }

    /// Carries datagrams both ways until all is said; how many packets came out at the server of each port.
    fn pump(&mut self) -> Vec<u16> {
        let (mut packets, mut buffer) = (Vec::new(), [0; 2048]);
        loop {
            let mut sent = Vec::new();
            while let Some(transmit) = self.batch.pop() {
                sent.push((transmit.destination.port(), transmit.contents.to_vec()));
            }
            if sent.is_empty() {
                return packets;
            }
            for (to, datagram) in sent {
                if message::is_initiation(&datagram) {
                    self.initiations.push(to);
                }
                let up = self.servers.iter_mut().find(|(port, _, is_up)| *port == to && *is_up);
                let Some((port, server, _)) = up else { continue };
                let mut answers = SendBatch::new(1);
                if let Opened::Packet(_) =
                    server.open(address(1), &datagram, &mut buffer, &mut answers, self.now)
                {
                    packets.push(*port);
                }
                for answer in drain(&mut answers) {
                    self.client.open(address(*port), &answer, &mut buffer, &mut self.batch, self.now);
                }
            }
        }
    }

    fn set_up(&mut self, port: u16, is_up: bool) {
        let server = self.servers.iter_mut().find(|server| server.0 == port).unwrap();
        server.2 = is_up;
    }

    fn server(&mut self, port: u16) -> &mut Peer {
        &mut self.servers.iter_mut().find(|server| server.0 == port).unwrap().1
    }

    /// The client sends a packet that wants an answer; at which server it came out.
    fn send(&mut self) -> Vec<u16> {
        self.client.expect(Expectation::Sure, self.now);
        assert!(self.client.seal(&PACKET, &mut self.batch, self.now));
        self.pump()
    }

    /// The server of that port sends a packet.
    fn hear_from(&mut self, port: u16) {
        let (mut batch, now) = (SendBatch::new(1), self.now);
        assert!(self.server(port).seal(&PACKET, &mut batch, now));
        for datagram in drain(&mut batch) {
            self.client.open(address(port), &datagram, &mut [0; 2048], &mut self.batch, now);
        }
        self.pump();
    }

    /// Lets the deadlines up to `limit` from now pass; when nothing more is due, how long that took.
    fn wait(&mut self, limit: Duration) -> Duration {
        let from = self.now;
        while let Some(due) = self.client.poll_timeout().filter(|due| *due <= from + limit) {
            assert!(due > self.now, "a deadline that does not pass");
            self.now = due;
            self.client.advance(&mut self.batch, due);
            self.pump();
        }
        self.now - from
    }
}

#[test]
fn a_silent_first_address_is_passed_over_within_a_moment() {
    let mut world = Servers::new(&[11, 12, 13], false);
    world.set_up(11, false);
    world.client.connect(&mut world.batch, world.now);
    assert_eq!((world.pump(), world.initiations.as_slice()), (vec![], [11].as_slice()));
    assert_eq!(world.wait(Duration::from_millis(400)), patience(None));
    assert_eq!(world.initiations, [11, 12, 13]);
    assert_eq!(world.client.endpoint(), Some(address(12)), "the first that answered, not the last");
    assert_eq!(world.send(), [12]);
    assert_eq!(world.client.endpoints().len(), 3, "the silent one may come back");
}

#[test]
fn a_prompt_first_address_keeps_the_others_out() {
    let mut world = Servers::connected(&[11, 12]);
    assert_eq!(world.wait(Duration::from_secs(8)), Duration::ZERO);
    assert!(world.initiations.is_empty());
    assert_eq!(world.client.poll_timeout(), None, "an idle session wants no wake-up");
}

#[test]
fn a_gateway_that_dies_under_load_is_replaced_within_a_second() {
    let mut world = Servers::connected(&[11, 12]);
    assert_eq!(world.send(), [11]);
    world.hear_from(11);
    world.set_up(11, false);
    assert!(world.send().is_empty());
    assert!(world.wait(Duration::from_secs(1)) < Duration::from_millis(950));
    assert_eq!(world.initiations, [11, 11, 12][1..], "the one in use is asked first");
    assert_eq!(world.client.endpoint(), Some(address(12)));
    assert_eq!(world.send(), [12]);
    assert!(world.client.stats().unanswered_at.is_some());
}

#[test]
fn the_sixth_failover_is_as_quick_as_the_first() {
    let mut world = Servers::connected(&[11, 12]);
    for n in 0..6 {
        let (present, other) = if n % 2 == 0 { (11, 12) } else { (12, 11) };
        assert_eq!(world.send(), [present]);
        world.hear_from(present);
        world.set_up(present, false);
        world.send();
        let gap = world.wait(Duration::from_secs(1));
        assert_eq!((gap, world.client.endpoint()), (patience(None) * 3, Some(address(other))));
        assert_eq!(world.client.stats().round_trip, Some(Duration::ZERO), "of the one that answered");
        world.set_up(present, true);
    }
}

/// Connected by the second address, since the first is down.
fn at_the_second() -> Servers {
    let mut world = Servers::connected(&[11, 12, 13]);
    world.set_up(11, false);
    world.client.reconnect(&mut world.batch, world.now);
    world.pump();
    world.wait(Duration::from_secs(1));
    assert_eq!(world.client.endpoint(), Some(address(12)));
    world.initiations.clear();
    world
}

/// A packet goes and another one comes, once a second; at which servers they came out.
fn talk(world: &mut Servers, seconds: u32) -> Vec<u16> {
    let mut arrived = Vec::new();
    for _ in 0..seconds {
        world.now += Duration::from_secs(1);
        let at = world.send();
        assert_eq!(at.len(), 1, "lost after {arrived:?}");
        world.hear_from(at[0]);
        arrived.extend(at);
        world.wait(Duration::from_millis(900));
    }
    arrived
}

#[test]
fn a_first_address_that_answers_again_is_returned_to_and_nothing_is_lost() {
    let mut world = at_the_second();
    world.set_up(11, true);
    let arrived = talk(&mut world, 200);
    let moved = arrived.iter().position(|port| *port == 11).expect("a return");
    assert!((100..120).contains(&moved), "after {moved} s");
    assert!(arrived[moved..].iter().all(|port| *port == 11));
    assert_eq!(world.initiations, [11], "nobody else was asked");
    assert_eq!(world.client.stats().round_trip, Some(Duration::ZERO), "of the first");
}

#[test]
fn a_first_address_that_stays_silent_is_asked_at_each_renewal_and_nothing_is_lost() {
    let mut world = at_the_second();
    let arrived = talk(&mut world, 500);
    assert!(arrived.iter().all(|port| *port == 12));
    assert_eq!(world.initiations, [11, 12].repeat(4), "and the third never");
    assert!(world.client.stats().trying_since.is_none());
}

#[test]
fn an_idle_peer_does_not_ask_for_the_way_back() {
    let mut world = at_the_second();
    world.set_up(11, true);
    assert_eq!(world.wait(Duration::from_secs(3600)), Duration::ZERO);
    assert!(world.initiations.is_empty());
    world.now += Duration::from_secs(3600);
    talk(&mut world, 2);
    assert_eq!(world.client.endpoint(), Some(address(11)), "with the first traffic");
}

#[test]
fn a_server_that_dies_while_the_first_is_asked_is_replaced_by_the_third() {
    let mut world = at_the_second();
    talk(&mut world, 114);
    world.set_up(12, false);
    world.now += Duration::from_secs(2);
    world.send();
    world.wait(Duration::from_secs(8));
    assert_eq!(world.client.endpoint(), Some(address(13)));
}

#[test]
fn a_renewal_loses_nothing_that_is_under_way() {
    let mut world = Servers::connected(&[11]);
    let (mut out, mut answers, mut buffer) = (SendBatch::new(1), SendBatch::new(1), [0; 2048]);
    let now = world.now;
    assert!(world.client.seal(&PACKET, &mut out, now));
    assert!(world.server(11).seal(&PACKET, &mut answers, now));
    let (to_server, to_client) = (drain(&mut out), drain(&mut answers));
    world.client.connect(&mut world.batch, now);
    world.pump();
    assert_eq!(world.initiations, [11]);
    assert_eq!(world.send(), [11], "in the new session");
    assert_eq!(
        world.server(11).open(address(1), &to_server[0], &mut buffer, &mut answers, now),
        Opened::Packet(20)
    );
    assert_eq!(
        world.client.open(address(11), &to_client[0], &mut buffer, &mut out, now),
        Opened::Packet(20),
        "of the former"
    );
}

#[test]
fn one_way_traffic_moves_nothing_and_asks_ever_more_rarely() {
    let mut world = Servers::connected(&[11, 12]);
    for _ in 0..120 {
        world.send();
        world.wait(Duration::from_millis(250));
        world.now += Duration::from_millis(250);
    }
    assert!(world.initiations.iter().all(|port| *port == 11), "{:?}", world.initiations);
    assert!((2..=7).contains(&world.initiations.len()), "{} in a minute", world.initiations.len());
}

#[test]
fn an_everyday_renewal_is_asked_of_the_server_in_use_only() {
    let mut world = Servers::connected(&[11, 12]);
    world.set_up(11, false);
    world.client.connect(&mut world.batch, world.now);
    world.pump();
    world.wait(Duration::from_secs(4));
    assert_eq!(world.initiations, [11], "nobody waits for it: the present session is good");
    world.send();
    world.wait(Duration::from_secs(1));
    assert_eq!(world.client.endpoint(), Some(address(12)), "now somebody does");
}

#[test]
fn the_same_addresses_again_are_no_news() {
    let mut world = Servers::new(&[11, 12], false);
    world.set_up(11, false);
    world.set_up(12, false);
    world.client.connect(&mut world.batch, world.now);
    world.pump();
    world.wait(Duration::from_millis(400));
    assert_eq!(world.initiations, [11, 12]);
    world.client.set_endpoints(vec![address(12), address(11)], &mut world.batch, world.now);
    world.pump();
    assert_eq!(world.initiations, [11, 12]);
}

#[test]
fn one_address_that_cannot_move_raises_no_doubt() {
    let mut world = Servers::connected(&[11]);
    world.set_up(11, false);
    world.send();
    assert_eq!(world.wait(Duration::from_secs(14)), Duration::ZERO);
    assert!(world.initiations.is_empty());
}

#[test]
fn an_address_that_can_move_is_looked_up_again_and_followed() {
    let mut world = Servers::new(&[11, 12], true);
    world.client = Servers::new(&[11], true).client;
    world.client.connect(&mut world.batch, world.now);
    world.pump();
    world.set_up(11, false);
    world.send();
    world.wait(Duration::from_secs(1));
    assert!(world.client.stats().unanswered_at.is_some(), "somebody should look it up");
    world.client.set_endpoints(vec![address(12)], &mut world.batch, world.now);
    world.pump();
    assert_eq!(world.client.endpoint(), Some(address(12)));
    assert_eq!(world.send(), [12]);
}

#[test]
fn a_peer_without_an_address_waits_for_one_and_is_lost_meanwhile() {
    let mut world = Servers::new(&[11], true);
    world.client = Servers::new(&[], true).client;
    world.client.connect(&mut world.batch, world.now);
    world.send();
    assert!(world.initiations.is_empty());
    world.now += LOST_AFTER;
    assert!(world.client.is_lost(world.now));
    world.client.set_endpoints(vec![address(11)], &mut world.batch, world.now);
    assert_eq!(world.pump(), [11], "the packet that waited");
    assert!(!world.client.is_lost(world.now));
}

#[test]
fn other_addresses_leave_a_peer_that_answers_where_it_is() {
    let mut world = Servers::connected(&[11]);
    world.client.set_endpoints(vec![address(12)], &mut world.batch, world.now);
    world.pump();
    assert!(world.initiations.is_empty());
    assert_eq!(world.send(), [11]);
}

#[test]
fn packets_of_an_earlier_session_do_not_bring_its_server_back() {
    let mut world = Servers::connected(&[11, 12]);
    world.send();
    world.set_up(11, false);
    world.send();
    world.wait(Duration::from_secs(1));
    assert_eq!(world.client.endpoint(), Some(address(12)));
    world.set_up(11, true);
    world.hear_from(11);
    assert_eq!(world.client.endpoint(), Some(address(12)), "its session is not the newest");
    assert_eq!(world.send(), [12]);
}

#[test]
fn a_rival_that_begins_a_handshake_is_left_unanswered_while_the_other_answers() {
    let mut world = Servers::connected(&[11, 12]);
    world.send();
    let mut batch = SendBatch::new(1);
    let now = world.now;
    world.server(12).set_endpoints(vec![address(1)], &mut batch, now);
    world.server(12).connect(&mut batch, now);
    let initiation = drain(&mut batch).remove(0);
    let (mut buffer, mut out) = ([0; 2048], SendBatch::new(1));
    assert_eq!(world.client.open(address(12), &initiation, &mut buffer, &mut out, now), Opened::Bad);
    assert_eq!(world.client.endpoint(), Some(address(11)));
    // the same from an address that is nobody's else: a gateway that roams
    assert_eq!(world.client.open(address(99), &initiation, &mut buffer, &mut out, now), Opened::Nothing);
    assert_eq!(world.client.endpoint(), Some(address(99)));
}

#[test]
fn a_reconnect_makes_a_new_session_at_once_and_repeats_itself_in_haste() {
    let mut world = Servers::connected(&[11]);
    world.client.reconnect(&mut world.batch, world.now);
    world.pump();
    assert_eq!(world.initiations, [11], "though the session is young");
    assert!(world.client.stats().trying_since.is_none());
    world.set_up(11, false);
    world.client.reconnect(&mut world.batch, world.now);
    world.pump();
    world.wait(Duration::from_secs(4));
    assert_eq!(world.initiations, [11; 5], "four in three seconds");
    world.set_up(11, true);
    world.client.reconnect(&mut world.batch, world.now);
    world.pump();
    assert_eq!(world.send(), [11]);
}

#[test]
fn a_reconnect_gives_a_lost_peer_another_chance() {
    let mut world = Servers::connected(&[11]);
    world.set_up(11, false);
    world.client.reconnect(&mut world.batch, world.now);
    world.now += LOST_AFTER;
    assert!(world.client.is_lost(world.now));
    world.client.reconnect(&mut world.batch, world.now);
    assert!(!world.client.is_lost(world.now));
    assert!(world.client.is_lost(world.now + LOST_AFTER));
}

#[test]
fn more_addresses_than_are_kept_are_left_out() {
    let ports: Vec<u16> = (100..150).collect();
    let mut world = Servers::new(&ports, false);
    for port in ports {
        world.set_up(port, false);
    }
    world.client.connect(&mut world.batch, world.now);
    world.pump();
    world.wait(Duration::from_millis(400));
    assert_eq!(world.initiations.len(), 16);
}
