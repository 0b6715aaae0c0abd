//! SOCKS as programs speak it: what is reached, what is refused, datagrams.

use std::net::UdpSocket;

use super::*;

/// A greeting and a request to connect.
fn request(host: &str, port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    [&[5, 1, 0, 5, 1, 0, 3, host.len() as u8], host.as_bytes(), &[high, low]].concat()
}

/// The code of the reply, and the connection.
fn ask(world: &World, octets: &[u8]) -> (u8, TcpStream) {
    let mut stream = connect(world.socks);
    stream.write_all(octets).unwrap();
    assert_eq!(read_exactly(&mut stream, 2), [5, 0]);
    let reply = read_exactly(&mut stream, 10);
    assert_eq!((reply[0], &reply[2..4]), (5, [0, 1].as_slice()));
    (reply[1], stream)
}

/// A flow that is open.
pub(super) fn open(world: &World, host: &str, port: u16) -> TcpStream {
    let (code, stream) = ask(world, &request(host, port));
    assert_eq!(code, 0);
    stream
}

fn code(world: &World, host: &str, port: u16) -> u8 {
    ask(world, &request(host, port)).0
}

#[test]
fn a_protected_name_is_reached_with_half_close_and_early_data() {
    let world = World::new();
    let port = wiki(echo);
    let early = [request("Wiki.Corp.Example.com", port).as_slice(), b"early "].concat();
    let (code, mut stream) = ask(&world, &early);
    assert_eq!(code, 0);
    stream.write_all(b"and late").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut stream), b"early and late");
}

#[test]
fn socks4a_reaches_a_protected_name() {
    let world = World::new();
    let [high, low] = wiki(echo).to_be_bytes();
    let mut stream = connect(world.socks);
    stream
        .write_all(&[&[4, 1, high, low, 0, 0, 0, 1], b"eve\0wiki.corp.example.com\0".as_slice()].concat())
        .unwrap();
    assert_eq!(read_exactly(&mut stream, 8), [0, 90, 0, 0, 0, 0, 0, 0]);
    stream.write_all(b"hello").unwrap();
    assert_eq!(read_exactly(&mut stream, 5), b"hello");
}

#[test]
fn each_failure_is_told_by_its_code() {
    let world = World::new();
    let closed = TcpListener::bind((WIKI, 0)).unwrap().local_addr().unwrap().port();
    assert_eq!(code(&world, "wiki.corp.example.com", REFUSED_PORT), 2, "policy");
    assert_eq!(code(&world, "example.org", 443), 2, "not protected");
    assert_eq!(code(&world, "nothing.corp.example.com", 443), 4, "no such name");
    assert_eq!(code(&world, "not a name", 443), 4);
    assert_eq!(code(&world, "wiki.corp.example.com", closed), 5, "nobody listens");
    world.switch.disconnect();
    assert_eq!(code(&world, "wiki.corp.example.com", 443), 3, "disconnected");
    assert_eq!(world.proxies.report().totals.refused, 2);
}

#[test]
fn this_machine_and_the_proxies_themselves_are_never_reached() {
    let world = World::with(Settings { allow_direct: true, ..settings() });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in [
        "127.0.0.1",
        "localhost",
        "::1",
        "0.0.0.0",
        "::ffff:127.0.0.1",
        "127.1",
        "2130706433",
        "169.254.169.254",
    ] {
        assert_eq!(code(&world, host, port), 2, "{host}");
        assert_eq!(code(&world, host, world.socks.port()), 2, "{host}, the proxy");
    }
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "nothing arrived");
}

#[test]
fn a_password_that_is_configured_is_asked_for() {
    let credentials = Credentials { username: "eve".to_owned(), password: Secret::new("open".to_owned()) };
    let world = World::with(Settings { credentials: Some(credentials), ..settings() });
    let port = wiki(echo);
    for (password, verdict) in [("open", 0), ("shut", 1)] {
        let mut stream = connect(world.socks);
        stream.write_all(&[5, 2, 0, 2]).unwrap();
        assert_eq!(read_exactly(&mut stream, 2), [5, 2]);
        stream.write_all(&[b"\x01\x03eve\x04", password.as_bytes()].concat()).unwrap();
        assert_eq!(read_exactly(&mut stream, 2), [1, verdict], "{password}");
        if verdict == 0 {
            stream.write_all(&request("wiki.corp.example.com", port)[3..]).unwrap();
            assert_eq!(read_exactly(&mut stream, 10)[1], 0);
        } else {
            assert_eq!(read_to_end(&mut stream), b"");
        }
    }
}

/// A datagram socket of a client, and the connection that keeps its association.
fn associate(world: &World) -> (UdpSocket, TcpStream) {
    let mut control = connect(world.socks);
    control.write_all(&[5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
    let reply = read_exactly(&mut control, 12);
    assert_eq!((reply[3], &reply[6..10]), (0, [127, 0, 0, 1].as_slice()));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(("127.0.0.1", u16::from_be_bytes([reply[10], reply[11]]))).unwrap();
    (socket, control)
}

/// A datagram to a name.
fn datagram(host: &str, port: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    [&[0, 0, 0, 3, host.len() as u8], host.as_bytes(), &[high, low], payload].concat()
}

/// A host that sends datagrams back; its port.
fn udp_echo() -> u16 {
    let socket = UdpSocket::bind((WIKI, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = vec![0; 70_000];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
    port
}

#[test]
fn datagrams_go_to_names_and_replies_carry_the_same_name() {
    let world = World::new();
    let (first, second) = (udp_echo(), udp_echo());
    let (socket, control) = associate(&world);
    let mut buffer = vec![0; 70_000];
    for (port, payload) in [(first, b"one".to_vec()), (second, b"two".to_vec()), (first, vec![7; 9_000])] {
        let sent = datagram("wiki.corp.example.com", port, &payload);
        socket.send(&sent).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        assert!(buffer[..length] == sent, "{port}: the reply has the name that was asked for");
    }
    drop(control);
    eventually(|| (world.proxies.report().connections == 0).then_some(()));
}

#[test]
fn fragments_refusals_and_strangers_get_nothing() {
    let world = World::new();
    let port = udp_echo();
    let (socket, _control) = associate(&world);
    let good = datagram("wiki.corp.example.com", port, b"good");
    let mut fragment = good.clone();
    fragment[2] = 1;
    for lost in [
        fragment,
        datagram("wiki.corp.example.com", REFUSED_PORT, b"refused"),
        datagram("nothing.corp.example.com", port, b"no such name"),
        datagram("127.0.0.1", port, b"this machine"),
        vec![0, 0],
    ] {
        socket.send(&lost).unwrap();
    }
    socket.send(&good).unwrap();
    let mut buffer = vec![0; 2_000];
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(buffer[..length], good, "only what may be sent comes back");
    // Another socket of the same machine is not the client.
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(&good, socket.peer_addr().unwrap()).unwrap();
    socket.send(&good).unwrap();
    assert_eq!(socket.recv(&mut buffer).unwrap(), good.len());
    stranger.set_nonblocking(true).unwrap();
    assert!(stranger.recv(&mut buffer).is_err());
}
