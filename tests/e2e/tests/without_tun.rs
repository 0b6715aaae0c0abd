//! `run --no-tun`: nothing of the system is changed, and the proxies lead to the company all the same, whatever carries
//! their flows.

use crate::connector::{BY_NAME, CONNECT_LIMIT, Installation, Settings};
use crate::process::{Finished, Running, eventually, run};
use crate::servers::{bind, web};
use crate::snapshot::Snapshot;
use crate::suite::Test;
use crate::world::capture::Capture;
use crate::world::namespace::ResolvConf;
use crate::world::{SHORT, World};

/// The values of `[tunneling] stack`, and what `status` then says of what carries flows.
const STACKS: [(&str, &str); 2] = [("namespace", "private namespace"), ("smoltcp", "user-space stack")];

/// The company's page by its name.
const WIKI: &str = "http://wiki.corp.example.com/";

pub(crate) fn tests() -> Vec<Test> {
    vec![Test {
        name: "without_a_tun_the_proxies_reach_the_company_over_both_stacks",
        needs: &["curl", "named", "nginx", "openssl", "tcpdump"],
        run: without_a_tun_the_proxies_reach_the_company_over_both_stacks,
    }]
}

fn without_a_tun_the_proxies_reach_the_company_over_both_stacks() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    bind::public(&world);
    web::corp(&world);
    let before = Snapshot::take(&world);
    let installation = Installation::new(&world, &settings(&world, STACKS[0].0));
    let config = installation.config_path().display().to_string();
    let mut command = installation.command(&["run", "--no-tun", "--config", &config]);
    let mut connector = Running::start(&mut command, &world.log_path("connector"));
    let uplink = Capture::start(&world, &world.client, "eth0", "uplink");
    for (round, (stack, carrier)) in STACKS.into_iter().enumerate() {
        if round > 0 {
            installation.configure(&settings(&world, stack));
            connector.signal("HUP");
        }
        let status = installation.wait_for_status(&mut connector, carrier, CONNECT_LIMIT, |status| {
            let is_carried = status["carrier"].as_str().is_some_and(|text| text.contains(carrier));
            is_carried && status["state"] == "connected"
        });
        assert_eq!(status["colour"], "green", "{status:#}");
        assert_pages(&world);
        assert_refusal(&world);
        installation.run(&["down"]).success();
        assert_ne!(by_socks(&world, WIKI).code, 0, "{stack}: nothing leads there while disconnected");
        installation.run(&["up"]).success();
        let page = eventually(CONNECT_LIMIT, "the page can be fetched again", || {
            let finished = by_socks(&world, WIKI);
            (finished.code == 0).then_some(finished.stdout)
        });
        assert!(page.contains(web::SECRET_PHRASE), "{stack}: {page}");
        assert!(Snapshot::take(&world).differences(&before).is_none(), "{stack}");
    }
    let seen = uplink.stop();
    assert!(!seen.contains_name("wiki.corp.example.com"), "the name leaves in the tunnel only");
    assert!(!seen.contains(web::SECRET_PHRASE.as_bytes()), "so does the page");
    installation.stop(&mut connector);
    assert!(Snapshot::take(&world).differences(&before).is_none());
}

fn settings(world: &World, stack: &str) -> Settings {
    let before = format!("[tunneling]\nstack = \"{stack}\"\n");
    Settings { before, ..Settings::new(world, BY_NAME) }
}

fn by_socks(world: &World, url: &str) -> Finished {
    curl(world, &["--socks5-hostname", "127.0.0.1:1080", url])
}

fn curl(world: &World, arguments: &[&str]) -> Finished {
    let mut command = world.client.command("curl");
    run(command.args(["-sS", "-m", "20"]).args(arguments), SHORT)
}

/// The page comes by both proxies.
fn assert_pages(world: &World) {
    for arguments in
        [["--socks5-hostname", "127.0.0.1:1080"], ["--socks4a", "127.0.0.1:1080"], ["-x", "127.0.0.1:8080"]]
    {
        let page = curl(world, &[&arguments[..], &[WIKI]].concat()).success();
        assert!(page.contains(web::SECRET_PHRASE), "{arguments:?}: {page}");
    }
}

/// A port that is not allowed is refused with its reason.
fn assert_refusal(world: &World) {
    let url = "http://wiki.corp.example.com:8080/";
    let told = curl(world, &["-x", "127.0.0.1:8080", "-w", "%{http_code}", "-H", "Accept: text/html", url]);
    assert!(told.stdout.ends_with("403"), "{} {}", told.stdout, told.stderr);
    assert!(told.stdout.contains("wiki") && told.stdout.contains("tcp/8080"), "{}", told.stdout);
}
