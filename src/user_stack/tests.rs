//! Two stacks that hand each other their frames.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc};

use super::*;

const CLIENT: &str = "100.64.0.1";
const SERVER: &str = "10.77.0.5:80";
/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client's and a server's stack; the server listens on [`SERVER`].
struct World {
    stacks: Arc<Mutex<[UserStack; 2]>>,
    accepted: mpsc::Receiver<Accepted>,
    task: tokio::task::JoinHandle<()>,
}

fn stack(address: &str, seed: u8) -> UserStack {
    let addresses = [Some(address.parse().unwrap()), None];
    let config = Config { seed: [seed; 32], mtu: 1_420, addresses, most_flows: 64 };
    UserStack::new(&config, Instant::now())
}

impl World {
    fn new() -> Self {
        let mut server = stack("10.77.0.5", 2);
        server.listen(SERVER.parse().unwrap());
        let stacks = Arc::new(Mutex::new([stack(CLIENT, 1), server]));
        let (sender, accepted) = mpsc::channel(64);
        let task = tokio::spawn(drive(stacks.clone(), sender));
        Self { stacks, accepted, task }
    }

    async fn connect(&self, remote: &str) -> io::Result<FlowStream> {
        let (reply, answer) = oneshot::channel();
        self.stacks.lock().await[0].connect(remote.parse().unwrap(), reply, Instant::now());
        self.stacks.lock().await[0].bell.ring(Caller::Port(SERVER.parse().unwrap()));
        tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap()
    }

    async fn pair(&mut self) -> (FlowStream, FlowStream) {
        let client = self.connect(SERVER).await.unwrap();
        let accepted = tokio::time::timeout(PATIENCE, self.accepted.recv()).await.unwrap().unwrap();
        assert_eq!(accepted.local, SERVER.parse::<SocketAddr>().unwrap());
        assert_eq!(accepted.remote.ip().to_string(), CLIENT);
        (client, accepted.stream)
    }

