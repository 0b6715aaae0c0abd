//! WireGuard renews a session after two minutes of traffic (whitepaper, 5.4): nobody notices.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::connector::{BY_ADDRESS, Installation, Settings};
use crate::process::run;
use crate::servers;
use crate::suite::{SLEEPS, Test};
use crate::world::namespace::ResolvConf;
use crate::world::{CORP_ECHO, SHORT, World};

/// Time between two datagrams.
const PACE: Duration = Duration::from_millis(10);

/// How often the gateway is asked whether the session is another.
const LOOK: Duration = Duration::from_secs(1);

/// How much longer the traffic goes on in the new session.
const AFTERWARDS: Duration = Duration::from_secs(5);

/// How long the renewal may take to come.
const RENEWAL_LIMIT: Duration = Duration::from_secs(180);

/// How long the last answers may take on a busy machine.
const LAST: Duration = Duration::from_secs(5);

pub(crate) fn tests() -> Vec<Test> {
    vec![Test {
        name: "a_renewal_under_traffic_loses_nothing",
        needs: &[SLEEPS],
        run: a_renewal_under_traffic_loses_nothing,
    }]
}

fn a_renewal_under_traffic_loses_nothing() {
    let world = World::new(ResolvConf::File);
    servers::udp_echo(&world);
    let installation = Installation::new(&world, &Settings::new(&world, BY_ADDRESS));
    let mut connector = installation.start();
    let first = handshake(&world);
    let (sent, lost) = world.client.inside(|| talk(&world, &first));
    println!("{sent} datagrams there and back while the session was renewed, {} lost", lost.len());
    assert!(lost.is_empty(), "lost of {sent}: {lost:?}");
    installation.stop(&mut connector);
}

/// Sends numbers until a while after the gateway has a session that is not the `first`; how many, and which of them
/// did not come back.
fn talk(world: &World, first: &str) -> (u32, BTreeSet<u32>) {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.connect((CORP_ECHO, 7)).expect("a route");
    let (start, mut looked_at) = (Instant::now(), Instant::now());
    let (mut sent, mut lost, mut until) = (0, BTreeSet::new(), None);
    while until.is_none_or(|until| Instant::now() < until) {
        socket.send(&u32::to_le_bytes(sent)).expect("a datagram is sent");
        lost.insert(sent);
        sent += 1;
        take_answers(&socket, PACE, &mut lost);
        if until.is_none() && looked_at.elapsed() > LOOK {
            assert!(start.elapsed() < RENEWAL_LIMIT, "no renewal within {RENEWAL_LIMIT:?}");
            looked_at = Instant::now();
            until = (handshake(world) != first).then(|| Instant::now() + AFTERWARDS);
        }
    }
    let end = Instant::now() + LAST;
    while !lost.is_empty() && Instant::now() < end {
        take_answers(&socket, PACE, &mut lost);
    }
    (sent, lost)
}

/// Takes what came back off the list, for as long as that.
fn take_answers(socket: &UdpSocket, time: Duration, lost: &mut BTreeSet<u32>) {
    let end = Instant::now() + time;
    let mut buffer = [0; 4];
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        socket.set_read_timeout(Some(left)).expect("a timeout");
        if socket.recv(&mut buffer).is_ok_and(|length| length == buffer.len()) {
            lost.remove(&u32::from_le_bytes(buffer));
        }
    }
}

/// When the gateway's session was made, as its program says.
fn handshake(world: &World) -> String {
    run(world.gateway.command("wg").args(["show", "wg0", "latest-handshakes"]), SHORT).success()
}
