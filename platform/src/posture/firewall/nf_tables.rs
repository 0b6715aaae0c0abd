//! The kernel's nf_tables as a picture, asked over netlink (Linux `nf_tables.h`, `nfnetlink.h`).

use std::collections::BTreeSet;
use std::io;

use netlink_packet_core::{NLM_F_DUMP, NlaBuffer, NlasIterator};
use netlink_sys::protocols;

use super::picture::{About, Chain, Family, Goal, Picture, Rule};
use super::{Unknown, not_permitted};
use crate::netlink::Netlink;
use crate::posture::Fact;

/// `NFNL_SUBSYS_NFTABLES << 8`, to which the messages are added.
const SUBSYSTEM: u16 = 10 << 8;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const GET_RULE: u16 = SUBSYSTEM | 7;

/// Octets of `struct nfgenmsg`: family u8, version u8, resource id u16.
const HEADER: usize = 4;
/// Families (`NFPROTO_…`).
const INET: u8 = 1;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// `NF_INET_LOCAL_IN`
const LOCAL_IN: u32 = 1;
/// A table that is switched off (`NFT_TABLE_F_DORMANT`).
const DORMANT: u32 = 1;
/// Verdicts: `NF_DROP`, `NF_ACCEPT`, `NFT_JUMP`, `NFT_GOTO`.
const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const JUMP: i32 = -3;
const GOTO: i32 = -4;
/// The comparison `NFT_CMP_NEQ`.
const NOT_EQUAL: u32 = 1;
/// What `meta` asks about the link of arrival: `NFT_META_IIF`, `NFT_META_IIFNAME`, `NFT_META_IIFTYPE`.
const OF_LINK: [u32; 3] = [4, 6, 8];

/// Attributes of tables, chains, rules and what is in them (`NFTA_…`).
mod attribute {
    pub(super) const TABLE_NAME: u16 = 1;
    pub(super) const TABLE_FLAGS: u16 = 2;
    pub(super) const CHAIN_TABLE: u16 = 1;
    pub(super) const CHAIN_NAME: u16 = 3;
    pub(super) const CHAIN_HOOK: u16 = 4;
    pub(super) const CHAIN_POLICY: u16 = 5;
    pub(super) const CHAIN_TYPE: u16 = 7;
    pub(super) const HOOK_NUMBER: u16 = 1;
    pub(super) const RULE_TABLE: u16 = 1;
    pub(super) const RULE_CHAIN: u16 = 2;
    pub(super) const RULE_EXPRESSIONS: u16 = 4;
    pub(super) const EXPRESSION_NAME: u16 = 1;
    pub(super) const EXPRESSION_DATA: u16 = 2;
    pub(super) const IMMEDIATE_DATA: u16 = 2;
    pub(super) const DATA_VERDICT: u16 = 2;
    pub(super) const VERDICT_CODE: u16 = 1;
    pub(super) const VERDICT_CHAIN: u16 = 2;
    pub(super) const META_KEY: u16 = 2;
    pub(super) const COMPARISON: u16 = 2;
    pub(super) const TARGET_NAME: u16 = 1;
}

/// The chains of all tables that see packets for this device; iptables-nft's are among them.
///
/// # Errors
/// No right to look. A kernel without nf_tables has no chains.
pub(super) fn picture() -> Fact<Picture> {
    let (mut dormant, mut chains) = (BTreeSet::new(), Vec::new());
    let is_there = dump(GET_TABLE, &mut |payload| dormant.extend(dormant_table(payload)))?;
    if !is_there {
        return Ok(Picture::default());
    }
    dump(GET_CHAIN, &mut |payload| chains.extend(chain(payload)))?;
    dump(GET_RULE, &mut |payload| add_rule(&mut chains, payload))?;
    chains.retain(|(family, chain)| !dormant.contains(&(*family, chain.table.clone())));
    Ok(Picture { chains: chains.into_iter().map(|(_, chain)| chain).collect() })
}

/// Visits the answers to a dump; false where the kernel has no nf_tables.
fn dump(kind: u16, visit: &mut dyn FnMut(&[u8])) -> Fact<bool> {
    let asked = Netlink::open_protocol(protocols::NETLINK_NETFILTER).and_then(|mut netlink| {
        netlink.exchange(kind, NLM_F_DUMP, &[0; HEADER], &mut |_, payload| visit(payload))
    });
    match asked {
        Ok(_) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(not_permitted()),
        Err(error) => Err(Unknown::new(format!("failed to ask the kernel for its firewall: {error}"))),
    }
}

