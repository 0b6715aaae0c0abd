//! Attacks on the port, over real connections: each is refused, and the next honest request is answered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::dialer::{Catalogue, Dialer};
use crate::http_port::State as PortState;
use crate::proxy::{Proxies, pac};

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// An API at work on a port of its own.
struct Service {
    address: SocketAddr,
    _server: Server,
    _proxies: Proxies,
    _connector: thread::JoinHandle<()>,
}

impl Service {
    fn start(require_auth: bool) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        // root and the test's own user may change things without a token
        let (handle, mut received) = handle(Settings { require_auth, ..settings(Some(any)) });
        let connector = thread::spawn(move || {
            while let Some(command) = received.blocking_recv() {
                match command {
                    Command::Up { reply } | Command::Down { reply } => drop(reply.send(Ok(()))),
                    Command::Refresh { reply } => drop(reply.send(())),
                    Command::Flows { .. } | Command::Names { .. } | Command::Personal { .. } => {}
                }
            }
        });
        let (dialer, _) = Dialer::new(Arc::new(Catalogue::default()));
        let proxies = Proxies::start(without_proxies(), dialer).unwrap();
        let server = Server::start(handle, proxies.pac_file()).unwrap();
        let mut states = server.states();
        let start = Instant::now();
        let address = loop {
            if let Some(PortState::Listening(address)) = states.borrow_and_update().get(&Port::Api) {
                break *address;
            }
            assert!(start.elapsed() < LIMIT);
            thread::sleep(Duration::from_millis(5));
        };
        Self { address, _server: server, _proxies: proxies, _connector: connector }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    /// Sends raw text and reads until the end, which the service makes.
    fn talk(&self, request: &str) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(request.as_bytes()); // it may be cut while we still send
        read(&mut stream)
    }

    /// A request with these header fields besides the host; the connection is closed after the answer.
    fn ask(&self, line: &str, fields: &[&str]) -> String {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        self.talk(&format!("{line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{fields}\r\n", self.address))
    }

    /// Whether an honest program is served.
    #[track_caller]
    fn assert_serves(&self) {
        let start = Instant::now();
        loop {
            let answer = self.ask("GET /api/v1/status", &[TOKEN]);
            if answer.starts_with("HTTP/1.1 200") {
                return;
            }
            assert!(start.elapsed() < LIMIT, "{answer}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

const TOKEN: &str = "Authorization: Bearer secret";

fn without_proxies() -> crate::proxy::Settings {
    crate::proxy::Settings {
        socks_port: None,
        http_port: None,
        pac_port: 0,
        serves_pac: false,
        allow_direct: false,
        exclude: Vec::new(),
        credentials: None,
        access: everybody(),
        rules: pac::Rules::default(),
    }
}

fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer); // the service may cut the connection after its answer
    String::from_utf8_lossy(&answer).into_owned()
}

#[track_caller]
fn assert_refused(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
    assert!(!head.contains("access-control-"), "no other page is let in: {head}");
    assert!(!answer.contains("\"gateways\""), "nothing is told: {answer}");
}

#[test]
fn honest_programs_are_served_with_security_headers() {
    let service = Service::start(true);
    let answer = service.ask("GET /api/v1/status", &[TOKEN]);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"state\":\"connected\""), "{answer}");
    for field in
        ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff", "no-store"]
    {
        assert!(answer.contains(field), "{field}");
    }
    assert!(service.ask("POST /api/v1/connect", &[TOKEN]).starts_with("HTTP/1.1 200"));
    assert!(service.ask("GET /", &[]).contains("<!doctype html>"));
    assert!(service.ask("GET /health", &[]).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_name_rebound_to_loopback_reads_nothing() {
    let service = Service::start(false);
    let port = service.address.port();
    for path in ["/api/v1/status", "/", "/proxy.pac", "/health"] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: rebound.example:{port}\r\nConnection: close\r\n\r\n");
        assert_refused(&service.talk(&request), 421);
    }
    service.assert_serves();
}

#[test]
fn a_form_of_another_page_steers_nothing() {
    let service = Service::start(false);
    for fields in [
        &[
            "Origin: http://evil.example",
            "Content-Type: application/x-www-form-urlencoded",
            "Content-Length: 0",
        ][..],
        &["Origin: null", "Content-Length: 0"],
        &["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Content-Length: 0"],
    ] {
        assert_refused(&service.ask("POST /api/v1/disconnect", fields), 403);
    }
    let form = ["Content-Type: text/plain", "Content-Length: 2", TOKEN];
    assert_refused(&service.ask("POST /api/v1/disconnect", &form), 415);
    service.assert_serves();
}

#[test]
fn a_preflight_is_not_answered() {
    let service = Service::start(false);
    let preflight = [
        "Origin: http://evil.example",
        "Access-Control-Request-Method: PUT",
        "Access-Control-Request-Headers: x-openztna, content-type",
    ];
    assert_refused(&service.ask("OPTIONS /api/v1/settings", &preflight), 403);
}

