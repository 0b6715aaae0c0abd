//! Names of the firewall's chains, which tell what other programs own on this device.

use netlink_packet_core::{NLM_F_DUMP, NlaBuffer, NlasIterator};
use netlink_sys::protocols;

use super::Netlink;

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN` (Linux `nfnetlink.h`, `nf_tables.h`).
const GET_CHAIN: u16 = (10 << 8) | 4;

/// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN`
pub(crate) const NEW_CHAIN: u16 = (10 << 8) | 3;

/// Bytes of `struct nfgenmsg`: family u8, version u8, resource id u16.
const GENERIC_HEADER_LEN: usize = 4;

/// `NFTA_CHAIN_NAME`
const CHAIN_NAME: u16 = 3;

/// Names of all nf_tables chains of all families (iptables-nft's among them), sorted, each once.
///
/// Empty where the kernel has no nf_tables or does not let us look: then there is nothing to be learnt from it.
pub(super) fn firewall_chains() -> Vec<String> {
    let Ok(mut netlink) = Netlink::open_protocol(protocols::NETLINK_NETFILTER) else { return Vec::new() };
    let mut names = Vec::new();
    let any_family = [0; GENERIC_HEADER_LEN];
    let read = netlink.exchange(GET_CHAIN, NLM_F_DUMP, &any_family, &mut |_, payload| {
        names.extend(chain_name(payload));
    });
    if let Err(error) = read {
        tracing::debug!(%error, "firewall chains cannot be listed");
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// The name in a message about a chain.
pub(crate) fn chain_name(payload: &[u8]) -> Option<String> {
    let attributes = payload.get(GENERIC_HEADER_LEN..)?;
    let name = NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|attribute: &NlaBuffer<&[u8]>| attribute.kind() == CHAIN_NAME)?;
    let text = name.value().strip_suffix(&[0]).unwrap_or(name.value());
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_read_and_garbage_is_no_name() {
        let table = [8, 0, 1, 0, b'f', b'i', b'l', 0];
        let name = [13, 0, 3, 0, b't', b's', b'-', b'i', b'n', b'p', b'u', b't', 0, 0, 0, 0];
        let message = [&[2, 0, 0, 0][..], &table, &name].concat();
        assert_eq!(chain_name(&message).as_deref(), Some("ts-input"));
        assert_eq!(chain_name(&message[..12]), None);
        assert_eq!(chain_name(&[]), None);
        assert_eq!(chain_name(&[2, 0, 0, 0, 255, 255, 3, 0]), None);
    }
}