fn is_absent(error: &io::Error) -> bool {
    let absent = [libc::EPROTONOSUPPORT, libc::EAFNOSUPPORT, libc::EOPNOTSUPP, libc::EINVAL];
    error.raw_os_error().is_some_and(|code| absent.contains(&code))
}

fn dormant_table(payload: &[u8]) -> Option<(u8, String)> {
    let (family, attributes) = split(payload)?;
    let is_dormant = number(attributes, attribute::TABLE_FLAGS).is_some_and(|flags| flags & DORMANT != 0);
    is_dormant.then(|| Some((family, text(attributes, attribute::TABLE_NAME)?)))?
}

fn chain(payload: &[u8]) -> Option<(u8, Chain)> {
    let (number_of_family, attributes) = split(payload)?;
    let family = match number_of_family {
        INET => Family::Both,
        IPV4 => Family::V4,
        IPV6 => Family::V6,
        _ => return None, // ARP, bridges and single links
    };
    let hook = find(attributes, attribute::CHAIN_HOOK).and_then(|hook| number(hook, attribute::HOOK_NUMBER));
    let is_filter = text(attributes, attribute::CHAIN_TYPE).is_some_and(|kind| kind == "filter");
    let chain = Chain {
        family,
        table: text(attributes, attribute::CHAIN_TABLE)?,
        name: text(attributes, attribute::CHAIN_NAME)?,
        is_input: hook == Some(LOCAL_IN) && is_filter,
        drops_by_default: hook.is_some() && number(attributes, attribute::CHAIN_POLICY) == Some(0),
        rules: Vec::new(),
    };
    Some((number_of_family, chain))
}

/// Rules come in the order of their chain.
fn add_rule(chains: &mut [(u8, Chain)], payload: &[u8]) {
    let Some((family, attributes)) = split(payload) else { return };
    let (table, name) = (text(attributes, attribute::RULE_TABLE), text(attributes, attribute::RULE_CHAIN));
    let is_its = |(other, chain): &&mut (u8, Chain)| {
        *other == family && Some(&chain.table) == table.as_ref() && Some(&chain.name) == name.as_ref()
    };
    let Some((_, chain)) = chains.iter_mut().find(is_its) else { return };
    chain.rules.push(rule(find(attributes, attribute::RULE_EXPRESSIONS).unwrap_or_default()));
}

fn rule(expressions: &[u8]) -> Rule {
    let mut rule = Rule { about: About::All, goal: Goal::Next };
    for expression in list(expressions) {
        let name = text(&expression, attribute::EXPRESSION_NAME).unwrap_or_default();
        let data = find(&expression, attribute::EXPRESSION_DATA).unwrap_or_default();
        match name.as_str() {
            "immediate" => rule.goal = verdict(data).unwrap_or(rule.goal),
            "reject" => rule.goal = Goal::Refuse,
            // what iptables-nft has no own words for
            "target" if text(data, attribute::TARGET_NAME).as_deref() == Some("REJECT") => {
                rule.goal = Goal::Refuse
            }
            "meta" if is_of_link(data) && rule.about == About::All => rule.about = About::AllButALink,
            "cmp" if is_unequal(data) => {}
            "counter" | "log" | "target" => {}
            _ => rule.about = About::Some,
        }
    }
    rule
}

fn is_of_link(meta: &[u8]) -> bool {
    number(meta, attribute::META_KEY).is_some_and(|key| OF_LINK.contains(&key))
}

fn is_unequal(comparison: &[u8]) -> bool {
    number(comparison, attribute::COMPARISON) == Some(NOT_EQUAL)
}

fn verdict(immediate: &[u8]) -> Option<Goal> {
    let verdict = find(find(immediate, attribute::IMMEDIATE_DATA)?, attribute::DATA_VERDICT)?;
    let code = number(verdict, attribute::VERDICT_CODE)?.cast_signed();
    match code {
        DROP => Some(Goal::Refuse),
        ACCEPT => Some(Goal::Accept),
        JUMP | GOTO => text(verdict, attribute::VERDICT_CHAIN).map(Goal::Chain),
        _ => None,
    }
}

