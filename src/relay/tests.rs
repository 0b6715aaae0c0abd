//! The relay between real sockets on loopback: ends, resets, slow sides, limits.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(30);
const LONG: Limits = Limits { idle: PATIENCE, half_closed: PATIENCE };

/// A client, a server, and the relay between them.
struct Between {
    client: TcpStream,
    server: TcpStream,
    relay: JoinHandle<Traffic>,
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

async fn between(early: Early, limits: Limits) -> Between {
    let ((client, near), (far, server)) = (pair().await, pair().await);
    Between { client, server, relay: tokio::spawn(relay(near, far, early, limits)) }
}

async fn ending(relay: JoinHandle<Traffic>) -> Traffic {
    timeout(PATIENCE, relay).await.expect("the relay ends").unwrap()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[tokio::test]
async fn each_side_may_end_first_and_the_other_goes_on() {
    let Between { mut client, mut server, relay } = between(Early::default(), LONG).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = String::new();
    server.read_to_string(&mut question).await.unwrap();
    assert_eq!(question, "question", "the server sees the end of the question");
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "answer");
    assert_eq!(ending(relay).await, Traffic { up: 8, down: 6, ending: Ending::Closed });
}

#[tokio::test]
async fn what_was_read_early_comes_first() {
    let early = Early { up: b"early".to_vec(), down: b"hello ".to_vec() };
    let Between { mut client, mut server, relay } = between(early, LONG).await;
    client.write_all(b" late").await.unwrap();
    server.write_all(b"there").await.unwrap();
    let (mut up, mut down) = ([0; 10], [0; 11]);
    server.read_exact(&mut up).await.unwrap();
    client.read_exact(&mut down).await.unwrap();
    assert_eq!((&up, &down), (b"early late", b"hello there"));
    drop((client, server));
    assert_eq!(ending(relay).await.up, 10);
}

#[tokio::test]
async fn a_slow_reader_slows_its_writer_and_loses_nothing() {
    let Between { mut client, mut server, relay } = between(Early::default(), LONG).await;
    let sent = pattern(24 << 20);
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        client.write_all(&sent).await.unwrap();
        client
    });
    // Nobody reads: the writer cannot get rid of all of it, however long it waits.
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    assert!(!writer.is_finished(), "24 MiB do not fit between the two");
    let mut received = vec![0; expected.len()];
    timeout(PATIENCE, server.read_exact(&mut received)).await.unwrap().unwrap();
    assert!(received == expected, "the octets are the same in the same order");
    drop((writer.await.unwrap(), server));
    assert_eq!(ending(relay).await.up, expected.len() as u64);
}

#[tokio::test]
async fn single_octets_pass_one_by_one() {
    let Between { mut client, mut server, relay } = between(Early::default(), LONG).await;
    client.set_nodelay(true).unwrap();
    for octet in 0..=255 {
        client.write_all(&[octet]).await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), octet);
    }
    drop((client, server));
    assert_eq!(ending(relay).await.up, 256);
}

#[tokio::test]
async fn a_reset_arrives_as_a_reset_at_the_other_side() {
    let Between { client, mut server, relay } = between(Early::default(), LONG).await;
    client.reset();
    let error = server.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(ending(relay).await.ending, Ending::NearReset);

    let Between { mut client, server, relay } = between(Early::default(), LONG).await;
    server.reset();
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(ending(relay).await.ending, Ending::FarReset);
}

#[tokio::test]
async fn what_rests_too_long_is_ended_and_what_moves_is_not() {
    let brief = Duration::from_millis(200);
    let limits = Limits { idle: brief, half_closed: PATIENCE };
    let Between { mut client, mut server, relay } = between(Early::default(), limits).await;
    for _ in 0..8 {
        client.write_all(b"x").await.unwrap();
        server.read_u8().await.unwrap();
        tokio::time::sleep(brief / 4).await;
    }
    let mut rest = Vec::new();
    server.read_to_end(&mut rest).await.unwrap();
    assert_eq!(ending(relay).await, Traffic { up: 8, down: 0, ending: Ending::Idle });
}

#[tokio::test]
async fn a_half_closed_flow_has_a_limit_of_its_own() {
    let limits = Limits { idle: PATIENCE, half_closed: Duration::from_millis(50) };
    let Between { mut client, server, relay } = between(Early::default(), limits).await;
    client.shutdown().await.unwrap();
    assert_eq!(ending(relay).await.ending, Ending::Idle);
    drop(server);
}
