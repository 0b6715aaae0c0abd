//! The world works without us: a stock WireGuard client reaches all that the other tests rely on.

use crate::dig;
use crate::process::run;
use crate::servers::{self, bind, postgres, ssh, web};
use crate::suite::Test;
use crate::world::capture::Capture;
use crate::world::namespace::ResolvConf;
use crate::world::{
    CORP_DNS, CORP_ECHO, CORP_HOST, CORP_WEB, GATEWAY_ENDPOINT, PUBLIC_WEB, SHORT, World, wireguard,
};

pub(crate) fn tests() -> Vec<Test> {
    vec![Test {
        name: "the_world_works_with_a_stock_client",
        needs: &[
            "curl", "dig", "iperf3", "named", "nginx", "openssl", "ping", "psql", "ssh", "sshd", "tcpdump",
        ],
        run: the_world_works_with_a_stock_client,
    }]
}

fn the_world_works_with_a_stock_client() {
    let world = World::new(ResolvConf::File);
    let _client = wireguard::connect(&world, &world.gateway_keys.public, GATEWAY_ENDPOINT);
    bind::corp(&world);
    bind::public(&world);
    web::corp(&world);
    web::public(&world);
    servers::udp_echo(&world);
    servers::iperf3(&world);
    ssh::start(&world);
    postgres::start(&world);
    let capture = Capture::start(&world, &world.client, "eth0", "uplink");

    world.on_client("ping", &["-c", "1", "-W", "5", CORP_WEB]).success();
    let page =
        world.on_client("curl", &["-sS", "-m", "5", &format!("http://{}/", bind::host_address(3))]).success();
    assert!(page.contains(&format!("{} at 10.77.16.4", web::SECRET_PHRASE)), "{page}");
    let page = world.on_client("curl", &["-sS", "-m", "5", "http://public.example.net/"]).success();
    assert!(page.contains(web::PUBLIC_PHRASE), "{page}");
    names_answer(&world);
    run(&mut world.client.agent(&["udp-ask", &format!("{CORP_ECHO}:7"), "1200"]), SHORT).success();
    world.on_client("iperf3", &["-c", CORP_HOST, "-n", "1M", "--connect-timeout", "5000"]).success();
    let mut command = world.client.command("ssh");
    command.args(ssh::client_options(&world)).args([&format!("root@{CORP_HOST}"), "id -u"]);
    assert_eq!(run(&mut command, SHORT).success(), "0");
    let mut command = world.client.command("psql");
    command.env("PGPASSWORD", postgres::PASSWORD).args([
        "-h",
        CORP_HOST,
        "-U",
        "corp",
        "-d",
        "postgres",
        "-Atc",
        "select 42",
    ]);
    assert_eq!(run(&mut command, SHORT).success(), "42");

    let seen = capture.stop();
    assert!(!seen.packets("udp port 51820").is_empty(), "the tunnel's packets are on the uplink");
    assert!(seen.packets("net 10.77.0.0/16").is_empty(), "nothing bypasses the tunnel");
    assert!(seen.contains_name(bind::PUBLIC_NAME) && !seen.contains(web::SECRET_PHRASE.as_bytes()));
    assert!(seen.packets(&format!("tcp and host {PUBLIC_WEB}")).len() > 4, "public requests go out in clear");
}

fn names_answer(world: &World) {
    let at = format!("@{CORP_DNS}");
    let ask = |options: &[&str], name: &str, kind: &str| {
        let options = [&[at.as_str()], options].concat();
        dig::ask(&world.client, &options, &format!("{name}.{}", bind::CORP_ZONE), kind)
    };
    assert_eq!(ask(&[], "h007.eng", "A").data("A"), ["10.77.16.8"]);
    assert_eq!(ask(&[], "c007.eng", "A").answer.len(), 3, "a chain of two aliases and an address");
    assert_eq!(ask(&[], "_ldap._tcp.h007.eng", "SRV").data("SRV").len(), 1);
    assert_eq!(ask(&[], "nothing.eng", "A").status, "NXDOMAIN");
    assert!(ask(&["+ignore", "+notcp"], "b007.eng", "TXT").is_truncated());
    assert!(ask(&["+tcp"], "b007.eng", "TXT").data("TXT")[0].len() > 4096);
    let elsewhere = dig::ask(&world.client, &["+time=2"], &format!("h007.eng.{}", bind::CORP_ZONE), "A");
    assert_eq!(elsewhere.status, "NXDOMAIN", "the internet does not know the company's names");
}
