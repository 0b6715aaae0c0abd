//! Who the peers are, for the audit and for those who serve them.

use std::sync::Arc;

use super::access::Access;
use super::config::Config;
use crate::config::keys::format_key;

/// Characters of a public key that tell it from others at a glance, as `wg show` is often cut.
const SHORT_KEY: usize = 8;

/// A peer.
#[derive(Debug, PartialEq, Eq)]
pub struct PeerFacts {
    /// Its name.
    pub name: Box<str>,
    /// The beginning of its public key.
    pub key: Box<str>,
    /// Its applications, ascending.
    pub applications: Vec<u32>,
}

/// A configuration, made for look-ups; replaced as a whole by a reload.
#[derive(Debug)]
pub struct Roster {
    /// What is configured.
    pub config: Config,
    /// What names and addresses peers may see.
    pub access: Access,
    /// The peers in the order of the configuration.
    pub peers: Vec<Arc<PeerFacts>>,
    /// Names of applications, by number.
    pub applications: Vec<Arc<str>>,
}

impl PeerFacts {
    /// Takes what others need to know.
    pub fn new(name: &str, public_key: &[u8; 32], applications: Vec<u32>) -> Self {
        let key = format_key(public_key);
        Self { name: name.into(), key: key.chars().take(SHORT_KEY).collect::<String>().into(), applications }
    }
}

impl Roster {
    /// Makes the look-ups.
    pub fn new(config: Config) -> Self {
        let facts = |peer: &super::config::Peer| {
            Arc::new(PeerFacts::new(&peer.name, &peer.public_key, peer.applications.clone()))
        };
        Self {
            access: Access::new(&config.applications),
            peers: config.peers.iter().map(facts).collect(),
            applications: config
                .applications
                .iter()
                .map(|application| application.name.as_str().into())
                .collect(),
            config,
        }
    }

    /// The number of an application.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.applications.iter().position(|known| &**known == name).map(|index| index as u32)
    }
}
