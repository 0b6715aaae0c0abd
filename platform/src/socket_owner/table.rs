//! The kernel's sockets in `/proc/net`, for kernels without `sock_diag`.

use std::{fs, io, net::SocketAddr};

use super::{Listed, Protocol, address};

/// All sockets of a protocol, of both families; a family that the kernel does not have has none.
pub(super) fn listed(protocol: Protocol) -> io::Result<Vec<Listed>> {
    let (v4, v6) = match protocol {
        Protocol::Tcp => ("/proc/net/tcp", "/proc/net/tcp6"),
        Protocol::Udp => ("/proc/net/udp", "/proc/net/udp6"),
    };
    let mut all: Vec<Listed> = fs::read_to_string(v4)?.lines().filter_map(read).collect();
    match fs::read_to_string(v6) {
        Ok(text) => all.extend(text.lines().filter_map(read)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(all)
}

/// `sl local remote st tx:rx tr:when retrnsmt uid timeout inode …` (proc(5)); the heading is no socket.
fn read(line: &str) -> Option<Listed> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let local = read_address(words.next()?)?;
    let remote = read_address(words.next()?)?;
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    let uid = words.nth(3)?.parse().ok()?;
    let inode = words.nth(1)?.parse().ok()?;
    Some(Listed { local, remote, state, uid, inode })
}

/// Words of 32 bits in the order of this machine, in hexadecimal; then the port.
fn read_address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| {
        let digits = words.get(8 * index..8 * index + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match words.len() {
        8 => Some(address([word(0)?, [0; 4], [0; 4], [0; 4]], true, port)),
        32 => Some(address([word(0)?, word(1)?, word(2)?, word(3)?], false, port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn lines_of_both_families_are_read() {
        let line = "   3: 0100007F:0438 0A01A8C0:C350 01 00000000:00000000 00:00000000 00000000  1000        0 \
                    71234 1 0000000000000000 20 4 30 10 -1";
        let listed = read(line).unwrap();
        assert_eq!(listed.local, "127.0.0.1:1080".parse().unwrap());
        assert_eq!(listed.remote, "192.168.1.10:50000".parse().unwrap());
        assert_eq!((listed.state, listed.uid, listed.inode), (1, 1000, 71234));
        let one = "0: 00000000000000000000000001000000:0050 0000000000000000FFFF00000100007F:0051 06 0:0 00:0 0 0 0 0";
        let listed = read(one).unwrap();
        assert_eq!(listed.local, "[::1]:80".parse().unwrap());
        assert_eq!(listed.remote, "127.0.0.1:81".parse().unwrap());
        assert!(!listed.is_owned());
    }

    #[test]
    fn headings_and_torn_lines_are_no_sockets() {
        assert_eq!(
            read("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid"),
            None
        );
        assert_eq!(read("3: 0100007F:0438 0A01A8C0"), None);
        assert_eq!(read(""), None);
    }
}
