//! The server's side of the handshake as a state machine: octets in, steps out. No sockets, no time.

use super::address::{self, Parsed};
use super::reply::{self, Code, NOWHERE};
use crate::proxy::target::{NotATarget, Target};

/// Octets that a client may send before its request is understood: RFC 1929 has the longest message, 513 octets, and a
/// request of SOCKS4a two texts of 255.
pub const MOST_INPUT: usize = 1 << 10;
/// Longest user id or name of SOCKS4a, whose texts end with a zero and say no length.
const LONGEST_TEXT: usize = 255;

const NO_AUTHENTICATION: u8 = 0;
const USERNAME_PASSWORD: u8 = 2;
const NO_ACCEPTABLE_METHOD: [u8; 2] = [5, 0xff];
/// Answer to what speaks HTTP: the next person who confuses the two ports is told.
const NOT_HTTP: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n\
This is the SOCKS proxy of OpenZTNA Client Connector. Its HTTP proxy has another port: see `[proxy]`.\r\n";

/// The dialect that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// SOCKS4 and SOCKS4a.
    Four,
    /// SOCKS5.
    Five,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A TCP connection to there.
    Connect(Target),
    /// Datagrams, until this connection ends; from this port, unless it is 0.
    UdpAssociate(u16),
}

/// A request that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// How the reply is written.
    pub version: Version,
    /// What it asks for.
    pub command: Command,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Read more.
    Read,
    /// Write this, and go on.
    Write(Vec<u8>),
    /// Check these and call [`Handshake::handle_verdict`].
    Check {
        /// As sent.
        username: Vec<u8>,
        /// As sent.
        password: Vec<u8>,
    },
    /// It is done; what follows in [`Handshake::into_rest`] is the flow's own.
    Done(Request),
    /// Write this, if anything, and hang up.
    Refuse(Vec<u8>),
}

/// A handshake under way.
#[derive(Debug)]
pub struct Handshake {
    input: Vec<u8>,
    stage: Stage,
    needs_password: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Version,
    Greeting,
    Password,
    Verdict,
    Request,
    Over,
}

impl Handshake {
    /// Waits for the first octet. With `needs_password`, only SOCKS5 clients that know a user and a password pass.
    #[must_use]
    pub fn new(needs_password: bool) -> Self {
        Self { input: Vec::new(), stage: Stage::Version, needs_password }
    }

    /// Takes in what was read. To be called after [`Step::Read`], with at most [`MOST_INPUT`] octets.
    pub fn handle_input(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
    }

