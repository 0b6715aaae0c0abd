//! Neighbours on the laptop: other programs' links, with a host behind each that answers.

use super::namespace::Namespace;
use super::{SHORT, World, link};
use crate::process::run;

/// A link of another program and the host behind it. It is there but not used until `claim`.
pub(crate) struct Neighbour {
    /// The host behind it.
    pub(crate) host: Namespace,
    link: String,
    near: String,
    far: String,
}

impl Neighbour {
    /// A link called `name`; the laptop's address on it is `near` and the host's is `far`, each with the length of the
    /// range that the other program takes for itself.
    #[track_caller]
    pub(crate) fn new(world: &World, name: &str, near: &str, far: &str) -> Self {
        let host = Namespace::new(world.folder(), name);
        link(&world.client, name, &host, "eth0");
        world.client.ip(&[&format!("link set {name} down")]);
        host.ip(&[&format!("addr add {far} dev eth0")]);
        let gateway = address(near);
        host.ip(&[&format!("route add default via {gateway}")]);
        Self { host, link: name.to_owned(), near: near.to_owned(), far: far.to_owned() }
    }

    /// The same behind a bridge, as Docker and libvirt make them: the laptop translates the addresses of its hosts.
    #[track_caller]
    pub(crate) fn behind_bridge(world: &World, name: &str, near: &str, far: &str) -> Self {
        let port = format!("{name}p");
        let host = Namespace::new(world.folder(), name);
        link(&world.client, &port, &host, "eth0");
        world
            .client
            .ip(&[&format!("link add {name} type bridge"), &format!("link set {port} master {name}")]);
        host.ip(&[&format!("addr add {far} dev eth0"), &format!("route add default via {}", address(near))]);
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        run(world.client.command("sh").args(["-c", forward]), SHORT).success();
        Self { host, link: name.to_owned(), near: near.to_owned(), far: far.to_owned() }
    }

    /// The other program begins to use its range.
    #[track_caller]
    pub(crate) fn claim(&self, world: &World) {
        let Self { link, near, .. } = self;
        world.client.ip(&[&format!("link set {link} up"), &format!("addr add {near} dev {link}")]);
    }

    /// It ends.
    #[track_caller]
    pub(crate) fn release(&self, world: &World) {
        let Self { link, near, .. } = self;
        world.client.ip(&[&format!("addr del {near} dev {link}"), &format!("link set {link} down")]);
    }

    /// Whether its host answers the laptop.
    #[track_caller]
    pub(crate) fn answers(&self, world: &World) -> bool {
        world.on_client("ping", &["-c", "1", "-W", "1", address(&self.far)]).code == 0
    }
}

fn address(with_length: &str) -> &str {
    with_length.split('/').next().unwrap_or(with_length)
}
