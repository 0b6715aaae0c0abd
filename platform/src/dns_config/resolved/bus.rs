//! systemd-resolved's interface on the bus, as much of it as we use (org.freedesktop.resolve1(5)).

use std::net::IpAddr;

/// Link, family, address, port (0: the usual one), server name.
pub(super) type Server = (i32, i32, Vec<u8>, u16, String);

#[zbus::proxy(
    interface = "org.freedesktop.resolve1.Manager",
    default_service = "org.freedesktop.resolve1",
    default_path = "/org/freedesktop/resolve1"
)]
pub(super) trait Manager {
    fn get_link(&self, link: i32) -> zbus::Result<zbus::OwnedObjectPath>;

    #[zbus(name = "SetLinkDNS")]
    fn set_link_dns(&self, link: i32, servers: &[(i32, Vec<u8>)]) -> zbus::Result<()>;

    fn set_link_domains(&self, link: i32, domains: &[(String, bool)]) -> zbus::Result<()>;

    fn set_link_default_route(&self, link: i32, enable: bool) -> zbus::Result<()>;

    #[zbus(name = "SetLinkLLMNR")]
    fn set_link_llmnr(&self, link: i32, mode: &str) -> zbus::Result<()>;

    #[zbus(name = "SetLinkMulticastDNS")]
    fn set_link_multicast_dns(&self, link: i32, mode: &str) -> zbus::Result<()>;

    #[zbus(name = "SetLinkDNSOverTLS")]
    fn set_link_dns_over_tls(&self, link: i32, mode: &str) -> zbus::Result<()>;

    #[zbus(name = "SetLinkDNSSEC")]
    fn set_link_dnssec(&self, link: i32, mode: &str) -> zbus::Result<()>;

    fn revert_link(&self, link: i32) -> zbus::Result<()>;

    fn flush_caches(&self) -> zbus::Result<()>;

    #[zbus(property(emits_changed_signal = "false"), name = "DNSEx")]
    fn dns_ex(&self) -> zbus::Result<Vec<Server>>;

    #[zbus(property(emits_changed_signal = "false"), name = "FallbackDNSEx")]
    fn fallback_dns_ex(&self) -> zbus::Result<Vec<Server>>;

    /// Link (0: the system itself), domain, whether it only routes.
    #[zbus(property(emits_changed_signal = "false"))]
    fn domains(&self) -> zbus::Result<Vec<(i32, String, bool)>>;
}

/// An address as the bus carries it.
pub(super) fn address(address: IpAddr) -> (i32, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    }
}

/// The address that the bus carried; `None` if it is of neither family.
pub(super) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(bytes.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_bus() {
        for text in ["192.0.2.1", "2001:db8::1"] {
            let original: IpAddr = text.parse().unwrap();
            assert_eq!(ip(&address(original).1), Some(original));
        }
        assert_eq!(ip(&[1, 2, 3]), None);
    }
}
