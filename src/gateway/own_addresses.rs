//! The addresses of the gateway's links, as they were a moment ago.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use platform::netlink::Netlink;

/// The list is asked for anew when it is older: a new address is no target before somebody knows it.
const FRESH: Duration = Duration::from_secs(1);

/// Asks the kernel, at most once a second. Clones share what they learn.
#[derive(Debug, Clone, Default)]
pub struct OwnAddresses(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    addresses: Arc<BTreeSet<IpAddr>>,
    asked_at: Option<Instant>,
}

impl OwnAddresses {
    /// All addresses of all links.
    ///
    /// # Errors
    /// When the kernel does not tell and never has: nothing should be dialed then.
    pub fn list(&self, now: Instant) -> Result<Arc<BTreeSet<IpAddr>>, platform::Error> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.asked_at.is_none_or(|at| now.saturating_duration_since(at) > FRESH) {
            match ask() {
                Ok(addresses) => *known = Known { addresses: Arc::new(addresses), asked_at: Some(now) },
                Err(error) if known.asked_at.is_none() => return Err(error),
                Err(error) => tracing::warn!("the gateway's own addresses are as they were: {error}"),
            }
        }
        Ok(Arc::clone(&known.addresses))
    }
}

fn ask() -> Result<BTreeSet<IpAddr>, platform::Error> {
    Ok(Netlink::open()?.addresses()?.into_iter().map(|address| address.address).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_the_own_addresses() {
        let addresses = OwnAddresses::default().list(Instant::now()).unwrap();
        assert!(addresses.contains(&IpAddr::from([127, 0, 0, 1])), "{addresses:?}");
    }
}
