//! Routing policy rules: who looks into which table, and who is refused.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    route::RouteProtocol,
    rule::{RuleAction as KernelAction, RuleAttribute, RuleFlags, RuleHeader, RuleMessage, RuleUidRange},
};
use serde::{Deserialize, Serialize};

use super::{Netlink, PROTOCOL, connection::Dump};
use crate::{Error, Family, IpPrefix};

/// A rule: packets that match all that is given get the action. Lower priorities are asked first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// One rule is for one family.
    pub family: Family,
    /// Its place: 0 is the kernel's local table, 32766 the main one.
    pub priority: u32,
    /// Packets whose mark is this.
    pub mark: Option<Mark>,
    /// The whole match is turned round (`not` of `ip rule`).
    pub invert: bool,
    /// Packets of sockets of these users.
    pub uids: Option<UidRange>,
    /// Packets that came in by the link of this name.
    #[serde(default)]
    pub input_link: Option<String>,
    /// Packets to these addresses.
    pub destination: Option<IpPrefix>,
    /// What becomes of them.
    pub action: RuleAction,
}

/// A firewall mark and the bits of it that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The mark.
    pub value: u32,
    /// The bits that are compared.
    pub mask: u32,
}

/// Numbers of users, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UidRange {
    /// First user.
    pub first: u32,
    /// Last user.
    pub last: u32,
}

/// What becomes of the packets that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// Look into this table; where it has no route the next rule is asked.
    Lookup(u32),
    /// Refuse: the program gets EACCES at once.
    Prohibit,
    /// Another program's rule with an action of the kernel that we never use, by its number.
    Other(u8),
}

impl Rule {
    /// A rule that matches every packet, to be narrowed.
    pub fn new(family: Family, priority: u32, action: RuleAction) -> Self {
        Self {
            family,
            priority,
            mark: None,
            invert: false,
            uids: None,
            input_link: None,
            destination: None,
            action,
        }
    }
}

impl Netlink {
    /// Adds a rule of ours; the same rule twice is one.
    ///
    /// # Errors
    /// No CAP_NET_ADMIN, or a kernel without policy routing or without this family.
    pub fn add_rule(&mut self, rule: &Rule) -> Result<(), Error> {
        match self.change(&RouteNetlinkMessage::NewRule(message(rule)), NLM_F_CREATE | NLM_F_EXCL) {
            Ok(()) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            Err(source) => Err(Error::system("add", "rule", rule.priority, source)),
        }
    }

    /// Removes a rule of ours; answers whether there was one.
    ///
    /// # Errors
    /// No CAP_NET_ADMIN.
    pub fn delete_rule(&mut self, rule: &Rule) -> Result<bool, Error> {
        match self.change(&RouteNetlinkMessage::DelRule(message(rule)), 0) {
            Ok(()) => Ok(true),
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENOENT | libc::ESRCH | libc::EAFNOSUPPORT | libc::EOPNOTSUPP)
                ) =>
            {
                Ok(false)
            }
            Err(source) => Err(Error::system("remove", "rule", rule.priority, source)),
        }
    }

    /// The rules of both families, in the kernel's order; what else a foreign rule compares is left out.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn rules(&mut self) -> Result<Vec<Rule>, Error> {
        Ok(self.dump_rules()?.items)
    }

    pub(super) fn dump_rules(&mut self) -> Result<Dump<Rule>, Error> {
        self.dump(&RouteNetlinkMessage::GetRule(RuleMessage::default()), read)
            .map_err(|source| Error::system("list", "rules", "all", source))
    }
}

fn message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = rule.family.to_netlink();
    message.attributes =
        vec![RuleAttribute::Priority(rule.priority), RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL))];
    if rule.invert {
        message.header.flags |= RuleFlags::Invert;
    }
    set_action(&mut message, rule.action);
    if let Some(mark) = rule.mark {
        message.attributes.push(RuleAttribute::FwMark(mark.value));
        message.attributes.push(RuleAttribute::FwMask(mark.mask));
    }
    if let Some(uids) = rule.uids {
        message.attributes.push(RuleAttribute::UidRange(RuleUidRange { start: uids.first, end: uids.last }));
    }
    message.attributes.extend(rule.input_link.clone().map(RuleAttribute::Iifname));
    if let Some(destination) = rule.destination {
        message.header.dst_len = destination.length();
        message.attributes.push(RuleAttribute::Destination(destination.address()));
    }
    message
}

fn set_action(message: &mut RuleMessage, action: RuleAction) {
    match action {
        RuleAction::Lookup(table) => {
            message.header.action = KernelAction::ToTable;
            message.header.table = u8::try_from(table).unwrap_or(0);
            message.attributes.push(RuleAttribute::Table(table));
        }
        RuleAction::Prohibit => message.header.action = KernelAction::Prohibit,
        RuleAction::Other(number) => message.header.action = KernelAction::Other(number),
    }
}

/// Reads a message of the "new" kind; those that take away are made one before.
pub(crate) fn read(message: RouteNetlinkMessage) -> Option<Rule> {
    let RouteNetlinkMessage::NewRule(message) = message else { return None };
    let family = Family::from_netlink(message.header.family)?;
    let mut rule = Rule::new(family, 0, action(&message.header, u32::from(message.header.table)));
    rule.invert = message.header.flags.contains(RuleFlags::Invert);
    let mut mark = None;
    let mut mask = None;
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Table(table) => rule.action = action(&message.header, *table),
            RuleAttribute::FwMark(value) => mark = Some(*value),
            RuleAttribute::FwMask(value) => mask = Some(*value),
            RuleAttribute::UidRange(range) => {
                rule.uids = Some(UidRange { first: range.start, last: range.end });
            }
            RuleAttribute::Iifname(name) => rule.input_link = Some(name.clone()),
            RuleAttribute::Destination(address) => {
                rule.destination = IpPrefix::new(*address, message.header.dst_len).ok();
            }
            _ => {}
        }
    }
    if mark.is_some() || mask.is_some() {
        // the kernel leaves out a mark that is 0
        rule.mark = Some(Mark { value: mark.unwrap_or(0), mask: mask.unwrap_or(u32::MAX) });
    }
    Some(rule)
}

fn action(header: &RuleHeader, table: u32) -> RuleAction {
    match header.action {
        KernelAction::ToTable => RuleAction::Lookup(table),
        KernelAction::Prohibit => RuleAction::Prohibit,
        other => RuleAction::Other(other.into()),
    }
}
