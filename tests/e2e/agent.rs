//! Small network programs inside a namespace: this test binary, executed again with `agent` as its first argument.

mod by_proxy;
pub(crate) mod devices;
pub(crate) mod identity;
mod scan;
pub(crate) mod ticks;
pub(crate) mod transfer;

use std::env;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// How long one attempt to connect or one wait for a reply lasts.
const ATTEMPT: Duration = Duration::from_secs(5);

/// How long a connection may stand still before it is given up.
const STALL: Duration = Duration::from_secs(60);

/// The longest UDP payload that is echoed.
const LONGEST: usize = 65_535;

/// Does what the arguments ask for, if they ask for an agent.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["agent", "wait-tcp", address, limit_ms] => wait_tcp(address, limit_ms.parse().unwrap_or(0)),
        ["agent", "udp-echo", address] => udp_echo(address),
        ["agent", "udp-ask", address, length] => udp_ask(address, length.parse().unwrap_or(0)),
        ["agent", "tcp-connect", address] => tcp_connect(address),
        ["agent", "identity", label, first, hosts] => {
            identity::serve(label, first, hosts.parse().unwrap_or(0))
        }
        ["agent", "identity-ask", requests, targets @ ..] => {
            identity::ask(requests.parse().unwrap_or(0), targets)
        }
        ["agent", "keep-asking", address] => keep_asking(TcpStream::connect(address)),
        ["agent", "keep-asking-by", proxy, address] => keep_asking(by_proxy::connect(proxy, address)),
        ["agent", "open-by", proxy, address, most] => open_by(proxy, address, most.parse().unwrap_or(0)),
        ["agent", "transfer-serve", address] => transfer::serve(address),
        ["agent", "transfer", target, bytes] => transfer::both_ways(target, bytes.parse().unwrap_or(0)),
        ["agent", "transfer-by", proxy, target, bytes] => {
            transfer::both_ways_by_proxy(proxy, target, bytes.parse().unwrap_or(0))
        }
        ["agent", "transfer-duplex", target, bytes] => transfer::duplex(target, bytes.parse().unwrap_or(0)),
        ["agent", "transfer-datagrams", target, bytes, longest] => {
            transfer::datagrams(target, bytes.parse().unwrap_or(0), longest.parse().unwrap_or(0))
        }
        ["agent", "devices", count, key, endpoint] => devices::run(count.parse().unwrap_or(0), key, endpoint),
        ["agent", "scan", address] => scan::scan(address),
        ["agent", "tcp-echo", address] => ticks::echo(address),
        ["agent", "ticks", address] => ticks::run(address),
        ["agent", ..] => Err(format!("unknown agent {words:?}")),
        _ => return None,
    };
    Some(match result {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            println!("{text}");
            ExitCode::FAILURE
        }
    })
}

/// Connects again and again until someone listens.
fn wait_tcp(address: &str, limit_ms: u64) -> Result<String, String> {
    let start = Instant::now();
    loop {
        let Err(error) = TcpStream::connect(address) else { return Ok("listening".to_owned()) };
        if start.elapsed() > Duration::from_millis(limit_ms) {
            return Err(format!("{address}: {error}"));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Sends every datagram back; never ends by itself.
fn udp_echo(address: &str) -> Result<String, String> {
    let socket = UdpSocket::bind(address).map_err(|error| error.to_string())?;
    let mut buffer = vec![0; LONGEST];
    loop {
        let Ok((length, sender)) = socket.recv_from(&mut buffer) else { continue };
        let _ = socket.send_to(&buffer[..length], sender);
    }
}

/// Sends a datagram of `length` bytes and waits for the same bytes; prints `echoed`, or the kind of error.
fn udp_ask(address: &str, length: usize) -> Result<String, String> {
    let kind = |error: std::io::Error| explain(&error);
    let target = address.to_socket_addrs().map_err(kind)?.next().ok_or("no address")?;
    let socket = UdpSocket::bind(if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).map_err(kind)?;
    socket.connect(target).map_err(kind)?;
    socket.set_read_timeout(Some(ATTEMPT)).map_err(kind)?;
    let payload: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
    socket.send(&payload).map_err(kind)?;
    let mut reply = vec![0; LONGEST];
    let received = socket.recv(&mut reply).map_err(kind)?;
    if reply[..received] == payload {
        Ok("echoed".to_owned())
    } else {
        Err(format!("{received} other bytes"))
    }
}

/// Connects once; prints `connected`, or the kind of error, and the milliseconds it took, the name's lookup not counted.
fn tcp_connect(address: &str) -> Result<String, String> {
    let target = address.to_socket_addrs().map_err(|error| explain(&error))?.next().ok_or("no address")?;
    let start = Instant::now();
    let result = TcpStream::connect_timeout(&target, ATTEMPT);
    let elapsed = start.elapsed().as_millis();
    match result {
        Ok(_) => Ok(format!("connected {elapsed}")),
        Err(error) => Err(format!("{} {elapsed}", explain(&error))),
    }
}

/// Asks a web server again and again over one connection and prints `answered` each time; ends with it.
fn keep_asking(stream: std::io::Result<TcpStream>) -> Result<String, String> {
    let mut stream = stream.map_err(|error| explain(&error))?;
    stream.set_read_timeout(Some(STALL)).map_err(|error| explain(&error))?;
    let mut answer = vec![0; LONGEST];
    loop {
        stream.write_all(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").map_err(|error| explain(&error))?;
        match stream.read(&mut answer) {
            Ok(0) => return Err("closed".to_owned()),
            Ok(_) => println!("answered"),
            Err(error) => return Err(explain(&error)),
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Opens connections by a proxy and keeps them, until one is refused; prints how many were open, and why.
fn open_by(proxy: &str, address: &str, most: usize) -> Result<String, String> {
    let mut streams = Vec::new();
    while streams.len() < most {
        match by_proxy::connect(proxy, address) {
            Ok(stream) => streams.push(stream),
            Err(error) => return Ok(format!("{} open, then {error}", streams.len())),
        }
    }
    Err(format!("{most} open"))
}

fn explain(error: &std::io::Error) -> String {
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::WouldBlock | ErrorKind::TimedOut, _) => "TimedOut".to_owned(),
        (kind, Some(_)) => format!("{kind:?}"),
        (kind, None) => format!("{kind:?}:{error}").replace(' ', "_"),
    }
}
