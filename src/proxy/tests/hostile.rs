//! Clients that mean no good: they get the right answer, and nobody else suffers.

use std::io::BufReader;

use super::http::{mirror, read_message};
use super::*;

fn exchange(to: SocketAddr, octets: &[u8]) -> String {
    let mut stream = connect(to);
    let mut reader = stream.try_clone().unwrap();
    let reader = thread::spawn(move || read_to_end(&mut reader));
    let _ = stream.write_all(octets); // it may be cut off on the way
    String::from_utf8_lossy(&reader.join().unwrap()).into_owned()
}

#[test]
fn hosts_of_a_hundred_thousand_octets_are_refused() {
    let world = World::new();
    let long = "a".repeat(100_000);
    for request in [
        format!("GET http://{long}/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("CONNECT {long}:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
        // What `Host` says does not count, so this one may also be taken for a request to a host that is not there.
        format!("GET http://wiki.corp.example.com/ HTTP/1.1\r\nHost: {long}\r\nConnection: close\r\n\r\n"),
    ] {
        let answer = exchange(world.http, request.as_bytes());
        let status = answer.get(9..12).unwrap_or_default();
        assert!(["400", "414", "431", "502"].contains(&status), "{}: {answer:?}", &request[..40]);
    }
    let request = [b"\x04\x01\x00\x50\x00\x00\x00\x01\x00", long.as_bytes()].concat();
    let answer = exchange(world.socks, &request);
    assert!(answer.is_empty() || answer.as_bytes()[1] == 91, "{answer:?}");
}

#[test]
fn requests_that_two_servers_would_read_differently_are_refused_or_framed_anew() {
    let world = World::new();
    let (port, _) = mirror();
    let post = |headers: &str, body: &str| {
        let head = format!("POST http://wiki.corp.example.com:{port}/ HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        exchange(world.http, [head.as_bytes(), body.as_bytes()].concat().as_slice())
    };
    for (headers, body) in [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
        ("Content-Length: -1\r\n", ""),
        ("Transfer-Encoding: gzip\r\n", "hello"),
        ("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ("Content-Length : 5\r\n", "hello"),
    ] {
        let answer = post(headers, body);
        assert!(answer.starts_with("HTTP/1.1 400"), "{headers}: {answer}");
    }
    // A length beside chunks is dropped, nothing is left for a second request, and the connection ends.
    let smuggled = "0\r\n\r\nGET http://wiki.corp.example.com/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", smuggled);
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
    assert!(
        !answer.contains("smuggled") && !answer.to_ascii_lowercase().contains("content-length: 5"),
        "{answer}"
    );
    let answer = exchange(
        world.http,
        b"CONNECT wiki.corp.example.com:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[test]
fn single_octets_make_a_request_too() {
    let world = World::new();
    let (port, _) = mirror();
    let mut stream = connect(world.http);
    stream.set_nodelay(true).unwrap();
    let request = format!("GET http://wiki.corp.example.com:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n");
    for octet in request.as_bytes() {
        stream.write_all(&[*octet]).unwrap();
    }
    let (head, _) = read_message(&mut BufReader::new(stream));
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[test]
fn those_who_say_nothing_keep_nobody_out() {
    let world = World::new();
    let port = wiki(echo);
    let silent: Vec<TcpStream> = (0..300).flat_map(|_| [connect(world.socks), connect(world.http)]).collect();
    let mut flow = socks::open(&world, "wiki.corp.example.com", port);
    flow.write_all(b"hello").unwrap();
    assert_eq!(read_exactly(&mut flow, 5), b"hello");
    drop(silent);
    eventually(|| (world.proxies.report().connections == 1).then_some(()));
}

#[test]
fn a_reader_that_stops_stops_its_host() {
    let world = World::new();
    let port = wiki(|mut stream| while stream.write_all(&[7; 65_536]).is_ok() {});
    let mut flow = socks::open(&world, "wiki.corp.example.com", port);
    let mut other = socks::open(&world, "wiki.corp.example.com", wiki(echo));
    assert_eq!(read_exactly(&mut flow, 4), [7; 4]);
    // Nobody reads the first flow now; the second one is served all the same.
    for _ in 0..50 {
        other.write_all(b"tick").unwrap();
        assert_eq!(read_exactly(&mut other, 4), b"tick");
    }
    let rest = read_exactly(&mut flow, 32 << 20);
    assert!(rest.iter().all(|octet| *octet == 7), "and it goes on where it was");
}
