//! A CIDR application: programs reach the company's network by its addresses.

use crate::connector::{BY_ADDRESS, Installation, Settings};
use crate::process::run;
use crate::servers::{self, bind, web};
use crate::suite::Test;
use crate::world::namespace::ResolvConf;
use crate::world::{CORP_ECHO, CORP_HOST, CORP_WEB, PUBLIC_WEB, SHORT, World};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "a_network_application_carries_ping_http_udp_and_bulk_both_ways",
            needs: &["curl", "iperf3", "nginx", "openssl", "ping"],
            run: a_network_application_carries_ping_http_udp_and_bulk_both_ways,
        },
        Test {
            name: "the_tunnel_carries_large_datagrams_and_large_pings",
            needs: &["ping"],
            run: the_tunnel_carries_large_datagrams_and_large_pings,
        },
        Test {
            name: "an_application_that_overlaps_the_local_network_is_refused_alone",
            needs: &["curl", "nginx", "openssl", "ping"],
            run: an_application_that_overlaps_the_local_network_is_refused_alone,
        },
    ]
}

fn a_network_application_carries_ping_http_udp_and_bulk_both_ways() {
    let world = World::new(ResolvConf::File);
    web::corp(&world);
    web::public(&world);
    servers::udp_echo(&world);
    servers::iperf3(&world);
    let installation = Installation::new(&world, &Settings::new(&world, BY_ADDRESS));
    let mut connector = installation.start();

    world.on_client("ping", &["-c", "3", "-i", "0.2", "-W", "5", CORP_WEB]).success();
    let page =
        world.on_client("curl", &["-sS", "-m", "5", &format!("http://{}/", bind::host_address(9))]).success();
    assert!(page.contains("10.77.16.10"), "{page}");
    run(&mut world.client.agent(&["udp-ask", &format!("{CORP_ECHO}:7"), "1200"]), SHORT).success();
    for direction in ["--omit=0", "--reverse"] {
        let arguments = ["-c", CORP_HOST, "-n", "50M", "--connect-timeout", "5000", direction];
        world.on_client("iperf3", &arguments).success();
    }
    world
        .on_client("iperf3", &["-c", CORP_HOST, "-u", "-b", "20M", "-n", "5M", "--connect-timeout", "5000"])
        .success();
    let page = world.on_client("curl", &["-sS", "-m", "5", &format!("http://{PUBLIC_WEB}/")]).success();
    assert!(page.contains(web::PUBLIC_PHRASE), "what is no application goes on as before: {page}");
    installation.stop(&mut connector);
}

fn the_tunnel_carries_large_datagrams_and_large_pings() {
    let world = World::new(ResolvConf::File);
    servers::udp_echo(&world);
    let installation = Installation::new(&world, &Settings::new(&world, BY_ADDRESS));
    let mut connector = installation.start();
    // Longer than the tunnel's MTU: the kernel cuts them, and the fragments after the first have no ports.
    world.on_client("ping", &["-c", "2", "-i", "0.2", "-W", "5", "-s", "4000", CORP_ECHO]).success();
    run(&mut world.client.agent(&["udp-ask", &format!("{CORP_ECHO}:7"), "4000"]), SHORT).success();
    installation.stop(&mut connector);
}

fn an_application_that_overlaps_the_local_network_is_refused_alone() {
    let world = World::new(ResolvConf::File);
    web::corp(&world);
    world.client.ip(&["link add spare0 type veth peer name spare1", "addr add 10.77.16.200/24 dev spare0"]);
    world.client.ip(&["link set spare0 up", "link set spare1 up"]);
    let applications = r#"
[[application]]
name = "overlapping"
host = "10.77.16.0/24"
ports = ["tcp/*"]
gateway = "hq"

[[application]]
name = "web"
host = "10.77.0.80"
ports = ["tcp/80"]
gateway = "hq"
"#;
    let installation = Installation::new(&world, &Settings::new(&world, applications));
    let mut connector = installation.launch();
    let status = installation.wait_for_status(&mut connector, "the web application works", SHORT, |_| {
        world.on_client("curl", &["-sS", "-m", "2", &format!("http://{CORP_WEB}/")]).code == 0
    });
    let overlapping = crate::connector::application(&status, "overlapping");
    let state = overlapping["state"].as_str().unwrap_or_default();
    assert!(
        state.starts_with("refused: overlap") && state.contains("name"),
        "a reason and a way out: {status:#}"
    );
    // The neighbour is on the local link, where it always was.
    let route = world.on_client("ip", &["route", "get", "10.77.16.9"]).success();
    assert!(route.contains("spare0"), "{route}");
    installation.stop(&mut connector);
}
