//! Questions to the DNS servers in front of which the gateway stands: one socket a question, over UDP, then over TCP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, Query, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// One server may take so long to answer, as in resolv.conf(5) at its briefest twice.
const PATIENCE: Duration = Duration::from_secs(2);
/// All servers are asked so often.
const ROUNDS: usize = 2;
/// Largest datagram that is asked for, in bytes: it crosses every path without fragments (DNS Flag Day 2020).
pub(super) const DATAGRAM: u16 = 1232;
/// Where the system names its servers (resolv.conf(5)).
const SYSTEM: &str = "/etc/resolv.conf";

/// Asks the servers in turn until one knows: an answer, or that there is none.
///
/// # Errors
/// When none of them answers.
pub async fn ask(servers: &[SocketAddr], question: &Query) -> io::Result<Message> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "there is no DNS server");
    for server in servers.iter().cycle().take(servers.len() * ROUNDS) {
        match timeout(PATIENCE, ask_one(*server, question)).await {
            Ok(Ok(answer)) if is_conclusive(&answer) => return Ok(answer),
            Ok(Ok(answer)) => last = io::Error::other(answer.metadata.response_code.to_string()),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// The servers that the system's programs ask.
pub fn of_system() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(SYSTEM).unwrap_or_default();
    parse(&text)
}

/// `nameserver` lines, in their order.
fn parse(text: &str) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let addresses = servers.filter_map(|server| server.trim().parse::<IpAddr>().ok());
    addresses.map(|address| SocketAddr::new(address, 53)).collect()
}

/// A server that is broken or does not want to is no reason to give up.
fn is_conclusive(answer: &Message) -> bool {
    [ResponseCode::NoError, ResponseCode::NXDomain].contains(&answer.metadata.response_code)
}

async fn ask_one(server: SocketAddr, question: &Query) -> io::Result<Message> {
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.add_query(question.clone());
    let mut edns = Edns::new();
    edns.set_max_payload(DATAGRAM);
    query.set_edns(edns);
    let bytes = query.to_vec().map_err(io::Error::other)?;
    let answer = ask_udp(server, &query, &bytes).await?;
    if answer.metadata.truncation { ask_tcp(server, &query, &bytes).await } else { Ok(answer) }
}

/// The port is as unpredictable as the number of the message: each question has a socket of its own.
async fn ask_udp(server: SocketAddr, query: &Message, bytes: &[u8]) -> io::Result<Message> {
    let local: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match Message::from_vec(&buffer[..length]) {
            Ok(answer) if answers(&answer, query) => return Ok(answer),
            Ok(_) | Err(_) => {} // a forgery, or an answer to nobody
        }
    }
}

async fn ask_tcp(server: SocketAddr, query: &Message, bytes: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    let answer = Message::from_vec(&answer).map_err(io::Error::other)?;
    if answers(&answer, query) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn answers(answer: &Message, query: &Message) -> bool {
    answer.metadata.id == query.metadata.id && answer.queries == query.queries
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use hickory_resolver::proto::rr::{Name, RecordType};

    use super::*;

    #[test]
    fn nameserver_lines_are_read_in_their_order() {
        let text =
            "# nameserver 9.9.9.9\nsearch corp\nnameserver 10.0.0.53\n nameserver fd00::53\nnameserver x\n";
        assert_eq!(parse(text), ["10.0.0.53:53".parse().unwrap(), "[fd00::53]:53".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_server_that_fails_or_forges_is_passed_over() {
        let failing = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let good = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let servers = [failing.local_addr().unwrap(), good.local_addr().unwrap()];
        let reply = async |socket: &UdpSocket, code, forge: bool| {
            let mut buffer = [0; 2048];
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let mut answer = Message::from_vec(&buffer[..length]).unwrap().into_response();
            answer.metadata.response_code = code;
            if forge {
                answer.metadata.id ^= 1;
                socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
                answer.metadata.id ^= 1;
            }
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        };
        let question = Query::query(Name::from_str("wiki.corp.").unwrap(), RecordType::A);
        let (answer, (), ()) = tokio::join!(
            ask(&servers, &question),
            reply(&failing, ResponseCode::ServFail, false),
            reply(&good, ResponseCode::NXDomain, true),
        );
        assert_eq!(answer.unwrap().metadata.response_code, ResponseCode::NXDomain);
        assert!(ask(&[], &question).await.is_err());
    }
}
