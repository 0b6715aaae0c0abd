//! What is not allowed is refused at once, and the reason can be seen.

use std::time::Duration;

use serde_json::Value;

use crate::connector::{Installation, Settings, application};
use crate::process::{Running, run};
use crate::servers::{self, bind, web};
use crate::suite::Test;
use crate::world::namespace::ResolvConf;
use crate::world::{SHORT, World};

/// Far below any time-out of TCP (1 s for the first repeated SYN), far above the bar of 50 ms.
const AT_ONCE: Duration = Duration::from_millis(500);

/// The wiki on two ports, one echo over UDP, all of engineering but ICMP.
const NARROW: &str = r#"
[[application]]
name = "wiki"
host = "wiki.corp.example.com"
ports = ["tcp/80", "tcp/443"]
gateway = "hq"

[[application]]
name = "echo"
host = "echo.eng.corp.example.com"
ports = ["udp/7"]
gateway = "hq"
"#;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "a_port_that_is_not_allowed_is_refused_at_once_with_its_reason",
            needs: &["curl", "named", "nginx", "openssl"],
            run: a_port_that_is_not_allowed_is_refused_at_once_with_its_reason,
        },
        Test {
            name: "udp_and_ping_that_are_not_allowed_are_refused_by_icmp",
            needs: &["named", "ping"],
            run: udp_and_ping_that_are_not_allowed_are_refused_by_icmp,
        },
    ]
}

fn a_port_that_is_not_allowed_is_refused_at_once_with_its_reason() {
    let world = World::new(ResolvConf::File);
    web::corp(&world);
    let (installation, mut connector) = start(&world);
    world.on_client("curl", &["-sS", "-m", "10", "http://wiki.corp.example.com/"]).success();
    // The server listens on 8080: only the policy is in the way.
    run(&mut world.corp.agent(&["tcp-connect", "10.77.0.80:8080"]), SHORT).success();
    for _ in 0..3 {
        assert_refused_at_once(&world, "wiki.corp.example.com:8080", "ConnectionRefused");
    }
    let status =
        installation.wait_for_status(&mut connector, "the refusal is in the status", SHORT, |status| {
            !application(status, "wiki")["last_refusal"].is_null()
        });
    let refusal = &application(&status, "wiki")["last_refusal"];
    assert!(refusal["text"].as_str().is_some_and(|text| !text.is_empty()), "{status:#}");
    assert!(refusal.to_string().contains("8080"), "the refusal names the port: {refusal:#}");
    assert!(total(&status["drops"]) >= 3, "refusals are counted: {status:#}");
    // What is allowed goes on.
    world.on_client("curl", &["-sS", "-m", "10", "http://wiki.corp.example.com/"]).success();
    installation.stop(&mut connector);
}

fn udp_and_ping_that_are_not_allowed_are_refused_by_icmp() {
    let world = World::new(ResolvConf::File);
    servers::udp_echo(&world);
    let (installation, mut connector) = start(&world);
    run(&mut world.client.agent(&["udp-ask", "echo.eng.corp.example.com:7", "100"]), SHORT).success();
    let refused = run(&mut world.client.agent(&["udp-ask", "echo.eng.corp.example.com:9", "100"]), SHORT);
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    // "administratively prohibited" reaches a connected UDP socket as EHOSTUNREACH or EACCES, never as silence.
    assert!(
        ["HostUnreachable", "PermissionDenied", "ConnectionRefused"].contains(&refused.stdout.trim()),
        "{}",
        refused.stdout
    );
    let ping = world.on_client("ping", &["-4", "-c", "1", "-W", "5", "echo.eng.corp.example.com"]);
    assert_eq!(ping.code, 1, "{}{}", ping.stdout, ping.stderr);
    let text = format!("{}{}", ping.stdout, ping.stderr);
    assert!(
        text.contains("Packet filtered") || text.contains("Prohibited") || text.contains("prohibited"),
        "{text}"
    );
    let status =
        installation.wait_for_status(&mut connector, "the refusal is in the status", SHORT, |status| {
            !application(status, "echo")["last_refusal"].is_null()
        });
    assert!(total(&status["drops"]) >= 2, "{status:#}");
    installation.stop(&mut connector);
}

#[track_caller]
fn assert_refused_at_once(world: &World, address: &str, kind: &str) {
    let refused = run(&mut world.client.agent(&["tcp-connect", address]), SHORT);
    let words: Vec<&str> = refused.stdout.split_whitespace().collect();
    let [found, milliseconds] = words.as_slice() else { panic!("{}", refused.stdout) };
    assert_eq!(*found, kind);
    let elapsed = Duration::from_millis(milliseconds.parse().expect("milliseconds"));
    assert!(elapsed < AT_ONCE, "refused only after {elapsed:?}");
}

/// The sum of a map of counters.
fn total(counters: &Value) -> u64 {
    counters.as_object().map_or(0, |map| map.values().filter_map(Value::as_u64).sum())
}

fn start(world: &World) -> (Installation<'_>, Running) {
    bind::corp(world);
    let installation = Installation::new(world, &Settings::new(world, NARROW));
    let connector = installation.start();
    (installation, connector)
}
