//! What is not protected, who may use the proxies, and what a reload changes.

use super::{Carrier, HTTP, PAC, SOCKS, settings, start};
use crate::process::{Finished, Running, eventually, run};
use crate::servers::{self, bind, web};
use crate::suite::Test;
use crate::world::namespace::ResolvConf;
use crate::world::{PUBLIC_WEB, SHORT, World};

/// Debian's user `nobody`.
const NOBODY: u32 = 65534;

/// The host of the echo by its name.
const CORP_NAME: &str = "host.eng.corp.example.com";

/// A user that is in no list.
const STRANGER: u32 = 4242;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "what_is_not_protected_goes_direct_or_is_refused_as_configured",
            needs: &["curl", "named", "nginx", "openssl", "tcpdump"],
            run: what_is_not_protected_goes_direct_or_is_refused_as_configured,
        },
        Test {
            name: "without_descriptors_a_client_is_told_of_a_failure_and_not_of_a_rule",
            needs: &["named", "prlimit"],
            run: without_descriptors_a_client_is_told_of_a_failure_and_not_of_a_rule,
        },
        Test {
            name: "the_proxies_serve_allowed_users_only",
            needs: &["curl", "named", "nginx", "openssl"],
            run: the_proxies_serve_allowed_users_only,
        },
    ]
}

fn by_http(world: &World, url: &str) -> Finished {
    world.on_client("curl", &["-sS", "-i", "-m", "15", "-x", &format!("http://{HTTP}"), url])
}

fn by_socks(world: &World, url: &str) -> Finished {
    world.on_client("curl", &["-sS", "-m", "15", "-x", &format!("socks5h://{SOCKS}"), url])
}

fn what_is_not_protected_goes_direct_or_is_refused_as_configured() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    bind::public(&world);
    web::corp(&world);
    web::public(&world);
    let (installation, mut connector) = start(&world, Carrier::Stack, "");
    let public = "http://public.example.net/";
    for url in [public.to_owned(), format!("http://{PUBLIC_WEB}/"), format!("http://{HTTP}/")] {
        let page = by_http(&world, &url).success();
        assert!(page.starts_with("HTTP/1.1 403"), "{url}: {page}");
        assert_eq!(by_socks(&world, &url).code, 97, "{url}");
    }

    installation.configure(&settings(&world, Carrier::Stack, "allow_direct = true"));
    connector.signal("HUP");
    eventually(SHORT, "the reload takes effect", || {
        by_http(&world, public).success().contains(web::PUBLIC_PHRASE).then_some(())
    });
    for url in [public.to_owned(), format!("http://{PUBLIC_WEB}/")] {
        let page = by_socks(&world, &url).success();
        assert!(page.contains(web::PUBLIC_PHRASE), "{url}: {page}");
    }
    // Nothing of this machine is reached by the proxies, neither by its addresses nor by names that lead there.
    for host in ["127.0.0.1", "localhost", "198.18.1.2", "[::1]", "0.0.0.0", "169.254.169.254"] {
        for port in [1080, 8080, 8086] {
            let page = by_http(&world, &format!("http://{host}:{port}/proxy.pac")).success();
            assert!(page.starts_with("HTTP/1.1 403") && page.contains("this_machine"), "{host}: {page}");
        }
    }
    let page = by_socks(&world, "http://wiki.corp.example.com/").success();
    assert!(page.contains(web::SECRET_PHRASE), "what is protected still goes through the tunnel: {page}");

    let by_address = format!("{PUBLIC_WEB}:80");
    let mut lost = [
        asking(&world, "socks-by-address", &format!("socks5://{SOCKS}"), &by_address),
        asking(&world, "connect-by-address", &format!("http://{HTTP}"), &by_address),
    ];
    let mut kept = asking(&world, "socks-by-name", &format!("socks5://{SOCKS}"), "public.example.net:80");
    installation.configure(&settings(&world, Carrier::Stack, "exclude_domains = [\"example.net\"]"));
    connector.signal("HUP");
    for flow in &mut lost {
        flow.wait(SHORT);
    }
    let answers = kept.log().lines().count();
    eventually(SHORT, "the flow of an excluded name goes on", || {
        (kept.log().lines().count() > answers + 5).then_some(())
    });
    assert!(kept.ended().is_none());
    eventually(SHORT, "the reload takes effect", || {
        by_http(&world, &format!("http://{PUBLIC_WEB}/")).success().starts_with("HTTP/1.1 403").then_some(())
    });
    let page = by_socks(&world, public).success();
    assert!(page.contains(web::PUBLIC_PHRASE), "an excluded name goes direct: {page}");
    installation.stop(&mut connector);
}

