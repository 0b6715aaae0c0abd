//! The device's security: what it takes away, how fast, and what it says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::connector::{BY_NAME, CONNECT_LIMIT, Installation, Settings, application, eventually_fetch};
use crate::process::{Running, eventually, run};
use crate::servers::{bind, web};
use crate::suite::Test;
use crate::world::namespace::ResolvConf;
use crate::world::{SHORT, World};

/// A firewall as a person has it: what was not asked for is dropped.
const FIREWALL: &str = "table inet filter { chain input { type filter hook input priority 0; policy drop; \
    iifname \"lo\" accept; iifname \"ztna*\" accept; ct state established,related accept; \
    meta l4proto { icmp, ipv6-icmp } accept; }; }";

/// How long a change may take to have its effect on a busy machine. The bar is 2 s, and is measured.
const LIMIT: Duration = Duration::from_secs(20);

/// Times that the firewall is turned off.
const ROUNDS: usize = 5;

/// What the exit code says when the device is not as required.
const DEVICE_REFUSED: i32 = 7;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "a_firewall_that_is_turned_off_ends_connections_with_the_reason",
            needs: &["curl", "named", "nft", "nginx", "openssl"],
            run: a_firewall_that_is_turned_off_ends_connections_with_the_reason,
        },
        Test {
            name: "an_application_with_a_requirement_of_its_own_is_taken_away_alone",
            needs: &["curl", "named", "nft", "nginx", "openssl"],
            run: an_application_with_a_requirement_of_its_own_is_taken_away_alone,
        },
        Test {
            name: "required_software_and_the_endpoint_protection_are_asked_when_a_person_asks",
            needs: &[],
            run: required_software_and_the_endpoint_protection_are_asked_when_a_person_asks,
        },
    ]
}

fn a_firewall_that_is_turned_off_ends_connections_with_the_reason() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    web::corp(&world);
    let mut settings = Settings::new(&world, BY_NAME);
    settings.before = "[device_assessment]\nfirewall_required = true\ninterval = 3600\n".to_owned();
    let installation = Installation::new(&world, &settings);
    turn_on(&world);
    let mut connector = installation.start();
    let mut took: Vec<Duration> = Vec::new();
    for round in 0..ROUNDS {
        eventually_fetch(&world, "http://wiki.corp.example.com/");
        let mut asking = ask(&world, "wiki.corp.example.com:80", &format!("asking-{round}"));
        let start = Instant::now();
        turn_off(&world);
        asking.wait(LIMIT);
        took.push(start.elapsed());
        assert!(asking.log().contains("ConnectionReset"), "{}", asking.log());
        if round == 0 {
            everything_says_why(&world, &installation, &mut connector);
        }
        turn_on(&world);
        installation.wait_for_state(&mut connector, "connected", CONNECT_LIMIT);
    }
    println!("firewall off until the connection was reset: {took:?}");
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    assert_eq!(installation.run(&["assess"]).code, 0);
    installation.stop(&mut connector);
}

/// In the state of the blocked device.
fn everything_says_why(world: &World, installation: &Installation<'_>, connector: &mut Running) {
    let status = installation.wait_for_state(connector, "blocked", LIMIT);
    let reason = "Device does not meet security requirements: Firewall is off";
    assert!(status["message"].as_str().is_some_and(|text| text.contains(reason)), "{status:#}");
    assert_eq!(status["device"]["state"], "failed");
    let wiki = application(&status, "wiki");
    assert_eq!(
        (wiki["state"].as_str(), wiki["reason"].as_str()),
        (Some("blocked: device"), Some("Firewall is off"))
    );
    let refused = run(&mut world.client.agent(&["tcp-connect", "wiki.corp.example.com:80"]), SHORT);
    assert!(refused.stdout.contains("ConnectionRefused"), "{}", refused.stdout);
    let page = world.on_client(
        "curl",
        &["-sS", "-m", "10", "-x", "http://127.0.0.1:8080", "http://wiki.corp.example.com/"],
    );
    assert!(page.stdout.contains(reason), "the proxy's page says why: {}", page.stdout);
    let status = installation.status().expect("a status");
    let refusal = &application(&status, "wiki")["last_refusal"];
    assert_eq!(refusal["reason"], "device", "{refusal:#}");
    let device = installation.get("/api/v1/device");
    let check = &device["checks"][0];
    assert_eq!(
        (check["id"].as_str(), check["state"].as_str()),
        (Some("firewall"), Some("failed")),
        "{device:#}"
    );
    assert_eq!(check["covers"], "all");
    let assessed = installation.run(&["assess"]);
    assert_eq!(assessed.code, DEVICE_REFUSED, "{}", assessed.stdout);
    assert!(assessed.stdout.contains("fix: Turn on the firewall"), "{}", assessed.stdout);
}

