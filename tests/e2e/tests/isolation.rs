//! What an eavesdropper sees: nothing of the company on the uplink, nothing else in the tunnel.

use crate::connector::{BY_NAME, Installation, Settings};
use crate::dig;
use crate::process::run;
use crate::servers::{self, bind, web};
use crate::suite::Test;
use crate::world::capture::Capture;
use crate::world::namespace::ResolvConf;
use crate::world::{SHORT, World};

pub(crate) fn tests() -> Vec<Test> {
    vec![Test {
        name: "nothing_protected_leaves_in_clear_and_nothing_else_enters_the_tunnel",
        needs: &["curl", "dig", "named", "nginx", "openssl", "ping", "tcpdump"],
        run: nothing_protected_leaves_in_clear_and_nothing_else_enters_the_tunnel,
    }]
}

fn nothing_protected_leaves_in_clear_and_nothing_else_enters_the_tunnel() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    bind::public(&world);
    web::corp(&world);
    web::public(&world);
    servers::udp_echo(&world);
    // From before the start until after the end.
    let uplink = Capture::start(&world, &world.client, "eth0", "uplink");
    let tunnel = Capture::start(&world, &world.gateway, "wg0", "tunnel");
    let installation = Installation::new(&world, &Settings::new(&world, BY_NAME));
    let mut connector = installation.start();
    use_everything(&world);
    installation.stop(&mut connector);
    let (uplink, tunnel) = (uplink.stop(), tunnel.stop());

    // The captures see what is there to be seen.
    assert!(uplink.contains_name(bind::PUBLIC_NAME) && uplink.contains(web::PUBLIC_PHRASE.as_bytes()));
    assert!(tunnel.contains_name("wiki.corp.example.com") && tunnel.contains(web::SECRET_PHRASE.as_bytes()));

    for name in ["wiki.corp.example.com", "eng.corp.example.com", "corp.example.com"] {
        assert!(!uplink.contains_name(name), "`{name}` left in clear");
    }
    assert!(!uplink.contains(web::SECRET_PHRASE.as_bytes()), "payload left in clear");
    let others =
        uplink.packets("ip and not udp port 51820 and not host 203.0.113.53 and not host 203.0.113.80");
    assert!(
        others.is_empty(),
        "packets with protected or virtual addresses left in clear:\n{}",
        others.join("\n")
    );
    let others = uplink.packets("ip6 and not ip6 multicast");
    assert!(others.is_empty(), "IPv6 packets that belong to nobody:\n{}", others.join("\n"));

    for name in ["example.net", "public"] {
        assert!(!tunnel.contains_name(name), "`{name}` entered the tunnel");
    }
    assert!(!tunnel.contains(web::PUBLIC_PHRASE.as_bytes()));
    let others =
        tunnel.packets("(ip and not net 10.77.0.0/16) or (ip6 and not net fd77::/48 and not ip6 multicast)");
    assert!(others.is_empty(), "foreign packets in the tunnel:\n{}", others.join("\n"));
}

fn use_everything(world: &World) {
    world.on_client("curl", &["-sS", "-m", "10", "http://wiki.corp.example.com/"]).success();
    world.on_client("curl", &["-6", "-sS", "-m", "10", "http://h000.eng.corp.example.com/"]).success();
    world.on_client("curl", &["-sS", "-m", "10", "http://public.example.net/"]).success();
    world.on_client("ping", &["-4", "-c", "2", "-i", "0.2", "h001.eng.corp.example.com"]).success();
    run(&mut world.client.agent(&["udp-ask", "echo.eng.corp.example.com:7", "1200"]), SHORT).success();
    for (name, kind) in [("b000.eng.corp.example.com", "TXT"), ("nothing.eng.corp.example.com", "A")] {
        assert!(!dig::ask(&world.client, &[], name, kind).status.is_empty());
    }
    assert_eq!(dig::ask(&world.client, &[], "alias.example.net", "A").answer.len(), 2);
}
