//! What the kernel must be set to so that it forwards between links.

use std::{fs, io};

use crate::{Error, setting::SettingChange};

/// IPv4's switch, for all links.
const IPV4: &str = "ipv4/ip_forward";

/// IPv6's switch, for all links.
const IPV6: &str = "ipv6/conf/all/forwarding";

/// Where each link's settings of IPv6 stand.
const IPV6_LINKS: &str = "/proc/sys/net/ipv6/conf";

/// `accept_ra`: hear router advertisements unless forwarding, and hear them all the same.
const ADVERTISEMENTS: [&str; 2] = ["1", "2"];

/// What is to be changed, in this order; empty where the device forwards already.
///
/// A host that forwards IPv6 stops hearing router advertisements, and so loses its own address and route: the links that
/// hear them now are set to go on.
///
/// # Errors
/// The settings cannot be read.
pub fn plan(with_ipv6: bool) -> Result<Vec<SettingChange>, Error> {
    let mut changes: Vec<SettingChange> = SettingChange::plan(IPV4, "1")?.into_iter().collect();
    if !with_ipv6 {
        return Ok(changes);
    }
    let Some(forwarding) = SettingChange::plan(IPV6, "1")? else { return Ok(changes) };
    for link in links().map_err(|source| Error::system("list", "settings", IPV6_LINKS, source))? {
        let [hears, hears_always] = ADVERTISEMENTS;
        let change = SettingChange::plan(&format!("ipv6/conf/{link}/accept_ra"), hears_always);
        // A link that is gone meanwhile needs nothing.
        changes.extend(change.ok().flatten().filter(|change| change.former == hears));
    }
    changes.push(forwarding);
    Ok(changes)
}

fn links() -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(IPV6_LINKS)? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
