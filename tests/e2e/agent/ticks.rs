//! A TCP connection that is never quiet: one byte there and back every few milliseconds, with the times of all replies.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time between two bytes.
const INTERVAL: Duration = Duration::from_millis(20);

/// Sends back what comes, on each connection; never ends by itself.
pub(crate) fn echo(address: &str) -> Result<String, String> {
    let listener = TcpListener::bind(address).map_err(|error| error.to_string())?;
    for stream in listener.incoming().flatten() {
        thread::spawn(move || {
            let (Ok(mut from), mut to) = (stream.try_clone(), stream) else { return };
            let _ = to.set_nodelay(true);
            let _ = std::io::copy(&mut from, &mut to);
        });
    }
    Ok(String::new())
}

/// Connects, sends a byte at each interval, and prints the time of each reply in milliseconds since 1970.
pub(crate) fn run(address: &str) -> Result<String, String> {
    let target = address.to_socket_addrs().map_err(|error| error.to_string())?.next().ok_or("no address")?;
    let mut stream = TcpStream::connect(target).map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let mut sender = stream.try_clone().map_err(|error| error.to_string())?;
    thread::spawn(move || {
        while sender.write_all(b"t").is_ok() {
            thread::sleep(INTERVAL);
        }
    });
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err("the connection was closed".to_owned()),
            Ok(_) => println!("{}", now()),
            Err(error) => return Err(format!("the connection ended: {error}")),
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis())
}
