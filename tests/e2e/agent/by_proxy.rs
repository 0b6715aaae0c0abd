//! A connection by a SOCKS5 proxy (RFC 1928), without a password, or by an HTTP proxy.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

/// How long the proxy may take to connect.
const LIMIT: Duration = Duration::from_secs(60);

/// Version 5, one method: no authentication (RFC 1928, section 3).
const GREETING: [u8; 3] = [5, 1, 0];

/// The stream to `target`, a name or an IPv4 address with its port, through `proxy`, such as `socks5://127.0.0.1:1080`.
pub(super) fn connect(proxy: &str, target: &str) -> io::Result<TcpStream> {
    let (scheme, address) = proxy.split_once("://").ok_or(io::ErrorKind::InvalidInput)?;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    match scheme {
        "socks5" => speak_socks(&mut stream, target)?,
        "http" => speak_http(&mut stream, target)?,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    Ok(stream)
}

/// CONNECT (RFC 1928, section 4).
fn speak_socks(stream: &mut TcpStream, target: &str) -> io::Result<()> {
    stream.write_all(&GREETING)?;
    let mut method = [0; 2];
    stream.read_exact(&mut method)?;
    let mut request = vec![5, 1, 0];
    let (host, port) = target.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
    if let Ok(address) = target.parse::<SocketAddrV4>() {
        request.push(1);
        request.extend(address.ip().octets());
    } else {
        request.extend([3, host.len() as u8]);
        request.extend(host.bytes());
    }
    request.extend(port.parse::<u16>().map_err(io::Error::other)?.to_be_bytes());
    stream.write_all(&request)?;
    let mut reply = [0; 10];
    stream.read_exact(&mut reply)?;
    match (method, reply[1]) {
        ([5, 0], 0) => Ok(()),
        (method, code) => Err(io::Error::other(format!("method {method:?}, reply {code}"))),
    }
}

/// CONNECT (RFC 9110, section 9.3.6); what the host says comes after the head.
fn speak_http(stream: &mut TcpStream, target: &str) -> io::Result<()> {
    write!(stream, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")?;
    let (mut head, mut octet) = (Vec::new(), [0; 1]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet)?;
        head.extend(octet);
    }
    match head.starts_with(b"HTTP/1.1 200") {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&head).into_owned())),
    }
}
