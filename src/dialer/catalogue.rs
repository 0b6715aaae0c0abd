//! What is protected, as the configuration says, and the words for a refusal. Known also while there is no connection.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use dns::{Name, Zones};
use netstack::counters::RefusalReason;
use netstack::policy::Prefix;

use super::{Denied, DialError, Protocol, Refusal};

/// What is protected. A dialer looks here first, so that what is not ours costs the engine nothing.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// Names.
    pub zones: Arc<Zones>,
    /// Addresses: the ranges of applications and those of virtual addresses.
    pub networks: Vec<Prefix>,
    /// Domains that complete a name without a dot, in order.
    pub search: Vec<String>,
    /// Applications, by the ids that the policy uses.
    pub applications: Vec<ApplicationWords>,
    /// What is protected is not known: everything counts as such.
    pub is_everything: bool,
}

/// How a person knows an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationWords {
    /// Its name.
    pub name: String,
    /// What it allows, such as `tcp/443`.
    pub ports: Vec<String>,
    /// Why this device may not use it now.
    pub withheld: Option<Withheld>,
}

/// Applications that the device may not use now, by id, and why.
pub type AllWithheld = BTreeMap<u32, Withheld>;

/// Why a device may not use an application now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// Such as: Firewall is off.
    pub reason: String,
    /// What the person can do.
    pub fix: Option<String>,
}

impl Catalogue {
    /// Whether an address is one of ours.
    pub(super) fn has_address(&self, address: IpAddr) -> bool {
        self.is_everything || self.networks.iter().any(|network| network.contains(address))
    }

    /// The protected names that a program may mean by `text`, in the order in which they are to be tried.
    pub(super) fn protected_names(&self, text: &str) -> Vec<Name> {
        let read = |text: &str| {
            text.parse::<Name>().ok().filter(|name| self.is_everything || self.zones.covers(name))
        };
        let completed = self.search.iter().filter(|_| !text.contains('.'));
        let completed = completed.filter_map(|domain| read(&format!("{text}.{domain}")));
        completed.chain(read(text)).collect()
    }

    /// A refusal in words.
    pub(super) fn explain(&self, denied: &Denied, destination: SocketAddr, protocol: Protocol) -> DialError {
        match denied {
            Denied::NoRoute => DialError::NetworkUnreachable,
            Denied::Refused { reason: RefusalReason::TableFull, .. } => DialError::Busy,
            Denied::Refused { reason, applications } => {
                let known = applications.iter().filter_map(|id| self.applications.get(*id as usize));
                let known: Vec<&ApplicationWords> = known.collect();
                DialError::Refused(Refusal::new(*reason, &known, destination, protocol))
            }
        }
    }
}