#[test]
fn a_stream_is_not_opened_for_another_page() {
    let service = Service::start(false);
    for path in ["/api/v1/events", "/api/v1/logs"] {
        let fields = ["Accept: text/event-stream", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"];
        assert_refused(&service.ask(&format!("GET {path}"), &fields), 403);
        let fields = ["Accept: text/event-stream", "Origin: http://localhost:3000"];
        assert_refused(&service.ask(&format!("GET {path}"), &fields), 403);
    }
}

#[test]
fn a_token_in_the_url_is_refused() {
    let service = Service::start(true);
    assert_refused(&service.ask("GET /api/v1/status?token=secret", &[]), 400);
    assert_refused(&service.ask("GET /api/v1/status?access_token=secret", &[TOKEN]), 400);
}

#[test]
fn those_who_dawdle_are_cut_and_keep_nobody_waiting() {
    let service = Service::start(true);
    let begun = Instant::now();
    let mut slow: Vec<TcpStream> = (0..16).map(|_| service.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /api/v1/status HTTP/1.1\r\nHost: 127").unwrap();
    }
    service.assert_serves();
    // a byte now and then does not help, nor does a body that does not come
    let mut body = service.connect();
    let head = format!(
        "PUT /api/v1/settings HTTP/1.1\r\nHost: {}\r\n{TOKEN}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{{",
        service.address
    );
    body.write_all(head.as_bytes()).unwrap();
    assert!(read(&mut body).starts_with("HTTP/1.1 408 "));
    for stream in &mut slow {
        let _ = stream.write_all(b"."); // it may be cut already
        read(stream);
    }
    assert!(begun.elapsed() < LIMIT, "they ended by the service's limits, not by ours");
    service.assert_serves();
}

#[test]
fn a_request_hidden_in_a_body_is_never_answered() {
    let service = Service::start(true);
    let hidden = format!("GET /api/v1/status HTTP/1.1\r\nHost: {}\r\n{TOKEN}\r\n\r\n", service.address);
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding : chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: 5, 5",
    ] {
        let request = format!(
            "POST /api/v1/session HTTP/1.1\r\nHost: {}\r\n{TOKEN}\r\n{framing}\r\n\r\n0\r\n\r\n{hidden}",
            service.address
        );
        let answer = service.talk(&request);
        assert!(answer.starts_with("HTTP/1.1 4"), "{framing}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{framing}: {answer}");
    }
    service.assert_serves();
}

#[test]
fn a_huge_body_is_not_taken() {
    let service = Service::start(true);
    let mut stream = service.connect();
    let head = format!(
        "PUT /api/v1/settings HTTP/1.1\r\nHost: {}\r\n{TOKEN}\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n",
        service.address
    );
    stream.write_all(head.as_bytes()).unwrap();
    let piece = vec![b'{'; 1 << 16];
    let sent =
        std::iter::repeat_with(|| stream.write_all(&piece)).take(1_000).take_while(Result::is_ok).count();
    assert!(sent < 1_000, "the service cuts it");
    service.assert_serves();
}

#[test]
fn a_huge_head_is_not_taken() {
    let service = Service::start(true);
    let long = format!("X: {}", "x".repeat(1 << 20));
    let answer = service.ask("GET /health", &[&long]);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many: String = (0..2_000).map(|number| format!("X{number}: y\r\n")).collect();
    let answer = service.ask("GET /health", &[many.trim_end()]);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    service.assert_serves();
}

#[test]
fn thousands_of_connections_are_turned_away_and_given_back() {
    let service = Service::start(true);
    // those that find no descriptor on this side say nothing of the service
    let flood: Vec<TcpStream> =
        (0..2_000).filter_map(|_| TcpStream::connect_timeout(&service.address, LIMIT).ok()).collect();
    assert!(flood.len() > 100, "{}", flood.len());
    drop(flood);
    service.assert_serves();
}

#[test]
fn a_storm_of_wrong_tokens_finds_nothing_and_ends() {
    let service = Service::start(true);
    let answers: Vec<String> = (0..40)
        .map(|number| service.ask("GET /api/v1/status", &[&format!("Authorization: Bearer guess-{number}")]))
        .collect();
    assert!(answers[0].starts_with("HTTP/1.1 401 ") && answers[0].contains("www-authenticate: Bearer"));
    assert!(
        answers[39].starts_with("HTTP/1.1 429 ") && answers[39].contains("retry-after"),
        "{}",
        answers[39]
    );
    service.assert_serves();
}

#[test]
fn a_page_signs_in_by_its_code_and_follows_what_happens() {
    let service = Service::start(true);
    let (wrong, fields) = ("{\"code\":\"guess\"}", ["Content-Type: application/json", "Content-Length: 16"]);
    let request = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{}\r\n\r\n{wrong}",
        service.address,
        fields.join("\r\n")
    );
    assert_refused(&service.talk(&request), 403);
    let mut stream = service.connect();
    let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n{TOKEN}\r\n\r\n", service.address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("event: status") {
        let mut piece = [0; 4_096];
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..length]);
    }
    assert!(String::from_utf8_lossy(&seen).contains("content-type: text/event-stream"));
}
