//! What `resolvconf -l` tells: the servers and search domains that others handed in.

use std::net::{IpAddr, SocketAddr};

use crate::dns_config::{name_servers, resolv_conf::text};

/// Before each record.
const RECORD_START: &str = "# resolv.conf from ";

/// The records of others, put together in their order, each server and domain once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// What our own record lists at present.
    pub(super) own: Vec<IpAddr>,
    pub(super) servers: Vec<SocketAddr>,
    pub(super) search: Vec<String>,
}

impl Listing {
    /// Reads the listing, in which our record has the name `own`.
    pub(super) fn parse(listed: &str, own: &str) -> Self {
        let mut listing = Self::default();
        let mut is_own = false;
        let mut record = String::new();
        for line in listed.lines() {
            if let Some(name) = line.strip_prefix(RECORD_START) {
                listing.take_in(&record);
                record.clear();
                is_own = name.trim() == own;
            } else if is_own {
                listing.own.extend(name_servers(line).iter().map(SocketAddr::ip));
            } else {
                record.push_str(line);
                record.push('\n');
            }
        }
        listing.take_in(&record);
        listing
    }

    fn take_in(&mut self, record: &str) {
        for server in name_servers(record) {
            if !self.servers.contains(&server) {
                self.servers.push(server);
            }
        }
        for domain in text::search_list(record) {
            if !self.search.contains(&domain) {
                self.search.push(domain);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_others_are_put_together() {
        let listed = "# resolv.conf from tun.openztna\nnameserver 100.64.0.2\nsearch corp.example\n\n\
                      # resolv.conf from eth0.dhclient\ndomain lab.example\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n\n\
                      # resolv.conf from wlan0\nsearch home.example lab.example\nnameserver 192.0.2.53\nnameserver ::1\n";
        let listing = Listing::parse(listed, "tun.openztna");
        let servers: Vec<_> = listing.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.53:53", "192.0.2.54:53", "[::1]:53"]);
        assert_eq!(listing.own, ["100.64.0.2".parse::<IpAddr>().unwrap()]);
        assert_eq!(listing.search, ["lab.example", "home.example"]);
        assert_eq!(Listing::parse("", "x"), Listing::default());
    }
}
