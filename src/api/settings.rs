//! What the local API is to do now, from the configuration.

use std::net::SocketAddr;

use crate::access::Access;
use crate::config::{EffectiveSetting, Secret};

/// What the local API is to do. A change takes effect at the next request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens on TCP; `None`: it does not.
    pub address: Option<SocketAddr>,
    /// Whether programs must know the token.
    pub require_auth: bool,
    /// The token.
    pub token: Secret,
    /// Who may read and steer.
    pub access: Access,
    /// The configuration in force, secrets masked.
    pub config: Vec<EffectiveSetting>,
}
