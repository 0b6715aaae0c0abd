//! What a TCP socket has not brought to the other end yet.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

/// Octets that were written to a TCP socket and that the peer's system has not acknowledged (`SIOCOUTQ`, tcp(7)).
///
/// # Errors
/// It is no TCP socket.
pub fn unacknowledged(socket: &impl AsFd) -> io::Result<u64> {
    let mut octets: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed for the whole call, and the kernel writes one int to a place that holds one.
    // SIOCOUTQ has the number of TIOCOUTQ (Linux `sockios.h`).
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut octets) };
    if result == 0 { Ok(octets.max(0).unsigned_abs().into()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn what_the_peers_system_has_is_acknowledged_and_what_it_has_no_room_for_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(&[7; 1_000]).unwrap();
        server.read_exact(&mut [0; 1_000]).unwrap();
        let start = Instant::now();
        while unacknowledged(&client).unwrap() > 0 && start.elapsed() < Duration::from_secs(10) {}
        assert_eq!(unacknowledged(&client).unwrap(), 0);
        client.set_nonblocking(true).unwrap();
        while client.write(&[7; 65_536]).is_ok() {}
        assert!(unacknowledged(&client).unwrap() > 0, "the other end reads no more");
    }
}
