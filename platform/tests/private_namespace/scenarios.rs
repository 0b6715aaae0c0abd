//! What is tried, each in a process of its own.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener},
    os::fd::{AsRawFd, OwnedFd},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use platform::{
    Family,
    private_namespace::{Kind, Obstacle, PrivateNamespace},
    tun::VNET_HEADER_LEN,
};
use rustix::{event::PollFlags, thread::UnshareFlags};
use socket2::SockRef;

use crate::{
    joined::{Joined, LIMIT, NEAR, arguments, config, dial, source_of, wait},
    world::{INSIDE, become_nobody, show_device},
};

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    body: fn(),
    /// Mode of `/dev/net/tun`, and whether rights are given up.
    device: u32,
    as_nobody: bool,
}

const USUAL: u32 = 0o666;

pub(crate) const ALL: &[Scenario] = &[
    unprivileged("any_user_speaks_tcp_over_the_tun_in_both_families", tcp_in_both_families),
    Scenario { as_nobody: false, ..unprivileged("root_does_likewise", tcp_in_both_families) },
    unprivileged("addresses_and_the_largest_packet_can_be_changed", addresses_and_mtu_change),
    unprivileged("a_port_has_one_listener_and_others_are_refused", one_listener_a_port),
    unprivileged("sockets_are_many_and_all_inside", many_sockets),
    unprivileged("a_broker_that_ends_is_replaced_in_its_network", broker_ends),
    Scenario { as_nobody: false, ..unprivileged("so_is_that_of_root", broker_ends) },
    unprivileged("nothing_remains_after_the_parent_is_killed", nothing_remains),
    Scenario { device: 0o600, ..unprivileged("a_closed_device_is_told", closed_device) },
    unprivileged("forbidden_namespaces_are_told", forbidden_namespaces),
    unprivileged("hold", hold),
];

const fn unprivileged(name: &'static str, body: fn()) -> Scenario {
    Scenario { name, body, device: USUAL, as_nobody: true }
}

/// Runs the scenario of this name in this process.
pub(crate) fn run(name: &str) {
    let scenario = ALL.iter().find(|scenario| scenario.name == name).unwrap();
    if rustix::process::geteuid().is_root() {
        show_device(scenario.device);
        if scenario.as_nobody {
            become_nobody();
        }
    }
    (scenario.body)();
}

fn tcp_in_both_families() {
    let joined = Joined::make();
    for (family, host, own) in [(Family::V4, "10.9.8.7", NEAR[0]), (Family::V6, "2001:db8::7", NEAR[1])] {
        let to = SocketAddr::new(host.parse().unwrap(), 443);
        let listener = joined.far.listen(family, 443).unwrap();
        let (mut near, mut far) = joined.connect(&listener, to);
        // Both ends know the true addresses, though nobody has the one that was dialed.
        assert_eq!(far.local_addr().unwrap(), to);
        assert_eq!(far.peer_addr().unwrap().ip(), own.parse::<IpAddr>().unwrap());
        let bytes: Vec<u8> = (0..64_u32 << 20).map(|index| (index >> 7) as u8).collect();
        let sent = bytes.clone();
        let begun = Instant::now();
        let sender = thread::spawn(move || {
            near.write_all(&sent).unwrap();
            near.shutdown(std::net::Shutdown::Write).unwrap();
            let mut echo = String::new();
            near.read_to_string(&mut echo).unwrap();
            echo
        });
        let mut received = Vec::new();
        far.read_to_end(&mut received).unwrap();
        println!("{family}: {:.0} MiB/s", 64.0 / begun.elapsed().as_secs_f64());
        assert!(received == bytes, "what came is not what was sent");
        far.write_all(b"thank you").unwrap();
        drop(far);
        assert_eq!(sender.join().unwrap(), "thank you");
    }
}

