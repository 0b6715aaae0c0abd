//! One message of the kernel: what it changes, and whether that matters.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum of the kernel's messages belongs to others and grows with the kernel"
)]

use netlink_packet_route::RouteNetlinkMessage as Message;

use super::{Changes, Interests};
use crate::netlink::{self, Route, RouteKind};

/// The kernel's table of the device's own addresses: it follows the addresses, which are told by themselves.
const LOCAL_TABLE: u32 = 255;

/// What a message tells. One that cannot be read may be anything.
pub(super) fn read(kind: u16, payload: &[u8], interests: &Interests) -> Changes {
    let Some(message) = netlink::decode(kind, payload) else { return Changes::EVERYTHING };
    match message {
        Message::NewLink(_) => link(message, false, interests),
        Message::DelLink(gone) => link(Message::NewLink(gone), true, interests),
        Message::NewAddress(_) => address(message, false, interests),
        Message::DelAddress(gone) => address(Message::NewAddress(gone), true, interests),
        Message::NewRoute(_) => route(message, false, interests),
        Message::DelRoute(gone) => route(Message::NewRoute(gone), true, interests),
        Message::NewRule(_) => rule(message, false, interests),
        Message::DelRule(gone) => rule(Message::NewRule(gone), true, interests),
        _ => Changes::default(), // neighbours and the like come with other groups
    }
}

fn link(message: Message, is_gone: bool, interests: &Interests) -> Changes {
    let Some(link) = netlink::link::read(message) else { return Changes::default() };
    let is_down = is_gone || !link.up || !link.running;
    Changes {
        // a link that is taken away is told by the device's own descriptor
        link: link.index != interests.own_link || !link.up,
        interrupted: is_down && interests.links.contains(&link.index),
        ..Changes::default()
    }
}

fn address(message: Message, is_gone: bool, interests: &Interests) -> Changes {
    let Some(address) = netlink::address::read(message) else { return Changes::default() };
    Changes {
        address: is_gone || address.link != interests.own_link,
        interrupted: is_gone && interests.links.contains(&address.link),
        ..Changes::default()
    }
}

fn route(message: Message, is_gone: bool, interests: &Interests) -> Changes {
    let Some(route) = netlink::route::read(message) else { return Changes::default() };
    if is_ours(&route, interests) {
        return Changes { route: is_gone, ..Changes::default() };
    }
    let is_default = route.prefix.length() <= 1;
    let is_of_interest = || interests.prefixes.iter().any(|prefix| prefix.overlaps(route.prefix));
    if route.table == LOCAL_TABLE || route.kind == RouteKind::Other || !(is_default || is_of_interest()) {
        return Changes::default();
    }
    let carries = route.link.is_some_and(|link| interests.links.contains(&link));
    Changes { route: true, interrupted: is_gone && is_default && carries, ..Changes::default() }
}

fn is_ours(route: &Route, interests: &Interests) -> bool {
    route.table == interests.own_table || route.link == Some(interests.own_link)
}

/// Rules of ours look into our table, or refuse what others may not use: the latter are told apart by nobody.
fn rule(message: Message, is_gone: bool, interests: &Interests) -> Changes {
    let Some(rule) = netlink::rule::read(message) else { return Changes::default() };
    let is_ours = rule.action == netlink::RuleAction::Lookup(interests.own_table);
    Changes { rule: is_gone || !is_ours, ..Changes::default() }
}
