//! Handshakes with a stock gateway: preshared keys, right and wrong, and a gateway under load that asks for a cookie.

use std::fs;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::connector::{BY_ADDRESS, CONNECT_LIMIT, Installation, Settings};
use crate::process::{eventually, run};
use crate::suite::Test;
use crate::world::namespace::ResolvConf;
use crate::world::{CORP_ECHO, GATEWAY_ENDPOINT, SHORT, World, wireguard};

/// An address of the internet that answers nobody.
const SINK: &str = "198.18.1.1:51821";

/// The length of a handshake initiation (whitepaper, 5.4.2).
const INITIATION: usize = 148;

/// The longest a connector may take to get in while others knock all the time: a few attempts of five seconds each.
const CROWDED_LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "a_preshared_key_is_used_and_a_wrong_one_is_no_way_in",
            needs: &["ping"],
            run: a_preshared_key_is_used_and_a_wrong_one_is_no_way_in,
        },
        Test {
            name: "a_gateway_under_load_is_answered_with_its_cookie",
            needs: &["ping"],
            run: a_gateway_under_load_is_answered_with_its_cookie,
        },
    ]
}

fn a_preshared_key_is_used_and_a_wrong_one_is_no_way_in() {
    let world = World::new(ResolvConf::File);
    let [right, wrong] =
        [(); 2].map(|()| run(std::process::Command::new("wg").arg("genpsk"), SHORT).success());
    let file = world.folder().join("preshared");
    fs::write(&file, &right).expect("a key file");
    let file = file.display().to_string();
    let set = ["set", "wg0", "peer", &world.client_keys.public, "preshared-key", &file];
    run(world.gateway.command("wg").args(set), SHORT).success();

    let mut settings = Settings::new(&world, BY_ADDRESS);
    settings.more = format!("preshared_key = \"{wrong}\"\n");
    let installation = Installation::new(&world, &settings);
    let mut connector = installation.launch();
    let status =
        installation.wait_for_status(&mut connector, "the gateway is called failed", SHORT * 2, |status| {
            status["gateways"][0]["state"] == "failed"
        });
    let text = status.to_string();
    assert!(!text.contains(&wrong), "no secret is shown: {status:#}");
    assert!(status["gateways"][0]["error"].as_str().is_some_and(|error| error.contains("key")), "{status:#}");
    assert_ne!(world.on_client("ping", &["-c", "1", "-W", "1", CORP_ECHO]).code, 0);
    installation.stop(&mut connector);

    settings.more = format!("preshared_key = \"{right}\"\n");
    installation.configure(&settings);
    let mut connector = installation.start();
    world.on_client("ping", &["-c", "1", "-W", "5", CORP_ECHO]).success();
    installation.stop(&mut connector);
}

fn a_gateway_under_load_is_answered_with_its_cookie() {
    let world = World::new(ResolvConf::File);
    let _crowd = Crowd::start(&world, initiation(&world));
    let log = world.log_path("wireguard-gateway");
    let cookies = |to: &str| {
        let log = fs::read_to_string(&log).unwrap_or_default();
        log.lines().filter(|line| line.contains("cookie") && line.contains(to)).count()
    };
    eventually(SHORT, "the gateway is under load", || (cookies("198.18.2.1") > 0).then_some(()));
    let installation = Installation::new(&world, &Settings::new(&world, BY_ADDRESS));
    let mut connector = installation.launch();
    installation.wait_for_state(&mut connector, "connected", CROWDED_LIMIT);
    assert!(cookies("198.18.1.2") > 0, "the gateway asked the laptop for a cookie first");
    eventually(CONNECT_LIMIT, "the tunnel works", || {
        (world.on_client("ping", &["-c", "1", "-W", "2", CORP_ECHO]).code == 0).then_some(())
    });
    installation.stop(&mut connector);
}

/// A genuine first message to the gateway, which a stock client sent elsewhere.
fn initiation(world: &World) -> Vec<u8> {
    let sink = world.wan.inside(|| UdpSocket::bind(SINK).expect("a socket on the internet"));
    sink.set_read_timeout(Some(SHORT)).expect("a limit");
    let client = wireguard::connect(world, &world.gateway_keys.public, SINK);
    // Whatever is sent into the tunnel makes it knock.
    world.on_client("ping", &["-c", "1", "-W", "1", CORP_ECHO]);
    let mut message = vec![0; 2048];
    let length = sink.recv(&mut message).expect("a message of the stock client");
    assert_eq!(length, INITIATION);
    message.truncate(length);
    drop(client);
    message
}

/// Someone on the internet who sends the same message to the gateway as fast as possible.
struct Crowd {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    fn start(world: &World, message: Vec<u8>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let socket = world.wan.inside(|| UdpSocket::bind("198.18.2.1:0").expect("a socket on the internet"));
        let told = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                for _ in 0..256 {
                    let _ = socket.send_to(&message, GATEWAY_ENDPOINT);
                }
                // The gateway's two workers need 0.2 ms a message: a queue of 128 is kept filled, and no more.
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