fn addresses_and_mtu_change() {
    let network = PrivateNamespace::open(&arguments(), &config(&NEAR, false)).unwrap();
    let source = |family, to: &str| {
        let socket = network.sockets.socket(Kind::Udp, family).unwrap();
        dial(&socket, to.parse().unwrap()).unwrap();
        SockRef::from(&socket).send(&[7; 5000]).unwrap();
        wait(&network.tun, PollFlags::IN);
        let mut frame = [0; 9000];
        let length = network.tun.recv(&mut frame).unwrap();
        while network.tun.recv(&mut [0; 9000]).is_ok() {}
        (source_of(&frame), length - VNET_HEADER_LEN)
    };
    assert_eq!(source(Family::V4, "10.0.0.1:9").0, NEAR[0].parse::<IpAddr>().unwrap());
    let moved = ["198.18.0.9", "fd77::9"].map(|address| address.parse::<IpAddr>().unwrap());
    network.sockets.set_addresses(&moved).unwrap();
    network.sockets.set_mtu(1300).unwrap();
    for (family, to, address) in
        [(Family::V4, "10.0.0.1:9", moved[0]), (Family::V6, "[2001:db8::1]:9", moved[1])]
    {
        let (source, length) = source(family, to);
        assert_eq!(source, address);
        assert!((1280..=1300).contains(&length), "{length}");
    }
    // The former address is nobody's now: back and forth does no harm.
    let former = NEAR.map(|address| address.parse::<IpAddr>().unwrap());
    network.sockets.set_addresses(&former).unwrap();
    assert_eq!(source(Family::V6, "[2001:db8::1]:9").0, former[1]);
}

fn one_listener_a_port() {
    let joined = Joined::make();
    let listener = joined.far.listen(Family::V4, 22).unwrap();
    let again = joined.far.listen(Family::V4, 22).unwrap_err();
    assert_eq!(again.raw_os_error(), Some(libc::EADDRINUSE));
    drop(joined.connect(&listener, "10.1.1.1:22".parse().unwrap()));
    drop(listener);
    let listener = joined.far.listen(Family::V4, 22).unwrap();
    drop(joined.connect(&listener, "10.1.1.2:22".parse().unwrap()));
}

fn many_sockets() {
    let network = PrivateNamespace::open(&arguments(), &config(&NEAR, false)).unwrap();
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let begun = Instant::now();
    let sockets: Vec<OwnedFd> =
        (0..400).map(|_| network.sockets.socket(Kind::Tcp, Family::V4).unwrap()).collect();
    println!("{:.1} us a socket", begun.elapsed().as_secs_f64() * 1e6 / 400.0);
    let distinct: BTreeSet<_> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
    assert_eq!(distinct.len(), 400);
    for socket in &sockets {
        assert!(rustix::io::fcntl_getfd(socket).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        assert!(rustix::fs::fcntl_getfl(socket).unwrap().contains(rustix::fs::OFlags::NONBLOCK));
    }
    // The loopback inside is another one.
    dial(&sockets[0], outside.local_addr().unwrap()).ok();
    wait(&sockets[0], PollFlags::OUT);
    let refused = SockRef::from(&sockets[0]).take_error().unwrap().unwrap();
    assert_eq!(refused.raw_os_error(), Some(libc::ECONNREFUSED));
}

fn broker_ends() {
    let joined = Joined::make();
    let listener = joined.far.listen(Family::V4, 22).unwrap();
    let (mut near, mut far) = joined.connect(&listener, "10.1.1.1:22".parse().unwrap());
    let inside = namespace_of(children(std::process::id())[0]);
    for child in children(std::process::id()) {
        kill(child);
    }
    let begun = Instant::now();
    while joined.near.is_alive() || joined.far.is_alive() {
        assert!(begun.elapsed() < LIMIT, "a broker outlives its end");
        thread::sleep(Duration::from_millis(5));
    }
    near.write_all(b"still").unwrap();
    let mut received = [0; 5];
    far.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"still", "open connections do not need the broker");
    drop(joined.connect(&listener, "10.1.1.2:22".parse().unwrap()));
    let other = joined.far.listen(Family::V6, 23).unwrap();
    drop(joined.connect(&other, "[fd01::1]:23".parse().unwrap()));
    for _ in 0..200 {
        joined.near.socket(Kind::Tcp, Family::V4).unwrap();
    }
    assert!(joined.near.is_alive() && joined.far.is_alive());
    let brokers = children(std::process::id());
    assert!(brokers.len() == 2 && brokers.iter().any(|broker| namespace_of(*broker) == inside));
    assert_eq!(rights_of(brokers[0]), rights_of(brokers[1]));
    joined.near.set_addresses(&["198.18.0.9".parse().unwrap()]).unwrap();
    let (near, far) = joined.connect(&listener, "10.1.1.3:22".parse().unwrap());
    assert_eq!(far.peer_addr().unwrap().ip(), "198.18.0.9".parse::<IpAddr>().unwrap());
    drop((near, far));
}

