//! Handshakes octet by octet: every dialect, every refusal, no growth without bound.

use super::*;

/// Runs a handshake over `input` in pieces of `size`; what was written, the last step, and the rest.
fn run(needs_password: bool, input: &[u8], size: usize) -> (Vec<u8>, Step, Vec<u8>) {
    let mut handshake = Handshake::new(needs_password);
    let mut pieces = input.chunks(size);
    let mut written = Vec::new();
    loop {
        let mut step = handshake.poll();
        if let Step::Check { username, password } = &step {
            step = handshake.handle_verdict((username.as_slice(), password.as_slice()) == (b"eve", b"open"));
        }
        match step {
            Step::Read => match pieces.next() {
                Some(piece) => handshake.handle_input(piece),
                None => return (written, Step::Read, handshake.into_rest()),
            },
            Step::Write(octets) => written.extend(octets),
            Step::Refuse(octets) => {
                written.extend(&octets);
                return (written, Step::Refuse(octets), handshake.into_rest());
            }
            Step::Done(_) | Step::Check { .. } => {
                let rest = pieces.flatten().copied();
                let end = step;
                let rest = [handshake.into_rest(), rest.collect()].concat();
                return (written, end, rest);
            }
        }
    }
}

/// The same for pieces of every size, which must not matter.
fn run_in_any_pieces(needs_password: bool, input: &[u8]) -> (Vec<u8>, Step, Vec<u8>) {
    let whole = run(needs_password, input, input.len().max(1));
    for size in 1..input.len() {
        let (written, step, rest) = run(needs_password, input, size);
        assert_eq!((&written, &step), (&whole.0, &whole.1), "in pieces of {size}");
        if matches!(step, Step::Done(_)) {
            assert_eq!(rest, whole.2, "in pieces of {size}");
        }
    }
    whole
}

fn connect(version: Version, host: &str, port: u16) -> Step {
    done(version, Command::Connect(Target::parse(host, port).unwrap()))
}

#[test]
fn socks5_connects_to_names_and_addresses_and_keeps_what_follows() {
    let by_name = [&[5, 1, 0, 5, 1, 0, 3, 9], b"wiki.corp".as_slice(), &[1, 187], b"GET /"].concat();
    let (written, step, rest) = run_in_any_pieces(false, &by_name);
    assert_eq!((written.as_slice(), rest.as_slice()), ([5, 0].as_slice(), b"GET /".as_slice()));
    assert_eq!(step, connect(Version::Five, "wiki.corp", 443));
    let by_address = [5, 2, 2, 0, 5, 1, 0, 1, 10, 77, 0, 5, 0, 22];
    assert_eq!(run_in_any_pieces(false, &by_address).1, connect(Version::Five, "10.77.0.5", 22));
}

#[test]
fn socks4_and_4a_connect() {
    let by_address = [&[4, 1, 0, 80, 10, 77, 0, 5], b"eve\0".as_slice()].concat();
    assert_eq!(run_in_any_pieces(false, &by_address).1, connect(Version::Four, "10.77.0.5", 80));
    let by_name = [&[4, 1, 0, 80, 0, 0, 0, 7], b"\0wiki.corp\0rest".as_slice()].concat();
    let (written, step, rest) = run_in_any_pieces(false, &by_name);
    assert_eq!((written.len(), rest.as_slice()), (0, b"rest".as_slice()));
    assert_eq!(step, connect(Version::Four, "wiki.corp", 80));
}

#[test]
fn udp_associate_may_say_nothing_about_itself() {
    let nothing = [5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0];
    assert_eq!(run_in_any_pieces(false, &nothing).1, done(Version::Five, Command::UdpAssociate(0)));
    let port = [5, 1, 0, 5, 3, 0, 1, 127, 0, 0, 1, 0x12, 0x34];
    assert_eq!(run_in_any_pieces(false, &port).1, done(Version::Five, Command::UdpAssociate(0x1234)));
}

#[test]
fn each_refusal_has_its_code() {
    let address = [1, 10, 77, 0, 5, 0, 22];
    let request = |command: u8, address: &[u8]| [&[5, 1, 0, 5, command, 0], address].concat();
    let code = |input: &[u8]| match run_in_any_pieces(false, input).1 {
        Step::Refuse(reply) => reply[1],
        other @ (Step::Read | Step::Write(_) | Step::Check { .. } | Step::Done(_)) => panic!("{other:?}"),
    };
    assert_eq!(code(&request(2, &address)), Code::CommandNotSupported as u8, "BIND");
    assert_eq!(code(&request(0xf0, &address)), Code::CommandNotSupported as u8);
    assert_eq!(code(&request(1, &[9, 1, 2, 3])), Code::AddressTypeNotSupported as u8);
    assert_eq!(code(&request(1, &[3, 2, b'a', b' ', 0, 80])), Code::HostUnreachable as u8);
    assert_eq!(code(&request(1, &[1, 10, 77, 0, 5, 0, 0])), Code::HostUnreachable as u8, "port 0");
    assert_eq!(code(&[5, 1, 1]), 0xff, "only GSSAPI");
    assert_eq!(code(&[5, 0]), 0xff, "no method at all");
    assert_eq!(code(&[4, 2, 0, 80, 10, 77, 0, 5, 0]), 91, "BIND of SOCKS4");
}

#[test]
fn a_password_is_asked_for_where_it_is_configured_and_nowhere_else() {
    let greeting = [5, 2, 0, 2];
    let password = |text: &[u8]| [&[1, 3], b"eve".as_slice(), &[text.len() as u8], text].concat();
    let request = [5, 1, 0, 1, 10, 77, 0, 5, 0, 22];
    let (written, step, _) =
        run_in_any_pieces(true, &[&greeting, password(b"open").as_slice(), &request].concat());
    assert_eq!(written, [5, 2, 1, 0]);
    assert_eq!(step, connect(Version::Five, "10.77.0.5", 22));
    let (written, step, _) =
        run_in_any_pieces(true, &[&greeting, password(b"shut").as_slice(), &request].concat());
    assert_eq!((written.as_slice(), step), ([5, 2, 1, 1].as_slice(), Step::Refuse(vec![1, 1])));
    assert_eq!(run_in_any_pieces(true, &[5, 1, 0]).1, Step::Refuse(NO_ACCEPTABLE_METHOD.to_vec()));
    let version_4 = [4, 1, 0, 80, 10, 77, 0, 5, 0];
    assert_eq!(run(true, &version_4, 9).1, refuse(Version::Four, Code::NotAllowed));
}

#[test]
fn texts_without_an_end_are_refused_early() {
    let endless = [[4, 1, 0, 80, 0, 0, 0, 7].as_slice(), &[b'a'; 100_000]].concat();
    let (_, step, rest) = run(false, &endless, 100);
    assert_eq!(step, refuse(Version::Four, Code::GeneralFailure));
    assert!(rest.len() < 500, "{} octets were taken in", rest.len());
    let endless = [[4, 1, 0, 80, 0, 0, 0, 7, 0].as_slice(), &[b'a'; 100_000]].concat();
    assert_eq!(run(false, &endless, 100).1, refuse(Version::Four, Code::HostUnreachable));
}

#[test]
fn what_speaks_http_or_nonsense_is_told_or_dropped() {
    let Step::Refuse(told) = run(false, b"GET / HTTP/1.1\r\n", 16).1 else { panic!("not refused") };
    assert!(told.starts_with(b"HTTP/1.0 400"));
    assert_eq!(run(false, &[22, 3, 1], 3).1, Step::Refuse(Vec::new()), "TLS");
}
