//! Hosts that say who they are, and a program that asks many of them in turn and counts wrong voices.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// The port of all hosts, for TCP and UDP.
pub(crate) const PORT: u16 = 7000;

/// An answer over UDP that does not come within this is asked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// How long one answer may take in all.
const LIMIT: Duration = Duration::from_secs(20);

/// Is `hosts` hosts from the address `first` on: each answers `<request>` with `<label> <its address> <request>`.
///
/// UDP: a datagram each. TCP: a line each, any number on a connection. Never ends by itself.
pub(super) fn serve(label: &str, first: &str, hosts: u8) -> Result<String, String> {
    let first: Ipv4Addr = first.parse().map_err(|_| format!("no address: {first}"))?;
    for number in 0..hosts {
        let address = Ipv4Addr::from_bits(first.to_bits() + u32::from(number));
        let voice = format!("{label} {address}");
        let udp = UdpSocket::bind((address, PORT)).map_err(|error| format!("{address}: {error}"))?;
        let tcp = TcpListener::bind((address, PORT)).map_err(|error| format!("{address}: {error}"))?;
        let for_udp = voice.clone();
        thread::spawn(move || answer_datagrams(&udp, &for_udp));
        thread::spawn(move || answer_connections(&tcp, &voice));
    }
    println!("listening");
    loop {
        thread::park();
    }
}

fn answer_datagrams(socket: &UdpSocket, voice: &str) {
    let mut buffer = [0; 2048];
    loop {
        let Ok((length, sender)) = socket.recv_from(&mut buffer) else { continue };
        let answer = format!("{voice} {}", String::from_utf8_lossy(&buffer[..length]));
        let _ = socket.send_to(answer.as_bytes(), sender);
    }
}

fn answer_connections(listener: &TcpListener, voice: &str) {
    for stream in listener.incoming().flatten() {
        let voice = voice.to_owned();
        thread::spawn(move || -> std::io::Result<()> {
            let mut writer = stream.try_clone()?;
            for line in BufReader::new(stream).lines() {
                writer.write_all(format!("{voice} {}\n", line?).as_bytes())?;
            }
            Ok(())
        });
    }
}

/// Sends `requests` requests in turn to targets `host=label address`, every other one over TCP.
///
/// All datagrams leave from one port, and the connections stay open. Prints how many answers came; an answer that is
/// another host's, or another request's, is an error.
pub(super) fn ask(requests: usize, targets: &[&str]) -> Result<String, String> {
    let text = |error: std::io::Error| error.to_string();
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(text)?;
    socket.set_read_timeout(Some(AGAIN)).map_err(text)?;
    let targets: Result<Vec<Target>, String> = targets.iter().map(|target| Target::connect(target)).collect();
    let mut targets = targets?;
    for number in 0..requests {
        let count = targets.len();
        let target = &mut targets[number % count];
        let expected = format!("{} #{number}", target.voice);
        let answer = match number / count % 2 {
            0 => target.ask_by_datagram(&socket, number)?,
            _ => target.ask_by_line(number)?,
        };
        if answer != expected {
            return Err(format!("crossed: expected `{expected}`, found `{answer}`"));
        }
    }
    Ok(format!("{requests} answers"))
}

struct Target {
    voice: String,
    address: SocketAddr,
    reader: BufReader<TcpStream>,
}

impl Target {
    fn connect(target: &str) -> Result<Self, String> {
        let (host, voice) = target.split_once('=').ok_or("a target is `host=voice`")?;
        let text = |error: std::io::Error| format!("{host}: {error}");
        let mut addresses = (host, PORT).to_socket_addrs().map_err(text)?;
        let address = addresses.find(SocketAddr::is_ipv4).ok_or("no address")?;
        let stream = TcpStream::connect_timeout(&address, LIMIT).map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        stream.set_read_timeout(Some(LIMIT)).map_err(text)?;
        Ok(Self { voice: voice.to_owned(), address, reader: BufReader::new(stream) })
    }

    /// Answers to earlier requests, which a repeated question causes, are passed over; those of others are not.
    fn ask_by_datagram(&self, socket: &UdpSocket, number: usize) -> Result<String, String> {
        let start = Instant::now();
        let mut buffer = [0; 2048];
        while start.elapsed() < LIMIT {
            let question = format!("#{number}");
            socket.send_to(question.as_bytes(), self.address).map_err(|error| error.to_string())?;
            while let Ok((length, sender)) = socket.recv_from(&mut buffer) {
                let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let asked = answer.rsplit_once('#').and_then(|(_, asked)| asked.parse().ok());
                if asked.is_some_and(|asked: usize| asked < number) {
                    continue;
                }
                return if sender == self.address {
                    Ok(answer)
                } else {
                    Err(format!("`{answer}` came from {sender} instead of {}", self.address))
                };
            }
        }
        Err(format!("{} ({}): no answer to #{number} within {LIMIT:?}", self.voice, self.address))
    }

    fn ask_by_line(&mut self, number: usize) -> Result<String, String> {
        let text = |error: std::io::Error| format!("#{number}: {error}");
        self.reader.get_mut().write_all(format!("#{number}\n").as_bytes()).map_err(text)?;
        let mut line = String::new();
        self.reader.read_line(&mut line).map_err(text)?;
        Ok(line.trim_end().to_owned())
    }
}