/// A flow by a proxy that never rests.
#[track_caller]
fn asking(world: &World, name: &str, proxy: &str, target: &str) -> Running {
    let mut command = world.client.agent(&["keep-asking-by", proxy, target]);
    let running = Running::start(&mut command, &world.log_path(name));
    eventually(SHORT, name, || (running.log().lines().count() > 2).then_some(()));
    running
}

fn without_descriptors_a_client_is_told_of_a_failure_and_not_of_a_rule() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    servers::tcp_echo(&world);
    let (installation, mut connector) = start(&world, Carrier::Stack, "");
    let (process, most) = (connector.id().to_string(), "--nofile=150:150");
    run(world.client.command("prlimit").args(["--pid", &process, most]), SHORT).success();
    let target = format!("{CORP_NAME}:9");
    let mut command = world.client.agent(&["open-by", &format!("socks5://{SOCKS}"), &target, "1000"]);
    let said = run(&mut command, SHORT * 3).success();
    assert!(said.ends_with("reply 1"), "{said}");
    eventually(SHORT, "there is room again", || {
        let again = world.client.agent(&["open-by", &format!("socks5://{SOCKS}"), &target, "1"]);
        run(&mut { again }, SHORT).stdout.starts_with("1 open").then_some(())
    });
    installation.stop(&mut connector);
}

fn the_proxies_serve_allowed_users_only() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    web::corp(&world);
    let (installation, mut connector) = start(&world, Carrier::Stack, "");
    let fetch = |uid, proxy: &str, url: &str| {
        let mut command = world.client.command_as(uid, "curl");
        run(command.args(["-sS", "-i", "-m", "15", "-x", proxy, url]), SHORT)
    };
    let (socks, http) = (format!("socks5h://{SOCKS}"), format!("http://{HTTP}"));
    let wiki = "http://wiki.corp.example.com/";
    for uid in [0, NOBODY, STRANGER] {
        assert!(fetch(uid, &http, wiki).success().contains(web::SECRET_PHRASE), "{uid}");
    }
    let mut only_nobody = settings(&world, Carrier::Stack, "");
    only_nobody.before =
        only_nobody.before.replace("[tunneling]", "[tunneling]\nallowed_users = [\"nobody\"]");
    installation.configure(&only_nobody);
    connector.signal("HUP");
    eventually(SHORT, "the stranger is refused", || {
        let page = fetch(STRANGER, &http, wiki).success();
        (page.starts_with("HTTP/1.1 403") && page.contains("Access denied")).then_some(())
    });
    let refused = fetch(STRANGER, &socks, wiki);
    assert!(refused.code == 97 && refused.stderr.contains("(2)"), "{}", refused.stderr);
    assert!(fetch(STRANGER, "", PAC).success().starts_with("HTTP/1.1 403"));
    for uid in [0, NOBODY] {
        assert!(fetch(uid, &socks, wiki).success().contains(web::SECRET_PHRASE), "{uid}");
        assert!(fetch(uid, "", PAC).success().contains("application/x-ns-proxy-autoconfig"), "{uid}");
    }
    installation.stop(&mut connector);
}
