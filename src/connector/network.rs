//! What the connector writes into the system's network: addresses and routes of the TUN, and the rules that lead to them.

use anyhow::Context;
use platform::netlink::{Mark, Netlink, NetworkFacts, Route, Rule, RuleAction, UidRange};
use platform::socket_protect::FWMARK;
use platform::{Family, IpPrefix};

use super::address_pool::AddressPool;

/// Our own routing table: "zt" as a number, out of the way of small numbers that people choose.
pub const TABLE: u32 = 0x7a74;
/// Priority of our first rule: before the main table (32766) and other VPNs' usual places.
const PRIORITY: u32 = 5_150;

/// Segments of a super-packet: sealed, 45 of 1,452 bytes fill one UDP send.
pub const MOST_SEGMENTS: u32 = 45;

/// Who may use the tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Every user of the device.
    Everyone,
    /// These users, and root: packets that the kernel itself makes are root's.
    Users(Vec<u32>),
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPlan {
    /// Addresses of the TUN; each a single one, without a route to a prefix.
    pub addresses: Vec<std::net::IpAddr>,
    /// Routes in [`TABLE`].
    pub routes: Vec<IpPrefix>,
    /// Rules, in order of priority.
    pub rules: Vec<Rule>,
}

/// Plans for a pool and for the networks of applications.
pub fn plan(pool: &AddressPool, networks: &[IpPrefix], access: &Access, has_ipv6: bool) -> NetworkPlan {
    let (device_v4, device_v6) = pool.device();
    let (resolver_v4, resolver_v6) = pool.resolver();
    let mut addresses = vec![device_v4.into()];
    let mut resolvers = vec![IpPrefix::host(resolver_v4.into())];
    if has_ipv6 {
        addresses.push(device_v6.into());
        resolvers.push(IpPrefix::host(resolver_v6.into()));
    }
    let prefixes =
        pool.prefixes().into_iter().filter_map(|(address, length)| IpPrefix::new(address, length).ok());
    let routes: Vec<IpPrefix> = prefixes
        .chain(networks.iter().copied())
        .filter(|prefix| has_ipv6 || prefix.address().is_ipv4())
        .collect();
    let rules = rules(&resolvers, &routes, access, has_ipv6);
    NetworkPlan { addresses, routes, rules }
}

fn rules(resolvers: &[IpPrefix], protected: &[IpPrefix], access: &Access, has_ipv6: bool) -> Vec<Rule> {
    let lookup = |family, step| unmarked(Rule::new(family, PRIORITY + step, RuleAction::Lookup(TABLE)));
    let families = [Family::V4, Family::V6].into_iter().filter(|family| has_ipv6 || *family == Family::V4);
    let Access::Users(users) = access else {
        return families.map(|family| lookup(family, 0)).collect();
    };
    let everybody_asks = resolvers.iter().map(|resolver| {
        let rule = lookup(Family::of(resolver.address()), 0);
        Rule { destination: Some(*resolver), ..rule }
    });
    let mut users = users.clone();
    users.push(0);
    users.sort_unstable();
    users.dedup();
    let users_pass = families.flat_map(|family| {
        let rule = lookup(family, 1);
        users
            .iter()
            .map(move |user| Rule { uids: Some(UidRange { first: *user, last: *user }), ..rule.clone() })
    });
    let others_stop = protected.iter().map(|prefix| {
        let rule = unmarked(Rule::new(Family::of(prefix.address()), PRIORITY + 2, RuleAction::Prohibit));
        Rule { destination: Some(*prefix), ..rule }
    });
    everybody_asks.chain(users_pass).chain(others_stop).collect()
}

/// Only for packets that do not carry our mark: the tunnel's own go the usual way.
fn unmarked(rule: Rule) -> Rule {
    Rule { mark: Some(Mark { value: 0, mask: FWMARK }), ..rule }
}

/// Writes the addresses and routes of the TUN, which die with it, and brings it up.
///
/// # Errors
/// When the kernel refuses one of them.
pub fn write_link(netlink: &mut Netlink, plan: &NetworkPlan, link: u32) -> anyhow::Result<()> {
    for address in &plan.addresses {
        netlink.add_address(link, *address).context("failed to give the TUN its address")?;
    }
    if let Err(error) = netlink.set_most_segments(link, MOST_SEGMENTS) {
        tracing::debug!("{error}"); // super-packets then leave in two sends
    }
    netlink.bring_up(link).context("failed to bring the TUN up")?;
    write_routes(netlink, plan, link)
}

