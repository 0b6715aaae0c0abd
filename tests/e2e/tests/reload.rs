//! SIGHUP: another configuration takes effect without touching the connections that keep their right.

use std::time::Duration;

use crate::connector::{BY_ADDRESS, BY_NAME, CONNECT_LIMIT, Installation, Settings, eventually_fetch};
use crate::process::{Running, eventually};
use crate::servers::{bind, web};
use crate::suite::Test;
use crate::world::namespace::ResolvConf;
use crate::world::{CORP_WEB, SHORT, World};

/// An application that comes with the reload; it stands before the others, so that their numbers change.
const HOST_7: &str = r#"
[[application]]
name = "new"
host = "h007.eng.corp.example.com"
ports = ["tcp/80", "icmp"]
gateway = "hq"
"#;

/// How long a reload may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "a_reload_ends_what_lost_its_right_and_touches_nothing_else",
            needs: &["curl", "named", "nginx", "openssl"],
            run: a_reload_ends_what_lost_its_right_and_touches_nothing_else,
        },
        Test {
            name: "a_reload_of_a_wrong_configuration_changes_nothing_and_says_so",
            needs: &["curl", "named", "nginx", "openssl"],
            run: a_reload_of_a_wrong_configuration_changes_nothing_and_says_so,
        },
        Test {
            name: "a_reload_that_needs_a_new_link_makes_one",
            needs: &["curl", "named", "nginx", "openssl"],
            run: a_reload_that_needs_a_new_link_makes_one,
        },
    ]
}

fn a_reload_ends_what_lost_its_right_and_touches_nothing_else() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    web::corp(&world);
    let wiki = BY_NAME.split("\n\n").next().expect("the first application");
    let installation = Installation::new(&world, &Settings::new(&world, &[wiki, BY_ADDRESS].concat()));
    let mut connector = installation.start();
    let by_name = ask(&world, "wiki.corp.example.com:80", "by-name");
    let mut by_address = ask(&world, &format!("{CORP_WEB}:80"), "by-address");
    for running in [&by_name, &by_address] {
        eventually(LIMIT, "answers before the reload", || (answers(running) > 2).then_some(()));
    }
    installation.configure(&Settings::new(&world, &[HOST_7, wiki].concat()));
    connector.signal("HUP");
    by_address.wait(LIMIT);
    assert!(by_address.log().contains("ConnectionReset"), "{}", by_address.log());
    let before = answers(&by_name);
    eventually(LIMIT, "answers after the reload", || (answers(&by_name) > before + 5).then_some(()));
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    let refused = world.on_client("curl", &["-sS", "-m", "5", &format!("http://{CORP_WEB}/")]);
    assert_ne!(refused.code, 0, "the range is not ours any more");
    eventually(LIMIT, "a ping of the new application", || {
        let ping = world.on_client("ping", &["-c", "1", "-W", "5", "h007.eng.corp.example.com"]);
        (ping.code == 0).then_some(())
    });
    let status = installation.status().expect("a status");
    let names: Vec<&str> = status["applications"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|a| a["name"].as_str())
        .collect();
    assert_eq!(names, ["new", "wiki"]);
    let flows = status["applications"][1]["flows"].as_u64();
    assert!(flows >= Some(1), "counted under its new number: {status:#}");
    let flows = installation.get("/api/v1/flows");
    let flow = &flows["flows"][0];
    assert_eq!(
        (flow["application"].as_str(), flow["gateway"].as_str()),
        (Some("wiki"), Some("hq")),
        "{flows:#}"
    );
    assert_eq!(
        (flow["host"].as_str(), flow["protocol"].as_str()),
        (Some("wiki.corp.example.com"), Some("tcp"))
    );
    assert_eq!(flow["destination"].as_str(), Some(format!("{CORP_WEB}:80").as_str()), "the real address");
    assert!(flow["bytes_sent"].as_u64() > Some(0) && flow["bytes_received"].as_u64() > Some(0), "{flows:#}");
    let names = installation.get("/api/v1/dns");
    let known = names["names"].as_array().expect("a list");
    assert!(known.iter().any(|name| name["name"] == "wiki.corp.example.com"), "{names:#}");
    let before = answers(&by_name);
    eventually(LIMIT, "answers at the end", || (answers(&by_name) > before).then_some(()));
    installation.stop(&mut connector);
}

fn a_reload_of_a_wrong_configuration_changes_nothing_and_says_so() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    web::corp(&world);
    let settings = Settings::new(&world, BY_NAME);
    let installation = Installation::new(&world, &settings);
    let mut connector = installation.start();
    installation.configure(&Settings { before: "[tunnelling]\nmtu = 1400\n".to_owned(), ..settings });
    connector.signal("HUP");
    let status = installation.wait_for_status(&mut connector, "a warning", LIMIT, |status| {
        status["warnings"].to_string().contains("did you mean `[tunneling]`")
    });
    assert_eq!((status["state"].as_str(), status["colour"].as_str()), (Some("connected"), Some("yellow")));
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    installation.configure(&Settings::new(&world, BY_NAME));
    connector.signal("HUP");
    installation.wait_for_status(&mut connector, "no warning", LIMIT, |status| status["colour"] == "green");
    installation.stop(&mut connector);
}

fn a_reload_that_needs_a_new_link_makes_one() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    web::corp(&world);
    let settings = Settings::new(&world, BY_NAME);
    let installation = Installation::new(&world, &settings);
    let mut connector = installation.start();
    installation.configure(&Settings { before: "[tunneling]\nmtu = 1300\n".to_owned(), ..settings });
    connector.signal("HUP");
    eventually(LIMIT, "a link of the new size", || {
        let links = world.on_client("ip", &["link"]).stdout;
        links.lines().any(|line| line.contains("ztna") && line.contains("mtu 1300")).then_some(())
    });
    installation.wait_for_state(&mut connector, "connected", CONNECT_LIMIT);
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    installation.stop(&mut connector);
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
