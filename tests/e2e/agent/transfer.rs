//! Transfers that are proven by their SHA-256: over TCP one way after the other or both at once, over UDP by an echo with repetition.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use ring::digest::{Context, Digest, SHA256};
use rustix::net::sockopt::set_tcp_congestion;

use super::by_proxy;

/// The longest silence within a transfer that does not end it; a tunnel may be away for half a minute.
const SILENCE: Duration = Duration::from_secs(90);

/// Beside the length: both ways at the same time, and each end then sends the hash of what it sent.
const DUPLEX: u64 = 1 << 63;

/// How both ends answer loss, where `OPENZTNA_E2E_TCP` says nothing: as most kernels do.
const CONGESTION_CONTROL: &str = "cubic";

/// Datagrams on their way at a time.
const WINDOW: usize = 32;

/// When a datagram is sent again.
const AGAIN: Duration = Duration::from_millis(400);

/// The number of a datagram, before its content.
const NUMBER: usize = 4;

/// Takes what a client sends and answers with its hash and the longest silence, then sends as much and its hash. Never
/// ends by itself.
pub(super) fn serve(address: &str) -> Result<String, String> {
    let listener = TcpListener::bind(address).map_err(|error| error.to_string())?;
    for stream in listener.incoming().flatten() {
        thread::spawn(move || serve_one(stream));
    }
    Err("nobody can connect any more".to_owned())
}

fn serve_one(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    set_congestion_control(&stream)?;
    let mut length = [0; 8];
    stream.read_exact(&mut length)?;
    let length = u64::from_be_bytes(length);
    if length & DUPLEX != 0 {
        let is_same = exchange(&mut stream, length & !DUPLEX, !length)?;
        return stream.write_all(&[u8::from(is_same)]);
    }
    let received = receive(&mut stream, length)?;
    stream.write_all(received.hash.as_ref())?;
    stream.write_all(&(received.silence.as_millis() as u64).to_be_bytes())?;
    let hash = send_content(&mut stream, length, !length)?;
    stream.write_all(hash.as_ref())
}

/// Sends `length` bytes, then receives as many; each side proves by its hash what it got.
///
/// Prints `up <ms> down <ms>`, and the longest time without a byte in each direction.
pub(super) fn both_ways(target: &str, length: u64) -> Result<String, String> {
    let stream = connect(target).map_err(|error| format!("{target}: {error}"))?;
    transfer(stream, target, length)
}

/// The same through a proxy, such as `socks5://127.0.0.1:1080`.
pub(super) fn both_ways_by_proxy(proxy: &str, target: &str, length: u64) -> Result<String, String> {
    let stream = by_proxy::connect(proxy, target).and_then(prepared);
    transfer(stream.map_err(|error| format!("{target} by {proxy}: {error}"))?, target, length)
}

fn transfer(mut stream: TcpStream, target: &str, length: u64) -> Result<String, String> {
    let text = |error: std::io::Error| format!("{target}: {error}");
    let start = Instant::now();
    stream.write_all(&length.to_be_bytes()).map_err(text)?;
    let sent = send_content(&mut stream, length, length).map_err(text)?;
    let (mut confirmed, mut silence) = ([0; 32], [0; 8]);
    stream.read_exact(&mut confirmed).map_err(|error| format!("{target}: no end of the upload: {error}"))?;
    stream.read_exact(&mut silence).map_err(text)?;
    let up = start.elapsed().as_millis();
    let received = receive(&mut stream, length).map_err(|error| format!("{target}: download: {error}"))?;
    let mut announced = [0; 32];
    stream.read_exact(&mut announced).map_err(text)?;
    let down = start.elapsed().as_millis() - up;
    match (sent.as_ref() == confirmed, received.hash.as_ref() == announced) {
        (true, true) => {
            let (silence_up, silence_down) = (u64::from_be_bytes(silence), received.silence.as_millis());
            Ok(format!("up {up} down {down} silence up {silence_up} down {silence_down}"))
        }
        (up, down) => Err(format!("the hashes are not the same: up {up}, down {down}")),
    }
}

