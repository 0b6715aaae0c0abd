//! The demo's own SOCKS5 client (RFC 1928): CONNECT and UDP ASSOCIATE by name, so that the proofs need no other program.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

const VERSION: u8 = 5;
const NO_PASSWORD: u8 = 0;
const CONNECT: u8 = 1;
const UDP_ASSOCIATE: u8 = 3;
const IPV4: u8 = 1;
const NAME: u8 = 3;
/// "Connection not allowed by ruleset".
pub(super) const REFUSED_BY_POLICY: u8 = 2;
/// Header of a datagram before the name: two reserved bytes, the fragment's number, the kind of address, its length.
const DATAGRAM_HEADER: usize = 5;

/// What the proxy answered.
pub(super) enum Connected {
    /// Open.
    Stream(TcpStream),
    /// Refused, with this reply code.
    Refused(u8),
}

/// Connects to `host` by its name, which the proxy resolves.
///
/// # Errors
/// When the proxy cannot be reached or speaks something else.
pub(super) async fn connect(proxy: SocketAddr, host: &str, port: u16) -> anyhow::Result<Connected> {
    let mut stream = greet(proxy).await?;
    stream.write_all(&request(CONNECT, host, port)?).await?;
    let (code, _) = read_reply(&mut stream).await?;
    Ok(match code {
        0 => Connected::Stream(stream),
        code => Connected::Refused(code),
    })
}

/// Sends one datagram to `host` and waits for one that comes back.
///
/// # Errors
/// When the proxy refuses or speaks something else.
pub(super) async fn exchange(
    proxy: SocketAddr,
    host: &str,
    port: u16,
    payload: &[u8],
) -> anyhow::Result<Vec<u8>> {
    let mut association = greet(proxy).await?;
    association.write_all(&[VERSION, UDP_ASSOCIATE, 0, IPV4, 0, 0, 0, 0, 0, 0]).await?;
    let (code, relay) = read_reply(&mut association).await?;
    if code != 0 {
        bail!("the proxy refused UDP with code {code}");
    }
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(relay).await?;
    let mut datagram = vec![0, 0, 0];
    datagram.extend(address(host, port)?);
    datagram.extend_from_slice(payload);
    socket.send(&datagram).await?;
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer).await.context("failed to receive from the proxy")?;
    let answer = &buffer[..length];
    let start = match answer.get(3).zip(answer.get(4)) {
        Some((&IPV4, _)) => 10,
        Some((&NAME, length)) => DATAGRAM_HEADER + usize::from(*length) + 2,
        Some(_) => 22,
        None => bail!("the proxy sent a datagram without a header"),
    };
    Ok(answer.get(start..).context("failed to read the proxy's datagram")?.to_vec())
}

async fn greet(proxy: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(proxy).await.context("failed to reach the SOCKS5 proxy")?;
    stream.write_all(&[VERSION, 1, NO_PASSWORD]).await?;
    let mut choice = [0; 2];
    stream.read_exact(&mut choice).await.context("failed to read the proxy's greeting")?;
    if choice != [VERSION, NO_PASSWORD] {
        bail!("the proxy wants another way to log in");
    }
    Ok(stream)
}

fn request(command: u8, host: &str, port: u16) -> anyhow::Result<Vec<u8>> {
    let mut request = vec![VERSION, command, 0];
    request.extend(address(host, port)?);
    Ok(request)
}

fn address(host: &str, port: u16) -> anyhow::Result<Vec<u8>> {
    let length = u8::try_from(host.len()).with_context(|| format!("failed to send name: `{host}`"))?;
    let mut address = vec![NAME, length];
    address.extend_from_slice(host.as_bytes());
    address.extend_from_slice(&port.to_be_bytes());
    Ok(address)
}

async fn read_reply(stream: &mut TcpStream) -> anyhow::Result<(u8, SocketAddr)> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.context("failed to read the proxy's reply")?;
    let address = match head[3] {
        IPV4 => {
            let mut bytes = [0; 4];
            stream.read_exact(&mut bytes).await?;
            std::net::IpAddr::from(bytes)
        }
        _ => {
            let mut bytes = [0; 16];
            stream.read_exact(&mut bytes).await?;
            std::net::IpAddr::from(bytes)
        }
    };
    let port = stream.read_u16().await?;
    Ok((head[1], SocketAddr::new(address, port)))
}
