//! Access networks: other ways of the laptop to the internet, each behind a router that translates addresses.
//!
//! ```text
//! client acc1 192.168.41.2 ── 192.168.41.1 router 198.18.11.2 ── 198.18.11.1 wan
//! client acc2 192.168.42.2 ── 192.168.42.1 router 198.18.12.2 ── 198.18.12.1 wan
//! ```

use super::namespace::Namespace;
use super::{SHORT, World, link};
use crate::process::run;

/// An access network. The laptop is plugged in from the start but uses it only after `enter`.
pub(crate) struct Access {
    /// The router at home, in the hotel, of the phone.
    pub(crate) router: Namespace,
    number: u8,
}

impl Access {
    /// Makes access network `number` (1 to 9).
    #[track_caller]
    pub(crate) fn new(world: &World, number: u8) -> Self {
        let router = Namespace::new(world.folder(), &format!("router{number}"));
        let access = Self { router, number };
        let (inner, outer) = (access.inner_net(), format!("198.18.{}", number + 10));
        let uplink = format!("access{number}");
        link(&world.client, &access.link(), &access.router, "lan0");
        link(&access.router, "wan0", &world.wan, &uplink);
        world.client.ip(&[&format!("link set {} down", access.link())]);
        world.wan.ip(&[&format!("addr add {outer}.1/24 dev {uplink}")]);
        access.router.ip(&[
            &format!("addr add {inner}.1/24 dev lan0"),
            &format!("addr add {outer}.2/24 dev wan0"),
            &format!("route add default via {outer}.1"),
        ]);
        access.nft("add table ip home");
        access.nft("add chain ip home nat { type nat hook postrouting priority srcnat; }");
        access.nft("add rule ip home nat oifname wan0 masquerade");
        access
    }

    /// The laptop's link to it.
    pub(crate) fn link(&self) -> String {
        format!("acc{}", self.number)
    }

    /// The laptop's address on it.
    pub(crate) fn client_address(&self) -> String {
        format!("{}.2", self.inner_net())
    }

    /// The router's address on the laptop's side.
    pub(crate) fn router_address(&self) -> String {
        format!("{}.1", self.inner_net())
    }

    /// The laptop gets its address here and its default route, instead of any other.
    #[track_caller]
    pub(crate) fn enter(&self, world: &World) {
        let (link, net) = (self.link(), self.inner_net());
        world.client.ip(&[
            &format!("link set {link} up"),
            &format!("addr replace {net}.2/24 dev {link}"),
            &format!("route replace default via {net}.1"),
        ]);
    }

    /// The laptop loses this network: the address goes, then the link.
    #[track_caller]
    pub(crate) fn leave(&self, world: &World) {
        let link = self.link();
        world.client.ip(&[&format!("addr flush dev {link}"), &format!("link set {link} down")]);
    }

    /// The router forgets all connections and gives each a new port from now on, as one that was restarted.
    #[track_caller]
    pub(crate) fn flush_nat(&self) {
        self.router.inside(|| super::conntrack::flush().expect("an empty table of connections"));
    }

    #[track_caller]
    fn nft(&self, words: &str) {
        run(self.router.command("nft").arg(words), SHORT).success();
    }

    fn inner_net(&self) -> String {
        format!("192.168.{}", self.number + 40)
    }
}

/// The laptop loses the cable that the world has given it at first.
#[track_caller]
pub(crate) fn unplug_first_cable(world: &World) {
    world.client.ip(&["addr flush dev eth0", "link set eth0 down"]);
}

/// The laptop gets the cable back that the world has given it at first.
#[track_caller]
pub(crate) fn plug_first_cable(world: &World) {
    world.client.ip(&[
        "link set eth0 up",
        "addr replace 198.18.1.2/24 dev eth0",
        "route replace default via 198.18.1.1",
    ]);
}