/// Sends and receives `length` bytes at the same time; each side proves by the other's hash what it got.
///
/// Prints the milliseconds.
pub(super) fn duplex(target: &str, length: u64) -> Result<String, String> {
    let text = |error: std::io::Error| format!("{target}: {error}");
    let mut stream = connect(target).map_err(text)?;
    let start = Instant::now();
    stream.write_all(&(length | DUPLEX).to_be_bytes()).map_err(text)?;
    let is_ours_same = exchange(&mut stream, length, length).map_err(text)?;
    let mut is_theirs_same = [0];
    stream.read_exact(&mut is_theirs_same).map_err(text)?;
    match (is_ours_same, is_theirs_same) {
        (true, [1]) => Ok(start.elapsed().as_millis().to_string()),
        (down, [up]) => Err(format!("the hashes are not the same: up {up}, down {down}")),
    }
}

/// Whether what came has the hash that was announced behind it.
fn exchange(stream: &mut TcpStream, length: u64, seed: u64) -> std::io::Result<bool> {
    let mut writer = stream.try_clone()?;
    let sending = thread::spawn(move || {
        let hash = send_content(&mut writer, length, seed)?;
        writer.write_all(hash.as_ref())
    });
    let received = receive(stream, length)?;
    let mut announced = [0; 32];
    stream.read_exact(&mut announced)?;
    sending.join().map_err(|_| std::io::Error::other("the sender ended by a panic"))??;
    Ok(received.hash.as_ref() == announced)
}

fn connect(target: &str) -> std::io::Result<TcpStream> {
    let address = target.to_socket_addrs()?.next().ok_or(std::io::ErrorKind::AddrNotAvailable)?;
    prepared(TcpStream::connect_timeout(&address, SILENCE)?)
}

fn prepared(stream: TcpStream) -> std::io::Result<TcpStream> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    set_congestion_control(&stream)?;
    Ok(stream)
}

fn set_congestion_control(stream: &TcpStream) -> std::io::Result<()> {
    let name = std::env::var("OPENZTNA_E2E_TCP").unwrap_or_else(|_| CONGESTION_CONTROL.to_owned());
    Ok(set_tcp_congestion(stream, &name)?)
}

fn send_content(stream: &mut TcpStream, length: u64, seed: u64) -> std::io::Result<Digest> {
    let (mut content, mut hash, mut left) = (Content(seed), Context::new(&SHA256), length);
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let piece = &mut buffer[..left.min(64 << 10) as usize];
        content.fill(piece);
        hash.update(&*piece);
        stream.write_all(piece)?;
        left -= piece.len() as u64;
    }
    Ok(hash.finish())
}

/// What came.
struct Received {
    hash: Digest,
    /// The longest time without a byte.
    silence: Duration,
}

fn receive(stream: &mut TcpStream, length: u64) -> std::io::Result<Received> {
    let (mut hash, mut left) = (Context::new(&SHA256), length);
    let (mut last, mut silence) = (Instant::now(), Duration::ZERO);
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let room = left.min(64 << 10) as usize;
        let got = stream.read(&mut buffer[..room])?;
        if got == 0 {
            return Err(std::io::Error::other(format!("ended with {left} bytes left of {length}")));
        }
        silence = silence.max(last.elapsed());
        last = Instant::now();
        hash.update(&buffer[..got]);
        left -= got as u64;
    }
    Ok(Received { hash: hash.finish(), silence })
}