/// The family and the attributes of a message.
fn split(payload: &[u8]) -> Option<(u8, &[u8])> {
    Some((*payload.first()?, payload.get(HEADER..)?))
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = NlaBuffer<&[u8]>> {
    NlasIterator::new(bytes).map_while(Result::ok)
}

fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    let mut rest = bytes;
    // the iterator's items do not outlive it, so that the place is found by length
    for attribute in attributes(bytes) {
        let length = attribute.value().len();
        if attribute.kind() == kind {
            return rest.get(4..4 + length);
        }
        rest = rest.get((4 + length).next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

/// The values of a list's elements.
fn list(bytes: &[u8]) -> Vec<Vec<u8>> {
    attributes(bytes).map(|element| element.value().to_vec()).collect()
}

fn text(bytes: &[u8], kind: u16) -> Option<String> {
    let value = find(bytes, kind)?;
    Some(String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned())
}

/// Numbers of nf_tables are in network order.
fn number(bytes: &[u8], kind: u16) -> Option<u32> {
    Some(u32::from_be_bytes(*find(bytes, kind)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((value.len() + 4) as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn expression(name: &str, data: &[u8]) -> Vec<u8> {
        pack(1, &[pack(1, format!("{name}\0").as_bytes()), pack(2, data)].concat())
    }

    fn immediate(code: i32, chain: &[u8]) -> Vec<u8> {
        let verdict = [pack(1, &code.to_be_bytes()), chain.to_vec()].concat();
        expression("immediate", &[pack(1, &[0; 4]), pack(2, &pack(2, &verdict))].concat())
    }

    #[test]
    fn rules_are_read_as_far_as_it_matters() {
        let meta = |key: u32| expression("meta", &pack(2, &key.to_be_bytes()));
        let rule_of = |about| move |goal| Rule { about, goal };
        let (all, some) = (rule_of(About::All), rule_of(About::Some));
        let but = rule_of(About::AllButALink);
        let unequal = || expression("cmp", &pack(2, &1u32.to_be_bytes()));
        let equal = || expression("cmp", &pack(2, &0u32.to_be_bytes()));
        let jump = immediate(-3, &pack(2, b"other\0"));
        for (expressions, expected) in [
            (immediate(0, &[]), all(Goal::Refuse)),
            (immediate(1, &[]), all(Goal::Accept)),
            (jump, all(Goal::Chain("other".to_owned()))),
            (immediate(-5, &[]), all(Goal::Next)), // return
            ([meta(6), unequal(), immediate(0, &[])].concat(), but(Goal::Refuse)),
            ([meta(6), equal(), immediate(1, &[])].concat(), some(Goal::Accept)), // iifname "lo" accept
            ([meta(16), unequal(), immediate(0, &[])].concat(), some(Goal::Refuse)), // l4proto
            ([expression("payload", &[]), expression("reject", &[])].concat(), some(Goal::Refuse)),
            (expression("target", &pack(1, b"REJECT\0")), all(Goal::Refuse)),
            ([expression("ct", &[]), immediate(1, &[])].concat(), some(Goal::Accept)),
            (Vec::new(), all(Goal::Next)),
            (vec![255; 7], all(Goal::Next)),
        ] {
            assert_eq!(rule(&expressions), expected);
        }
    }

    #[test]
    fn chains_are_read_and_garbage_is_none() {
        let hook = pack(4, &[pack(1, &1u32.to_be_bytes()), pack(2, &[0; 4])].concat());
        let names = [pack(1, b"filter\0"), pack(3, b"input\0"), pack(7, b"filter\0")].concat();
        let message = [&[1, 0, 0, 0][..], &names, &hook, &pack(5, &[0; 4])].concat();
        let (_, read) = chain(&message).unwrap();
        assert!(read.is_input && read.drops_by_default && read.family == Family::Both, "{read:?}");
        let without_hook = [&[2, 0, 0, 0][..], &names].concat();
        let (_, read) = chain(&without_hook).unwrap();
        assert!(!read.is_input && !read.drops_by_default, "{read:?}");
        assert_eq!(chain(&[7, 0, 0, 0]), None);
        assert_eq!(chain(&[]), None);
        assert_eq!(
            dormant_table(&[&[1, 0, 0, 0][..], &pack(1, b"t\0"), &pack(2, &[0, 0, 0, 1])].concat()),
            Some((1, "t".to_owned()))
        );
        assert_eq!(dormant_table(&[&[1, 0, 0, 0][..], &pack(1, b"t\0"), &pack(2, &[0; 4])].concat()), None);
    }
}
