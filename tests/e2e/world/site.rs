//! A gateway with the company's hosts behind it: the world has one, and a test may add more.

use super::namespace::Namespace;
use super::wireguard::KeyPair;
use super::{CORP_DNS, CORP_ECHO, CORP_HOST, CORP_WEB, GATEWAY_PORT, World, admit_at, link};

/// One more gateway on the internet. Behind it are hosts with the same addresses as the company's.
pub(crate) struct Site {
    /// The WireGuard server.
    pub(crate) gateway: Namespace,
    /// Its hosts.
    pub(crate) corp: Namespace,
    /// The gateway's keys.
    pub(crate) keys: KeyPair,
    number: u8,
}

impl Site {
    /// Makes site `number` (2 to 9) with these keys, which may be those of another gateway, and starts its gateway.
    #[track_caller]
    pub(crate) fn new(world: &World, number: u8, keys: KeyPair) -> Self {
        let gateway = Namespace::new(world.folder(), &format!("gateway{number}"));
        let corp = Namespace::new(world.folder(), &format!("corp{number}"));
        let site = Self { gateway, corp, keys, number };
        let net = site.net();
        let uplink = format!("gateway{number}");
        link(&site.gateway, "eth0", &world.wan, &uplink);
        world.wan.ip(&[&format!("addr add {net}.1/24 dev {uplink}")]);
        site.gateway
            .ip(&[&format!("addr add {net}.2/24 dev eth0"), &format!("route add default via {net}.1")]);
        furnish(&site.gateway, &site.corp);
        site.start(world);
        site
    }

    /// Where the gateway listens.
    pub(crate) fn endpoint(&self) -> String {
        format!("{}.2:{GATEWAY_PORT}", self.net())
    }

    /// Starts the gateway, unless it runs, and tells it the laptop's key; `new` has done so once.
    #[track_caller]
    pub(crate) fn start(&self, world: &World) {
        world.start_wireguard(&self.server_name(), &self.gateway, &self.keys);
        admit_at(&self.gateway, &world.client_keys.public);
    }

    /// Kills the gateway; true if it was running.
    pub(crate) fn stop(&self, world: &World) -> bool {
        world.stop_server(&self.server_name())
    }

    fn server_name(&self) -> String {
        format!("wireguard-gateway{}", self.number)
    }

    fn net(&self) -> String {
        format!("198.18.{}", self.number + 1)
    }
}

/// Joins a gateway and its hosts, and gives both their addresses.
pub(super) fn furnish(gateway: &Namespace, corp: &Namespace) {
    link(gateway, "lan0", corp, "eth0");
    gateway.ip(&[
        "addr add 10.77.254.1/30 dev lan0",
        "addr add fd77:0:0:fe::1/64 dev lan0 nodad",
        "route add 10.77.0.0/16 via 10.77.254.2",
        "-6 route add fd77::/48 via fd77:0:0:fe::2",
    ]);
    corp.ip(&[
        "addr add 10.77.254.2/30 dev eth0",
        "addr add fd77:0:0:fe::2/64 dev eth0 nodad",
        "route add default via 10.77.254.1",
        "-6 route add default via fd77:0:0:fe::1",
        &format!("addr add {CORP_DNS}/32 dev lo"),
        &format!("addr add {CORP_WEB}/32 dev lo"),
        &format!("addr add {CORP_ECHO}/32 dev lo"),
        &format!("addr add {CORP_HOST}/32 dev lo"),
        // Any address of these is one of the company's hosts.
        "route add local 10.77.16.0/24 dev lo",
        "-6 route add local fd77:0:0:10::/64 dev lo",
    ]);
}
