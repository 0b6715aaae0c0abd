//! HTTP as programs speak it to a proxy.

use std::io::{BufRead, BufReader};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Sends `request` and reads everything up to the end of the connection.
fn exchange(world: &World, request: &str) -> String {
    let mut stream = connect(world.http);
    stream.write_all(request.as_bytes()).unwrap();
    String::from_utf8_lossy(&read_to_end(&mut stream)).into_owned()
}

/// The head of a message and its body by `Content-Length`.
pub(super) fn read_message(reader: &mut impl BufRead) -> (String, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "an end within {head:?}");
    }
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let body = read_exactly(reader, length.unwrap_or(0));
    (head, String::from_utf8(body).unwrap())
}

/// A web server that answers each request with the request itself; its port, and how many connections came.
pub(super) fn mirror() -> (u16, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let port = wiki(move |mut stream| {
        counter.fetch_add(1, Ordering::SeqCst);
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while reader.fill_buf().is_ok_and(|octets| !octets.is_empty()) {
            let (head, body) = read_message(&mut reader);
            let seen = format!("{head}{body}");
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nKeep-Alive: timeout=9\r\nX-Seen: Yes\r\n\r\n{seen}",
                seen.len()
            );
            let _ = stream.write_all(answer.as_bytes()); // to a request that was none nobody listens
        }
    });
    (port, connections)
}

#[test]
fn connect_opens_a_tunnel_and_early_data_is_kept() {
    let world = World::new();
    let port = wiki(echo);
    let mut stream = connect(world.http);
    write!(stream, "CONNECT wiki.corp.example.com:{port} HTTP/1.1\r\nHost: x\r\n\r\nearly ").unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (head, _) = read_message(&mut reader);
    assert!(head.starts_with("HTTP/1.1 200 Connection established\r\n"), "{head}");
    assert!(!head.to_ascii_lowercase().contains("content-length"), "{head}");
    stream.write_all(b"and late").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut reader), b"early and late");
}

#[test]
fn plain_requests_are_forwarded_on_one_connection_to_the_host() {
    let world = World::new();
    let (port, connections) = mirror();
    let mut stream = connect(world.http);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for (at, (method, framing, body)) in [
        ("GET", "", ""),
        ("POST", "Content-Length: 5\r\n", "hello"),
        ("GET", "Proxy-Connection: keep-alive\r\nConnection: X-Own\r\nX-Own: 1\r\n", ""),
    ]
    .into_iter()
    .enumerate()
    {
        write!(stream, "{method} http://wiki.corp.example.com:{port}/page?{at} HTTP/1.1\r\nHost: evil.example\r\nX-CamelCase: 1\r\n{framing}\r\n{body}").unwrap();
        let (head, seen) = read_message(&mut reader);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("X-Seen: Yes\r\n"), "{head}");
        assert!(!head.contains("Keep-Alive"), "{head}");
        assert!(seen.starts_with(&format!("{method} /page?{at} HTTP/1.1\r\n")), "{seen}");
        assert!(
            seen.to_ascii_lowercase().contains(&format!("host: wiki.corp.example.com:{port}\r\n")),
            "{seen}"
        );
        assert!(seen.contains("X-CamelCase: 1\r\n") && seen.ends_with(body), "{seen}");
        assert!(!seen.contains("evil") && !seen.contains("Proxy-") && !seen.contains("X-Own"), "{seen}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_connection_that_the_host_has_closed_is_replaced() {
    let world = World::new();
    let port = wiki(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        read_message(&mut reader);
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    let mut stream = connect(world.http);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for _ in 0..3 {
        write!(stream, "GET http://wiki.corp.example.com:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let (head, body) = read_message(&mut reader);
        assert_eq!((head.starts_with("HTTP/1.1 200"), body.as_str()), (true, "ok"), "{head}");
        thread::sleep(Duration::from_millis(50)); // the host's end arrives, or the request meets it under way
    }
}

#[test]
fn chunks_pass_both_ways_whatever_the_method() {
    let world = World::new();
    let port = wiki(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (head, _) = read_message(&mut reader);
        let mut body = String::new();
        while !body.ends_with("0\r\n\r\n") {
            assert!(reader.read_line(&mut body).unwrap() > 0, "{head}");
        }
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
        )
        .unwrap();
    });
    for method in ["POST", "GET"] {
        let answer = exchange(
            &world,
            &format!(
                "{method} http://wiki.corp.example.com:{port}/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
            ),
        );
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{method}: {answer}");
        assert!(answer.contains("abc") && answer.contains("defg"), "{method}: {answer}");
    }
}

#[test]
fn an_upgrade_becomes_a_tunnel() {
    let world = World::new();
    let port = wiki(|mut stream| {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (head, _) = read_message(&mut reader);
        assert!(head.to_ascii_lowercase().contains("\r\nupgrade: websocket\r\n"), "{head}");
        write!(
            stream,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome"
        )
        .unwrap();
        let _ = std::io::copy(&mut reader, &mut stream);
    });
    let mut stream = connect(world.http);
    write!(stream, "GET http://wiki.corp.example.com:{port}/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (head, _) = read_message(&mut reader);
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.to_ascii_lowercase().contains("\r\nupgrade: websocket\r\n"), "{head}");
    stream.write_all(b" home").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut reader), b"welcome home");
}

