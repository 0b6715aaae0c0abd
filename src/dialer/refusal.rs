//! Why policy says no, in words for the person who wanted to go there.

use std::fmt;
use std::net::SocketAddr;

use netstack::counters::RefusalReason;

use super::{ApplicationWords, Protocol};

/// Applications and ports that are named in one sentence.
const MOST_NAMED: usize = 5;

/// A flow that may not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The application at that destination; with several, the first.
    pub application: Option<String>,
    /// The rule that says no, such as: `wiki` allows tcp/443, not tcp/22.
    pub rule: String,
    /// Why. [`RefusalReason::GatewayUnreachable`] is no matter of rights, and may pass.
    pub reason: RefusalReason,
    /// What the person can do.
    pub hint: String,
}

impl Refusal {
    pub(super) fn new(
        reason: RefusalReason,
        applications: &[&ApplicationWords],
        destination: SocketAddr,
        protocol: Protocol,
    ) -> Self {
        let wanted = wanted(destination, protocol);
        let application = applications.first().map(|application| application.name.clone());
        let withheld = applications.iter().find_map(|application| application.withheld.as_ref());
        match (reason, applications, withheld) {
            (RefusalReason::Device, _, Some(withheld)) => {
                let rule = format!("{}: {}", words(reason), withheld.reason);
                let hint = withheld.fix.clone().unwrap_or_else(|| hint(reason, None, &wanted));
                Self { application, rule, reason, hint }
            }
            (RefusalReason::PortNotAllowed, [_, ..], _) => {
                let rule = port_rule(applications, &wanted);
                Self { hint: hint(reason, application.as_deref(), &wanted), application, rule, reason }
            }
            _ => {
                let hint = hint(reason, application.as_deref(), &wanted);
                Self { hint, application, rule: words(reason).to_owned(), reason }
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rule)
    }
}

/// A reason as a sentence.
pub fn words(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::Blocked => {
            "Access denied: the connector is disconnected or blocks protected destinations"
        }
        RefusalReason::NoApplication => "Access denied: no application stands behind this address any more",
        RefusalReason::PortNotAllowed => {
            "Access denied: the application does not allow this port or protocol"
        }
        RefusalReason::TableFull => "Access denied: too many connections at one time",
        RefusalReason::Revoked => "Access denied: the right was taken away while the connection was open",
        RefusalReason::UnknownConnection => "the connection is not known any more: it must be opened anew",
        RefusalReason::GatewayUnreachable => "the gateway does not answer",
        RefusalReason::Device => "Device does not meet security requirements",
    }
}

fn wanted(destination: SocketAddr, protocol: Protocol) -> String {
    let protocol = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("{protocol}/{}", destination.port())
}

fn port_rule(applications: &[&ApplicationWords], wanted: &str) -> String {
    let names = applications.iter().map(|application| format!("`{}`", application.name));
    let ports = applications.iter().flat_map(|application| application.ports.iter().cloned());
    let verb = if applications.len() == 1 { "allows" } else { "allow" };
    format!("{} {verb} {}, not {wanted}", list(names), list(ports))
}

/// The first few, and that there are more.
fn list(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<String> = items.take(MOST_NAMED + 1).collect();
    if items.len() > MOST_NAMED {
        items[MOST_NAMED] = "…".to_owned();
    }
    items.join(", ")
}

fn hint(reason: RefusalReason, application: Option<&str>, wanted: &str) -> String {
    match (reason, application) {
        (RefusalReason::PortNotAllowed, Some(application)) => {
            format!("use a port that is allowed, or ask your administrator for {wanted} of `{application}`")
        }
        (RefusalReason::PortNotAllowed | RefusalReason::NoApplication, _) => {
            "use the application's name, or ask your administrator for access".to_owned()
        }
        (RefusalReason::Blocked, _) => "see `openztna-client-connector status`".to_owned(),
        (RefusalReason::Device, _) => "see `openztna-client-connector assess`".to_owned(),
        (RefusalReason::TableFull, _) => "close connections that are not needed, and try again".to_owned(),
        (RefusalReason::Revoked | RefusalReason::UnknownConnection, _) => "open it anew".to_owned(),
        (RefusalReason::GatewayUnreachable, _) => {
            "check this device's network; the gateway is tried again by itself".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialer::Withheld;

    fn refusal(ports: &[&str]) -> Refusal {
        let application = ApplicationWords {
            name: "wiki".to_owned(),
            ports: ports.iter().map(|&port| port.to_owned()).collect(),
            withheld: None,
        };
        let destination = "100.64.0.5:22".parse().unwrap();
        Refusal::new(RefusalReason::PortNotAllowed, &[&application], destination, Protocol::Tcp)
    }

    #[test]
    fn a_port_that_is_not_allowed_is_named_with_those_that_are() {
        let refusal = refusal(&["tcp/443", "udp/443"]);
        assert_eq!(refusal.rule, "`wiki` allows tcp/443, udp/443, not tcp/22");
        assert_eq!(refusal.application.as_deref(), Some("wiki"));
        assert!(refusal.hint.contains("tcp/22 of `wiki`"), "{}", refusal.hint);
    }

    #[test]
    fn a_device_that_is_not_good_enough_is_told_why_and_what_to_do() {
        let withheld =
            Withheld { reason: "Firewall is off".to_owned(), fix: Some("sudo ufw enable".to_owned()) };
        let application =
            ApplicationWords { name: "wiki".to_owned(), ports: Vec::new(), withheld: Some(withheld) };
        let destination = "100.64.0.5:443".parse().unwrap();
        let refusal = Refusal::new(RefusalReason::Device, &[&application], destination, Protocol::Tcp);
        assert_eq!(refusal.rule, "Device does not meet security requirements: Firewall is off");
        assert_eq!(refusal.hint, "sudo ufw enable");
    }

    #[test]
    fn long_lists_are_cut() {
        let refusal = refusal(&["tcp/1", "tcp/2", "tcp/3", "tcp/4", "tcp/5", "tcp/6", "tcp/7"]);
        assert_eq!(refusal.rule, "`wiki` allows tcp/1, tcp/2, tcp/3, tcp/4, tcp/5, …, not tcp/22");
    }
}
