//! What lies below the tunnel: IPv6 besides IPv4, and links of the internet that are smaller than those at its ends.

use super::{SHORT, World};
use crate::process::run;

/// Where the gateway listens once the underlay has IPv6.
pub(crate) const GATEWAY_ENDPOINT_V6: &str = "[2001:db8:2::2]:51820";

/// ICMP never comes through, as where an administrator took it for a danger. IPv6's neighbours still find each other.
const NO_ICMP: [&str; 7] = [
    "add table inet hole",
    "add chain inet hole through { type filter hook forward priority 0; }",
    "add chain inet hole own { type filter hook output priority 0; }",
    "add rule inet hole through ip protocol icmp drop",
    "add rule inet hole own ip protocol icmp drop",
    "add rule inet hole through meta l4proto ipv6-icmp drop",
    "add rule inet hole own icmpv6 type { destination-unreachable, packet-too-big, time-exceeded } drop",
];

impl World {
    /// Gives laptop, internet and gateway IPv6 addresses and routes.
    #[track_caller]
    pub(crate) fn add_ipv6_underlay(&self) {
        self.client.ip(&[
            "addr add 2001:db8:1::2/64 dev eth0 nodad",
            "-6 route add default via 2001:db8:1::1 dev eth0",
        ]);
        self.wan.ip(&[
            "addr add 2001:db8:1::1/64 dev client0 nodad",
            "addr add 2001:db8:2::1/64 dev gateway0 nodad",
        ]);
        self.gateway.ip(&[
            "addr add 2001:db8:2::2/64 dev eth0 nodad",
            "-6 route add default via 2001:db8:2::1 dev eth0",
        ]);
    }

    /// What is longer than `mtu` is lost in the internet, both ways, and nobody is told; the ends keep 1500.
    ///
    /// A veth end takes nothing in that is over its own MTU, and nothing leaves by it either. Below 1280 the links
    /// lose their IPv6.
    #[track_caller]
    pub(crate) fn shrink_underlay(&self, mtu: u16) {
        for link in ["client0", "gateway0"] {
            self.wan.ip(&[&format!("link set {link} mtu {mtu}")]);
        }
    }

    /// The internet forwards no ICMP and says nothing by it.
    #[track_caller]
    pub(crate) fn drop_icmp(&self) {
        for words in NO_ICMP {
            run(self.wan.command("nft").arg(words), SHORT).success();
        }
    }
}