    /// Takes in whether the user and the password of [`Step::Check`] are right.
    pub fn handle_verdict(&mut self, is_right: bool) -> Step {
        // RFC 1929, section 2: anything but 0 means no, and the connection is closed
        self.stage = if is_right { Stage::Request } else { Stage::Over };
        if is_right { Step::Write(vec![1, 0]) } else { Step::Refuse(vec![1, 1]) }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Step {
        let step = match self.stage {
            Stage::Version => self.read_version(),
            Stage::Greeting => self.read_greeting(),
            Stage::Password => self.read_password(),
            Stage::Request => self.read_request(),
            Stage::Verdict | Stage::Over => Some(Step::Refuse(Vec::new())),
        };
        let step = match step {
            Some(step) => step,
            None if self.input.len() > MOST_INPUT => Step::Refuse(Vec::new()),
            None => Step::Read,
        };
        if matches!(step, Step::Refuse(_) | Step::Done(_)) {
            self.stage = Stage::Over;
        }
        step
    }

    /// What was read beyond the handshake.
    #[must_use]
    pub fn into_rest(self) -> Vec<u8> {
        self.input
    }

    fn read_version(&mut self) -> Option<Step> {
        match *self.input.first()? {
            5 => {
                self.stage = Stage::Greeting;
                self.read_greeting()
            }
            4 if self.needs_password => Some(refuse(Version::Four, Code::NotAllowed)),
            4 => self.read_version_4(),
            b'A'..=b'Z' => Some(Step::Refuse(NOT_HTTP.to_vec())),
            _ => Some(Step::Refuse(Vec::new())),
        }
    }

    /// 05, number of methods, methods.
    fn read_greeting(&mut self) -> Option<Step> {
        let count = usize::from(*self.input.get(1)?);
        let methods = self.input.get(2..2 + count)?;
        let wanted = if self.needs_password { USERNAME_PASSWORD } else { NO_AUTHENTICATION };
        if !methods.contains(&wanted) {
            return Some(Step::Refuse(NO_ACCEPTABLE_METHOD.to_vec()));
        }
        self.input.drain(..2 + count);
        self.stage = if self.needs_password { Stage::Password } else { Stage::Request };
        Some(Step::Write(vec![5, wanted]))
    }

    /// 01, length and user, length and password (RFC 1929).
    fn read_password(&mut self) -> Option<Step> {
        if *self.input.first()? != 1 {
            return Some(Step::Refuse(vec![1, 1]));
        }
        let (username, rest) = text_with_length(self.input.get(1..)?)?;
        let (password, rest) = text_with_length(rest)?;
        let step = Step::Check { username: username.to_vec(), password: password.to_vec() };
        let used = self.input.len() - rest.len();
        self.input.drain(..used);
        self.stage = Stage::Verdict;
        Some(step)
    }

    /// 05, command, 00, address (RFC 1928, section 4).
    fn read_request(&mut self) -> Option<Step> {
        let [version, command, _] = *self.input.first_chunk()?;
        if version != 5 {
            return Some(Step::Refuse(Vec::new()));
        }
        match address::parse(&self.input[3..]) {
            Parsed::Part => None,
            Parsed::UnknownType => Some(refuse(Version::Five, Code::AddressTypeNotSupported)),
            Parsed::Whole(target, length) => {
                let port = u16::from_be_bytes([self.input[1 + length], self.input[2 + length]]);
                self.input.drain(..3 + length);
                Some(request_5(command, target, port))
            }
        }
    }

    /// 04, command, port, address, user id and zero; for an address 0.0.0.x a name and zero.
    fn read_version_4(&mut self) -> Option<Step> {
        let [_, command, high, low, a, b, c, d] = *self.input.first_chunk()?;
        let port = u16::from_be_bytes([high, low]);
        let (_, mut rest) = match text_with_zero(&self.input[8..]) {
            Ok(found) => found?,
            Err(TooLong) => return Some(refuse(Version::Four, Code::GeneralFailure)),
        };
        let target = if [a, b, c] == [0, 0, 0] && d != 0 {
            let (name, after) = match text_with_zero(rest) {
                Ok(found) => found?,
                Err(TooLong) => return Some(refuse(Version::Four, Code::HostUnreachable)),
            };
            rest = after;
            std::str::from_utf8(name).map_err(|_| NotATarget).and_then(|name| Target::parse(name, port))
        } else {
            Target::address([a, b, c, d].into(), port)
        };
        let used = self.input.len() - rest.len();
        self.input.drain(..used);
        Some(match (command, target) {
            (1, Ok(target)) => done(Version::Four, Command::Connect(target)),
            (1, Err(NotATarget)) => refuse(Version::Four, Code::HostUnreachable),
            _ => refuse(Version::Four, Code::CommandNotSupported),
        })
    }
}

fn request_5(command: u8, target: Result<Target, NotATarget>, port: u16) -> Step {
    match (command, target) {
        (1, Ok(target)) => done(Version::Five, Command::Connect(target)),
        (1, Err(NotATarget)) => refuse(Version::Five, Code::HostUnreachable),
        (3, _) => done(Version::Five, Command::UdpAssociate(port)),
        _ => refuse(Version::Five, Code::CommandNotSupported),
    }
}

fn done(version: Version, command: Command) -> Step {
    Step::Done(Request { version, command })
}

fn refuse(version: Version, code: Code) -> Step {
    Step::Refuse(reply::encode(version, code, NOWHERE))
}

fn text_with_length(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

struct TooLong;

/// A text, and what is after it.
type Split<'a> = (&'a [u8], &'a [u8]);

/// The text before the zero and what is after it; `None` while there is no zero.
fn text_with_zero(octets: &[u8]) -> Result<Option<Split<'_>>, TooLong> {
    let within = &octets[..octets.len().min(LONGEST_TEXT + 1)];
    match within.iter().position(|octet| *octet == 0) {
        Some(end) => Ok(Some((&octets[..end], &octets[end + 1..]))),
        None if octets.len() > LONGEST_TEXT => Err(TooLong),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