#[test]
fn a_refusal_is_a_page_that_says_what_and_why() {
    let world = World::new();
    let get = |url: &str, more: &str| {
        exchange(&world, &format!("GET {url} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n"))
    };
    let page = get("http://wiki.corp.example.com:22/", "Accept: text/html\r\n");
    assert!(page.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{page}");
    for part in [
        "text/html",
        "no-store",
        "<h1>Access denied</h1>",
        "wiki.corp.example.com:22",
        "`wiki` allows tcp/443, not tcp/22",
        "port_not_allowed",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let text = get("http://example.org/", "");
    assert!(
        text.starts_with("HTTP/1.1 403") && text.contains("text/plain") && text.contains("allow_direct"),
        "{text}"
    );
    assert!(get("http://nothing.corp.example.com/", "").starts_with("HTTP/1.1 502"));
    let connect =
        exchange(&world, "CONNECT wiki.corp.example.com:22 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(connect.starts_with("HTTP/1.1 403"), "{connect}");
    world.switch.disconnect();
    assert!(get("http://wiki.corp.example.com/", "").starts_with("HTTP/1.1 503"));
}

#[test]
fn the_proxy_itself_is_no_host() {
    let world = World::with(Settings { allow_direct: true, ..settings() });
    let own = world.http;
    let direct = exchange(&world, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    assert!(direct.starts_with("HTTP/1.1 400") && direct.contains("/proxy.pac"), "{direct}");
    let looped =
        exchange(&world, &format!("GET http://{own}/ HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\n\r\n"));
    assert!(looped.starts_with("HTTP/1.1 403") && looped.contains("this_machine"), "{looped}");
}

#[test]
fn a_password_that_is_configured_is_asked_for_and_not_passed_on() {
    let credentials = Credentials { username: "eve".to_owned(), password: Secret::new("open".to_owned()) };
    let world = World::with(Settings { credentials: Some(credentials), ..settings() });
    let (port, _) = mirror();
    let get = |header: &str| {
        exchange(
            &world,
            &format!(
                "GET http://wiki.corp.example.com:{port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n"
            ),
        )
    };
    let asked = get("");
    assert!(
        asked.starts_with("HTTP/1.1 407") && asked.to_ascii_lowercase().contains("proxy-authenticate: basic"),
        "{asked}"
    );
    let passed = get("Proxy-Authorization: Basic ZXZlOm9wZW4=\r\n");
    assert!(passed.starts_with("HTTP/1.1 200") && !passed.contains("ZXZl"), "{passed}");
}