fn an_application_with_a_requirement_of_its_own_is_taken_away_alone() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    web::corp(&world);
    let strict = BY_NAME.replacen("gateway = \"hq\"", "gateway = \"hq\"\nrequires = [\"firewall\"]", 1);
    let installation = Installation::new(&world, &Settings::new(&world, &strict));
    turn_on(&world);
    let mut connector = installation.start();
    let mut strict = ask(&world, "wiki.corp.example.com:80", "strict");
    let other = ask(&world, "h007.eng.corp.example.com:80", "other");
    turn_off(&world);
    strict.wait(LIMIT);
    assert!(strict.log().contains("ConnectionReset"), "{}", strict.log());
    let status = installation
        .wait_for_status(&mut connector, "a warning", LIMIT, |status| status["colour"] == "yellow");
    assert_eq!(status["state"], "connected");
    assert_eq!(status["device"]["message"], "Firewall is off: 1 application is blocked");
    assert_eq!(application(&status, "engineering")["state"], "available");
    let before = answers(&other);
    eventually(LIMIT, "the other application goes on", || (answers(&other) > before + 5).then_some(()));
    turn_on(&world);
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    installation.stop(&mut connector);
}

fn required_software_and_the_endpoint_protection_are_asked_when_a_person_asks() {
    let world = World::new(ResolvConf::File);
    let guard = format!("guard{}", std::process::id()); // processes are those of the whole machine
    let program = world.folder().join(&guard);
    fs::copy("/bin/sleep", &program).expect("a program");
    let edr = world.folder().join("falconctl");
    fs::write(&edr, "#!/bin/sh\necho 'State: Running'\n").expect("a program");
    fs::set_permissions(&edr, fs::Permissions::from_mode(0o755)).expect("permissions");
    let mut settings = Settings::new(&world, BY_NAME);
    settings.before = format!(
        "[device_assessment]\nrequired_security_software = [\"{guard}\"]\nedr_integration = true\n\
         edr_vendor = \"crowdstrike\"\nedr_check_command = \"{} status\"\nedr_status_regex = \"State: Running\"\n",
        edr.display()
    );
    let installation = Installation::new(&world, &settings);
    let config = installation.config_path().display().to_string();
    let tested = installation.run(&["--test-edr", "--config", &config]);
    assert_eq!(tested.code, 0, "{}{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.contains("verdict: PASSED"), "{}", tested.stdout);
    let mut connector = installation.launch();
    installation.wait_for_state(&mut connector, "blocked", CONNECT_LIMIT);
    let assessed = installation.run(&["assess"]);
    assert_eq!(assessed.code, DEVICE_REFUSED, "{}", assessed.stdout);
    assert!(assessed.stdout.contains(&format!("Start {guard}")), "{}", assessed.stdout);
    let running = Running::start(Command::new(&program).arg("600"), &world.log_path("guard"));
    let assessed = installation.run(&["assess"]);
    assert_eq!(assessed.code, 0, "{}", assessed.stdout);
    installation.wait_for_state(&mut connector, "connected", CONNECT_LIMIT);
    drop(running);
    assert_eq!(installation.run(&["assess"]).code, DEVICE_REFUSED);
    fs::set_permissions(&edr, fs::Permissions::from_mode(0o777)).expect("permissions");
    let tested = installation.run(&["--test-edr", "--config", &config]);
    assert_eq!(tested.code, DEVICE_REFUSED, "{}", tested.stdout);
    assert!(tested.stdout.contains("may write to"), "{}", tested.stdout);
    installation.stop(&mut connector);
}

fn turn_on(world: &World) {
    world.on_client("nft", &[FIREWALL]).success();
}

fn turn_off(world: &World) {
    world.on_client("nft", &["delete table inet filter"]).success();
}

/// Starts asking over one connection.
fn ask(world: &World, address: &str, name: &str) -> Running {
    let mut command = world.client.agent(&["keep-asking", address]);
    let running = Running::start(&mut command, &world.log_path(name));
    eventually(SHORT, "the first answer", || (answers(&running) > 0).then_some(()));
    running
}

fn answers(running: &Running) -> usize {
    running.log().matches("answered").count()
}
