//! What tests may add to the world does what it says, shown with a stock WireGuard client.

use std::time::{Duration, Instant};

use crate::process::{Finished, Running, eventually, run};
use crate::servers;
use crate::suite::Test;
use crate::world::access::{self, Access};
use crate::world::impairment::Impairment;
use crate::world::namespace::ResolvConf;
use crate::world::relay::Relay;
use crate::world::site::Site;
use crate::world::underlay::GATEWAY_ENDPOINT_V6;
use crate::world::{CORP_ECHO, SHORT, World, wireguard};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "the_relay_delays_loses_repeats_and_damages",
            needs: &["ping"],
            run: the_relay_delays_loses_repeats_and_damages,
        },
        Test {
            name: "access_networks_translate_addresses_and_forget",
            needs: &["nft", "ping"],
            run: access_networks_translate_addresses_and_forget,
        },
        Test {
            name: "a_second_site_and_an_ipv6_underlay_work",
            needs: &["ping"],
            run: a_second_site_and_an_ipv6_underlay_work,
        },
        Test {
            name: "a_small_link_without_icmp_is_a_black_hole",
            needs: &["nft", "ping"],
            run: a_small_link_without_icmp_is_a_black_hole,
        },
    ]
}

fn the_relay_delays_loses_repeats_and_damages() {
    let world = World::new(ResolvConf::File);
    servers::udp_echo(&world);
    let relay = Relay::start(&world, 1);
    let _client = wireguard::connect(&world, &world.gateway_keys.public, &relay.endpoint());
    eventually(SHORT, "the tunnel through the relay works", || (ping(&world, 1).code == 0).then_some(()));

    relay.set(Impairment { delay: Duration::from_millis(100), ..Impairment::default() });
    let start = Instant::now();
    ping(&world, 1).success();
    assert!(start.elapsed() >= Duration::from_millis(200), "there and back: {:?}", start.elapsed());

    let (taken, lost) = relay.counts();
    relay.set(Impairment { loss: 0.3, ..Impairment::default() });
    ping(&world, 100);
    let (taken, lost) = (relay.counts().0 - taken, relay.counts().1 - lost);
    assert!(lost * 10 > taken && lost * 2 < taken, "about 30 of 100: {lost} of {taken}");

    // WireGuard takes each datagram once and none that was changed: both are seen as what is missing or as nothing.
    relay.set(Impairment { duplicate: 1.0, reorder: 0.2, ..Impairment::default() });
    let pings = ping(&world, 20);
    assert!(pings.code == 0 && !pings.stdout.contains("DUP!"), "{}", pings.stdout);
    relay.set(Impairment { corrupt: 1.0, ..Impairment::default() });
    assert_ne!(ping(&world, 3).code, 0, "nothing that is damaged comes through");
    relay.set(Impairment::BLOCKED);
    assert_ne!(ping(&world, 3).code, 0, "nothing comes through");
    relay.set(Impairment::default());
    ping(&world, 3).success();
}

fn access_networks_translate_addresses_and_forget() {
    let world = World::new(ResolvConf::File);
    let home = Access::new(&world, 1);
    let hotel = Access::new(&world, 2);
    servers::udp_echo(&world);
    let _client = wireguard::connect(&world, &world.gateway_keys.public, crate::world::GATEWAY_ENDPOINT);
    eventually(SHORT, "the tunnel works", || (ping(&world, 1).code == 0).then_some(()));
    assert!(seen_from(&world).starts_with("198.18.1.2:"), "{}", seen_from(&world));

    home.enter(&world);
    access::unplug_first_cable(&world);
    ping(&world, 1).success();
    let first = seen_from(&world);
    assert!(first.starts_with("198.18.11.2:"), "{first}");
    hotel.enter(&world);
    home.leave(&world);
    ping(&world, 1).success();
    assert!(seen_from(&world).starts_with("198.18.12.2:"), "{}", seen_from(&world));
    let tracked = || hotel.router.inside(|| crate::world::conntrack::count().expect("a count"));
    assert!(tracked() > 0);
    hotel.flush_nat();
    assert_eq!(tracked(), 0);
    ping(&world, 1).success();
    let local = world.on_client("ip", &["route", "get", "198.18.2.2"]).success();
    assert!(local.contains(&hotel.client_address()), "{local}");
    access::plug_first_cable(&world);
    ping(&world, 1).success();
    assert!(seen_from(&world).starts_with("198.18.1.2:"), "{}", seen_from(&world));
}

/// The laptop's address and port as the gateway sees them.
fn seen_from(world: &World) -> String {
    let text = run(world.gateway.command("wg").args(["show", "wg0", "endpoints"]), SHORT).success();
    text.split_whitespace().last().unwrap_or_default().to_owned()
}

fn a_second_site_and_an_ipv6_underlay_work() {
    let world = World::new(ResolvConf::File);
    world.add_ipv6_underlay();
    let site = Site::new(&world, 2, world.gateway_keys.clone());
    let _client = wireguard::connect(&world, &world.gateway_keys.public, GATEWAY_ENDPOINT_V6);
    eventually(SHORT, "the tunnel over IPv6 works", || (ping(&world, 1).code == 0).then_some(()));
    assert!(seen_from(&world).starts_with("[2001:db8:1::2]:"), "{}", seen_from(&world));
    world.on_client("ping", &["-c", "1", "-W", "5", "fd77:0:0:10::5"]).success();

    world.stop_server("wireguard-gateway");
    let endpoint = site.endpoint();
    let move_to = ["set", "wg9", "peer", &site.keys.public, "endpoint", &endpoint];
    run(world.client.command("wg").args(move_to), SHORT).success();
    // Its session is with the one that is gone: a stock client notices after 15 s, if it is not made new.
    world.client.ip(&["link set wg9 down", "link set wg9 up", "route add 10.77.0.0/16 dev wg9"]);
    eventually(SHORT * 2, "the other site answers", || (ping(&world, 1).code == 0).then_some(()));
    assert!(site.stop(&world), "the gateway of the other site was running");
    assert_ne!(ping(&world, 1).code, 0);
    site.start(&world);
}

fn a_small_link_without_icmp_is_a_black_hole() {
    let world = World::new(ResolvConf::File);
    world.add_ipv6_underlay();
    world.drop_icmp();
    world.shrink_underlay(1280);
    world.start_once("gateway-echo", || {
        Running::start(&mut world.gateway.agent(&["udp-echo", "[::]:7"]), &world.log_path("gateway-echo"))
    });
    for (family, gateway, header) in [("-4", "198.18.2.2", 20), ("-6", "2001:db8:2::2", 40)] {
        // ICMP is the only thing that ping can send: through the hole nothing of it comes.
        let pings = world.on_client("ping", &[family, "-c", "1", "-W", "1", gateway]);
        assert!(pings.code != 0 && !pings.stdout.contains("too long"), "{}", pings.stdout);
        let echo = |length: usize| {
            let address = if header == 40 { format!("[{gateway}]:7") } else { format!("{gateway}:7") };
            let mut ask = world.client.agent(&["udp-ask", &address, &length.to_string()]);
            run(&mut ask, SHORT).code
        };
        eventually(SHORT, "what fits comes through", || (echo(1280 - header - 8) == 0).then_some(()));
        assert_ne!(echo(1290 - header - 8), 0, "what does not fit is lost");
    }
}

fn ping(world: &World, count: u32) -> Finished {
    let count = count.to_string();
    world.on_client("ping", &["-c", &count, "-i", "0.01", "-W", "2", CORP_ECHO])
}