/// Sends `length` bytes to an echo in datagrams of 5 to `longest` bytes, again when they do not come back.
///
/// What came back must have the hash of what was sent. Prints how many datagrams were sent, and how many of these again.
pub(super) fn datagrams(target: &str, length: usize, longest: usize) -> Result<String, String> {
    let text = |error: std::io::Error| format!("{target}: {error}");
    let address = target.to_socket_addrs().map_err(text)?.next().ok_or("no address")?;
    let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).map_err(text)?;
    socket.connect(address).map_err(text)?;
    socket.set_read_timeout(Some(AGAIN / 4)).map_err(text)?;
    let pieces = cut(length, longest);
    let sent = hash_of(pieces.iter().map(|piece| &piece[NUMBER..]));
    let mut echo = Echo { socket, pieces, echoed: Vec::new(), sent_at: Vec::new(), sent: 0, again: 0 };
    echo.run()?;
    let received = hash_of(echo.echoed.iter().map(Vec::as_slice));
    if received.as_ref() != sent.as_ref() {
        return Err("the hashes are not the same".to_owned());
    }
    Ok(format!("{} datagrams, {} of them again", echo.sent, echo.again))
}

fn hash_of<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> Digest {
    let mut hash = Context::new(&SHA256);
    pieces.for_each(|piece| hash.update(piece));
    hash.finish()
}

/// Content in numbered datagrams of all lengths, the longest the most often.
fn cut(length: usize, longest: usize) -> Vec<Vec<u8>> {
    let (mut content, mut pieces, mut left) = (Content(length as u64), Vec::new(), length);
    while left > 0 {
        let whole = match pieces.len() % 2 {
            0 => longest,
            _ => NUMBER + 1 + pieces.len() * 37 % (longest - NUMBER),
        };
        let room = left.min(whole - NUMBER);
        let mut piece = vec![0; NUMBER + room];
        piece[..NUMBER].copy_from_slice(&(pieces.len() as u32).to_be_bytes());
        content.fill(&mut piece[NUMBER..]);
        pieces.push(piece);
        left -= room;
    }
    pieces
}

struct Echo {
    socket: UdpSocket,
    pieces: Vec<Vec<u8>>,
    echoed: Vec<Vec<u8>>,
    sent_at: Vec<Option<Instant>>,
    sent: usize,
    again: usize,
}

impl Echo {
    fn run(&mut self) -> Result<(), String> {
        self.echoed = vec![Vec::new(); self.pieces.len()];
        self.sent_at = vec![None; self.pieces.len()];
        let (mut first, mut progress) = (0, Instant::now());
        while first < self.pieces.len() {
            let last = self.pieces.len().min(first + WINDOW);
            (first..last).for_each(|number| self.send_if_due(number));
            if self.receive() {
                progress = Instant::now();
            }
            while self.echoed.get(first).is_some_and(|echoed| !echoed.is_empty()) {
                first += 1;
            }
            if progress.elapsed() > SILENCE {
                let length = self.pieces[first].len();
                return Err(format!("datagram {first} of {length} bytes does not come back"));
            }
        }
        Ok(())
    }

    fn send_if_due(&mut self, number: usize) {
        let at = self.sent_at[number];
        if !self.echoed[number].is_empty() || at.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        // What cannot be sent, since it is too long for now, is sent again as what was lost.
        let _ = self.socket.send(&self.pieces[number]);
        self.sent += 1;
        self.again += usize::from(at.is_some());
        self.sent_at[number] = Some(Instant::now());
    }

    /// Takes one datagram; true if it is a new one.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        let Ok(length) = self.socket.recv(&mut buffer) else { return false };
        let Some(number) = buffer[..length].first_chunk().map(|number| u32::from_be_bytes(*number) as usize)
        else {
            return false;
        };
        let is_new = self.echoed.get(number).is_some_and(Vec::is_empty);
        if is_new {
            self.echoed[number] = buffer[NUMBER..length].to_vec();
        }
        is_new
    }
}

/// Bytes that look random, the same for the same seed: xorshift64*, eight bytes a step.
struct Content(u64);

impl Content {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0 |= 1;
        for chunk in bytes.chunks_mut(8) {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}
