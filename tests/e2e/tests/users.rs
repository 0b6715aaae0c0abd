//! `[tunneling] allowed_users`: who may use the tunnel.

use crate::connector::{BY_ADDRESS, BY_NAME, Installation, Settings};
use crate::dig;
use crate::process::run;
use crate::servers::{bind, web};
use crate::suite::Test;
use crate::world::capture::Capture;
use crate::world::namespace::ResolvConf;
use crate::world::{CORP_WEB, SHORT, World};

/// Debian's user `nobody`.
const NOBODY: u32 = 65534;

/// A user that is in no list.
const STRANGER: u32 = 4242;

pub(crate) fn tests() -> Vec<Test> {
    vec![Test {
        name: "only_allowed_users_and_root_reach_the_company",
        needs: &["curl", "dig", "named", "nginx", "openssl", "tcpdump"],
        run: only_allowed_users_and_root_reach_the_company,
    }]
}

fn only_allowed_users_and_root_reach_the_company() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    bind::public(&world);
    web::corp(&world);
    web::public(&world);
    let mut settings = Settings::new(&world, &[BY_NAME, BY_ADDRESS].concat());
    settings.before = "[tunneling]\nallowed_users = [\"nobody\"]\n".to_owned();
    let installation = Installation::new(&world, &settings);
    let mut connector = installation.start();
    let uplink = Capture::start(&world, &world.client, "eth0", "uplink");

    for url in ["http://wiki.corp.example.com/".to_owned(), format!("http://{CORP_WEB}/")] {
        for allowed in [0, NOBODY] {
            let page = run(world.client.command_as(allowed, "curl").args(["-sS", "-m", "10", &url]), SHORT);
            assert!(
                page.code == 0 && page.stdout.contains(web::SECRET_PHRASE),
                "uid {allowed}: {}",
                page.stderr
            );
        }
        let refused = run(world.client.command_as(STRANGER, "curl").args(["-v", "-m", "10", &url]), SHORT);
        assert_eq!(refused.code, 7, "a connection refused at once: {}", refused.stderr);
        let is_prohibited =
            ["Permission denied", "No route to host"].iter().any(|text| refused.stderr.contains(text));
        assert!(is_prohibited, "{}", refused.stderr);
    }
    // Everyone may ask the resolver, for the system's own resolver has a user of its own.
    let mut command = world.client.command_as(STRANGER, "dig");
    let answer = run(command.args(["-r", "+short", "wiki.corp.example.com"]), SHORT).success();
    assert!(!answer.is_empty());
    let url = "http://public.example.net/";
    run(world.client.command_as(STRANGER, "curl").args(["-sS", "-m", "10", url]), SHORT).success();
    assert_eq!(dig::ask(&world.client, &[], bind::PUBLIC_NAME, "A").status, "NOERROR");

    let seen = uplink.stop();
    let clear = seen.packets("ip and not udp port 51820 and not host 203.0.113.53 and not host 203.0.113.80");
    assert!(clear.is_empty(), "a stranger's packets left by the default route:\n{}", clear.join("\n"));
    installation.stop(&mut connector);
}
