//! What the local API is to do now, from the configuration.

use std::net::SocketAddr;

use crate::access::Access;
use crate::config::{EffectiveSetting, Secret};
use crate::personal::InForce;

/// What the local API is to do. A change takes effect at the next request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens on TCP; `None`: it does not.
    pub address: Option<SocketAddr>,
    /// Where metrics are; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Where health checks are answered; `None`: nowhere but at the API's own port.
    pub health: Option<SocketAddr>,
    /// Whether programs must know the token.
    pub require_auth: bool,
    /// The token.
    pub token: Secret,
    /// Who may read and steer.
    pub access: Access,
    /// The configuration in force, secrets masked.
    pub config: Vec<EffectiveSetting>,
    /// What a person may change.
    pub personal: InForce,
}