    async fn until_flows_are(&self, count: usize) {
        let all_gone = async {
            while self.stacks.lock().await[1].flows.len() != count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all_gone).await.unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Carries frames between the stacks until nothing is left, then sleeps until something is.
async fn drive(stacks: Arc<Mutex<[UserStack; 2]>>, accepted: mpsc::Sender<Accepted>) {
    loop {
        let mut guard = stacks.lock().await;
        let mut is_quiet = false;
        while !is_quiet {
            is_quiet = true;
            for (from, to) in [(0, 1), (1, 0)] {
                let now = Instant::now();
                guard[from].carry(now);
                while let Some(frame) = guard[from].poll_frame(now).map(|frame| frame.to_vec()) {
                    for part in in_parts(&frame) {
                        guard[to].handle_frame(&part, now);
                    }
                    is_quiet = false;
                }
            }
            while let Some(flow) = guard[1].poll_accepted() {
                accepted.send(flow).await.unwrap();
            }
        }
        let deadline = guard.iter().filter_map(UserStack::poll_timeout).min();
        let deadline = deadline.unwrap_or_else(|| Instant::now() + PATIENCE);
        drop(guard);
        let rung = async {
            poll_fn(|context| match stacks.try_lock() {
                Ok(guard) if guard.iter().any(|stack| stack.poll_bell(context).is_ready()) => Poll::Ready(()),
                Ok(_) => Poll::Pending,
                Err(_) => Poll::Ready(()), // the test has the lock for a moment
            })
            .await;
        };
        tokio::select! {
            () = rung => tokio::task::yield_now().await,
            () = tokio::time::sleep_until(deadline.into()) => {}
        }
    }
}

/// What a link of 1,420 bytes makes of a frame, the last part first; a packet that may not be cut is lost.
fn in_parts(frame: &[u8]) -> Vec<Vec<u8>> {
    const MTU: usize = 1_420;
    let packet = &frame[HEADER_LEN..];
    if packet.len() <= MTU {
        return vec![frame.to_vec()];
    }
    let mut parts = Vec::new();
    let facts = netstack::packet::facts::Facts::parse(packet).unwrap();
    if netstack::packet::parts::may_be_cut(packet) {
        let cut = |part: &[u8]| parts.insert(0, [&[0; HEADER_LEN], part].concat());
        assert!(netstack::packet::parts::cut(packet, &facts, MTU, 0, &mut [0; MTU], cut));
    }
    parts
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[tokio::test]
async fn bytes_arrive_whole_both_ways_at_once_and_the_ends_in_order() {
    let mut world = World::new();
    let (client, server) = world.pair().await;
    let sent = pattern(3 << 20);
    let both = [client, server].map(|mut stream| {
        let sent = sent.clone();
        tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(&mut stream);
            let write = async {
                writer.write_all(&sent).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let mut received = Vec::new();
            let (read, ()) = tokio::join!(reader.read_to_end(&mut received), write);
            read.unwrap();
            received
        })
    });
    for received in both {
        assert!(tokio::time::timeout(PATIENCE, received).await.unwrap().unwrap() == sent);
    }
    world.until_flows_are(0).await;
}

#[tokio::test]
async fn one_half_may_be_closed_long_before_the_other() {
    let mut world = World::new();
    let (mut client, mut server) = world.pair().await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = Vec::new();
    server.read_to_end(&mut question).await.unwrap();
    assert_eq!(question, b"question");
    assert_eq!(client.try_write(b"more").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    server.write_all(b"answer").await.unwrap();
    drop(server);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
}

#[tokio::test]
async fn resets_are_seen_as_such_whoever_sends_them() {
    let mut world = World::new();
    let (mut client, server) = world.pair().await;
    server.reset();
    assert_eq!(client.read(&mut [0; 9]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(client.try_write(b"x").unwrap_err().kind(), io::ErrorKind::ConnectionReset);

    let (mut client, server) = world.pair().await;
    client.write_all(b"unread").await.unwrap();
    poll_fn(|context| server.poll_read_ready(context)).await.unwrap();
    drop(server);
    assert_eq!(client.read(&mut [0; 9]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);

    let (mut client, server) = world.pair().await;
    drop(server);
    assert_eq!(client.read(&mut [0; 9]).await.unwrap(), 0, "an orderly end first");
    client.write_all(b"to nobody").await.unwrap();
    let error = loop {
        match client.try_write(b"x") {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_slow_reader_holds_the_writer_back_and_nothing_is_lost() {
    let mut world = World::new();
    let (client, mut server) = world.pair().await;
    let (sent, mut taken) = (pattern(8 << 20), 0);
    while let Ok(result) =
        tokio::time::timeout(Duration::from_millis(300), poll_fn(|context| client.poll_write_ready(context)))
            .await
    {
        result.unwrap();
        taken += client.try_write(&sent[taken..]).unwrap();
    }
    assert!(taken > 1 << 20 && taken < 4 << 20, "two rings and two buffers hold it: {taken}");
    let mut received = vec![0; taken];
    tokio::time::timeout(PATIENCE, server.read_exact(&mut received)).await.unwrap().unwrap();
    assert!(received == sent[..taken]);
    tokio::time::timeout(PATIENCE, poll_fn(|context| client.poll_write_ready(context)))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let world = World::new();
    assert_eq!(world.connect("[fd00::1]:80").await.unwrap_err().kind(), io::ErrorKind::NetworkUnreachable);
    let mut streams = Vec::new();
    let error = loop {
        match world.connect(SERVER).await {
            Ok(stream) => streams.push(stream),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), streams.len()), (io::ErrorKind::QuotaExceeded, 64));
}

#[tokio::test]
async fn streams_outlive_their_stack_and_say_so() {
    let mut world = World::new();
    let (mut client, _server) = world.pair().await;
    world.task.abort();
    *world.stacks.lock().await = [stack(CLIENT, 3), stack("10.77.0.5", 4)];
    assert!(client.read(&mut [0; 9]).await.is_err() && client.try_write(b"x").is_err());
}

#[tokio::test]
async fn datagrams_longer_than_a_link_carries_arrive_whole() {
    let world = World::new();
    let mut buffer = vec![0; 70_000];
    for is_ipv6 in [false, true] {
        let (client, server) = {
            let mut stacks = world.stacks.lock().await;
            stacks[0].set_addresses([CLIENT.parse().ok(), "fd00::1".parse().ok()]);
            stacks[1].set_addresses(["10.77.0.5".parse().ok(), "fd00::2".parse().ok()]);
            (stacks[0].bind_udp(is_ipv6).unwrap(), stacks[1].bind_udp(is_ipv6).unwrap())
        };
        let address = *world.stacks.lock().await[1].ports.only_socket();
        for length in [1_231, 1_233, 4_000, 65_487] {
            let payload = pattern(length);
            client.send_to(&payload, address).unwrap();
            let received = poll_fn(|context| server.poll_recv_from(context, &mut buffer));
            let (got, _) = tokio::time::timeout(PATIENCE, received).await.unwrap().unwrap();
            assert!(buffer[..got] == payload, "{length} bytes");
        }
        drop((client, server));
        while !world.stacks.lock().await[1].ports.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn datagrams_go_both_ways_and_their_ports_are_given_back() {
    let world = World::new();
    let (client, server) = {
        let mut stacks = world.stacks.lock().await;
        (stacks[0].bind_udp(false).unwrap(), stacks[1].bind_udp(false).unwrap())
    };
    let address = *world.stacks.lock().await[1].ports.only_socket();
    let mut buffer = vec![0; 70_000];
    for payload in [pattern(9), pattern(0), pattern(1_300)] {
        assert_eq!(client.send_to(&payload, address).unwrap(), payload.len());
        let received = poll_fn(|context| server.poll_recv_from(context, &mut buffer));
        let (length, from) = tokio::time::timeout(PATIENCE, received).await.unwrap().unwrap();
        assert_eq!((&buffer[..length], from.ip().to_string().as_str()), (&payload[..], CLIENT));
        server.send_to(b"echo", from).unwrap();
        let received = poll_fn(|context| client.poll_recv_from(context, &mut buffer));
        let (length, from) = tokio::time::timeout(PATIENCE, received).await.unwrap().unwrap();
        assert_eq!((&buffer[..length], from), (&b"echo"[..], address));
    }
    assert!(client.send_to(b"x", "[fd00::1]:9".parse().unwrap()).is_err());
    drop(client);
    let is_gone = async {
        while !world.stacks.lock().await[0].ports.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, is_gone).await.unwrap();
}