fn namespace_of(process: u32) -> std::path::PathBuf {
    fs::read_link(format!("/proc/{process}/ns/net")).unwrap()
}

/// What the kernel says of a broker's rights, which must be what is needed and no more.
fn rights_of(process: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    // CAP_NET_BIND_SERVICE (10) and CAP_NET_ADMIN (12), and only inside.
    assert!(status.contains("CapPrm:\t0000000000001400"), "{status}");
    status.lines().filter(|line| line.starts_with("Cap")).collect()
}

/// Holds a network until it is killed; used by [`nothing_remains`]. By itself it ends at once.
fn hold() {
    let network = PrivateNamespace::open(&arguments(), &config(&NEAR, false)).unwrap();
    println!("holding");
    let mut word = String::new();
    std::io::stdin().read_line(&mut word).unwrap();
    drop(network);
    assert!(children(std::process::id()).is_empty());
}

fn nothing_remains() {
    let mut parent = Command::new("/proc/self/exe")
        .args([INSIDE, "hold"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "holding\n");
    let brokers = children(parent.id());
    assert_eq!(brokers.len(), 1);
    let namespace = fs::read_link(format!("/proc/{}/ns/net", brokers[0])).unwrap();
    assert_ne!(namespace, fs::read_link("/proc/self/ns/net").unwrap());
    rights_of(brokers[0]);
    parent.kill().unwrap();
    parent.wait().unwrap();
    let begun = Instant::now();
    while fs::read_link(format!("/proc/{}/ns/net", brokers[0])).is_ok() {
        assert!(begun.elapsed() < LIMIT, "the broker outlives its parent");
        thread::sleep(Duration::from_millis(5));
    }
}

fn closed_device() {
    let obstacle = PrivateNamespace::open(&arguments(), &config(&NEAR, false)).unwrap_err();
    assert!(matches!(obstacle, Obstacle::DeviceClosed(_)), "{obstacle:?}");
    assert!(obstacle.hint().unwrap().contains("0666"));
    assert!(children(std::process::id()).is_empty());
}

fn forbidden_namespaces() {
    // Limits belong to a user namespace, so that a namespace of this test's own can have none left.
    // SAFETY: this process has one thread.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }.unwrap();
    for limit in ["max_user_namespaces", "max_net_namespaces"] {
        fs::write(format!("/proc/sys/user/{limit}"), "0").unwrap();
    }
    let obstacle = PrivateNamespace::open(&arguments(), &config(&NEAR, false)).unwrap_err();
    assert!(matches!(obstacle, Obstacle::LimitReached(_)), "{obstacle:?}");
    assert!(obstacle.hint().unwrap().contains("user.max_user_namespaces"));
}

/// Processes that this one started and that still run.
fn children(parent: u32) -> Vec<u32> {
    let wanted = format!("PPid:\t{parent}\n");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let name = entry.unwrap().file_name();
        let Ok(process) = name.to_string_lossy().parse() else { continue };
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        if status.contains(&wanted) {
            found.push(process);
        }
    }
    found
}

fn kill(process: u32) {
    let process = rustix::process::Pid::from_raw(process as i32).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
}
