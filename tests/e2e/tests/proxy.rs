//! SOCKS, the HTTP proxy and the PAC file, by programs that we did not write, with a TUN and without one.

mod browser;
mod desktop;
mod direct;
mod many;
mod programs;

use crate::connector::{BY_NAME, CONNECT_LIMIT, Installation, Settings};
use crate::process::Running;
use crate::suite::Test;
use crate::world::World;

/// Where SOCKS is.
const SOCKS: &str = "127.0.0.1:1080";

/// Where the HTTP proxy is.
const HTTP: &str = "127.0.0.1:8080";

/// The PAC file.
const PAC: &str = "http://127.0.0.1:8086/proxy.pac";

/// What carries the proxies' flows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Carrier {
    /// The TUN of the laptop, which programs could use as well.
    Tun,
    /// A private network; nothing else leads to the company.
    Namespace,
    /// The stack in user space; likewise.
    Stack,
}

pub(crate) fn tests() -> Vec<Test> {
    [programs::tests(), direct::tests(), browser::tests(), desktop::tests(), many::tests()]
        .into_iter()
        .flatten()
        .collect()
}

/// Starts the connector with these lines in `[proxy]`, and waits until its tunnel is proven.
#[track_caller]
fn start<'a>(world: &'a World, carrier: Carrier, lines: &str) -> (Installation<'a>, Running) {
    let installation = Installation::new(world, &settings(world, carrier, lines));
    let config = installation.config_path().display().to_string();
    let arguments: &[&str] = match carrier {
        Carrier::Tun => &["run", "--config", &config],
        Carrier::Namespace | Carrier::Stack => &["run", "--config", &config, "--no-tun"],
    };
    let mut connector = Running::start(&mut installation.command(arguments), &world.log_path("connector"));
    installation.wait_for_state(&mut connector, "connected", CONNECT_LIMIT);
    (installation, connector)
}

fn settings(world: &World, carrier: Carrier, lines: &str) -> Settings {
    let stack = match carrier {
        Carrier::Tun => "auto",
        Carrier::Namespace => "namespace",
        Carrier::Stack => "smoltcp",
    };
    let mut settings = Settings::new(world, BY_NAME);
    settings.before = format!("[tunneling]\nstack = \"{stack}\"\n[proxy]\n{lines}\n");
    settings
}