/// Writes the routes into the TUN; those that are there already stay as they are.
///
/// # Errors
/// When the kernel refuses one of them.
pub fn write_routes(netlink: &mut Netlink, plan: &NetworkPlan, link: u32) -> anyhow::Result<()> {
    for prefix in &plan.routes {
        netlink.replace_route(&route(*prefix, plan, link)).context("failed to add a route")?;
    }
    Ok(())
}

/// Whether everything that was written is still there, and the link is up.
pub fn is_whole(plan: &NetworkPlan, facts: &NetworkFacts, link: u32) -> bool {
    let has_address = |address: &std::net::IpAddr| {
        facts.addresses.iter().any(|found| found.link == link && found.address == *address)
    };
    let has_route = |prefix: &IpPrefix| {
        let mut ours = facts.routes.iter().filter(|route| route.table == TABLE && route.link == Some(link));
        ours.any(|route| route.prefix == *prefix)
    };
    facts.links.iter().any(|found| found.index == link && found.up)
        && plan.addresses.iter().all(has_address)
        && plan.routes.iter().all(has_route)
        && plan.rules.iter().all(|rule| facts.rules.contains(rule))
}

/// Takes back the addresses, routes and rules of `former` that `plan` does not have. What is gone already is no error.
///
/// # Errors
/// When the kernel refuses.
pub fn remove_surplus(
    netlink: &mut Netlink,
    former: &NetworkPlan,
    plan: &NetworkPlan,
    link: u32,
) -> anyhow::Result<()> {
    for prefix in former.routes.iter().filter(|prefix| !plan.routes.contains(prefix)) {
        netlink.delete_route(&route(*prefix, former, link)).context("failed to remove a route")?;
    }
    for rule in former.rules.iter().filter(|rule| !plan.rules.contains(rule)) {
        netlink.delete_rule(rule).context("failed to remove a rule")?;
    }
    for address in former.addresses.iter().filter(|address| !plan.addresses.contains(address)) {
        netlink.delete_address(link, *address).context("failed to remove an address")?;
    }
    Ok(())
}

fn route(prefix: IpPrefix, plan: &NetworkPlan, link: u32) -> Route {
    let source = plan.addresses.iter().find(|address| address.is_ipv4() == prefix.address().is_ipv4());
    Route::into_link(prefix, TABLE, link, source.copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> AddressPool {
        AddressPool { ipv4: "100.70.0.0".parse().unwrap(), ipv6: "fd01:2:3::".parse().unwrap() }
    }

    #[test]
    fn everyone_needs_one_rule_a_family() {
        let plan = plan(&pool(), &[], &Access::Everyone, true);
        assert_eq!(plan.rules.len(), 2);
        assert!(plan.rules.iter().all(|rule| rule.mark == Some(Mark { value: 0, mask: FWMARK })));
        assert_eq!(plan.addresses.len(), 2);
    }

    #[test]
    fn others_than_allowed_users_are_stopped_but_may_ask_the_resolver() {
        let network = IpPrefix::new("10.77.0.0".parse().unwrap(), 16).unwrap();
        let plan = plan(&pool(), &[network], &Access::Users(vec![1000]), false);
        let lookups = |priority| plan.rules.iter().filter(move |rule| rule.priority == priority);
        assert_eq!(
            lookups(PRIORITY).map(|rule| rule.destination).collect::<Vec<_>>(),
            [Some(IpPrefix::host("100.70.0.2".parse().unwrap()))]
        );
        assert_eq!(lookups(PRIORITY + 1).count(), 2, "user 1000 and root");
        assert_eq!(
            lookups(PRIORITY + 2).filter(|rule| rule.action == RuleAction::Prohibit).count(),
            2,
            "pool and network"
        );
    }

    #[test]
    fn without_ipv6_nothing_of_it_is_written() {
        let plan = plan(&pool(), &[], &Access::Everyone, false);
        assert!(plan.addresses.iter().all(std::net::IpAddr::is_ipv4));
        assert!(plan.routes.iter().all(|prefix| prefix.address().is_ipv4()));
        assert!(plan.rules.iter().all(|rule| rule.family == Family::V4));
    }
}
