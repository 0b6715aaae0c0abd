//! The systemd-resolved mode: settings of our link, which others may take away and which are set again then.

use platform::dns_config::Resolved;

use super::watch::Watch;
use super::{SystemDns, Target, Way};

impl SystemDns {
    pub(super) async fn set_resolved(&mut self, resolved: Box<Resolved>, target: Target<'_>) {
        self.status.mode = "systemd-resolved".to_owned();
        self.read_servers(&resolved, target).await;
        match resolved.configure(target.link, target.resolvers, target.domains).await {
            Ok(configured) => {
                for step in configured.steps {
                    tracing::info!("DNS: {step}");
                }
                self.status.folded = configured.folded.replaced > 0;
                self.status.search_left_out = configured.not_searched;
                self.set_done();
            }
            Err(error) => self.fail("systemd-resolved", &error),
        }
        if let Err(error) = resolved.flush_caches().await {
            tracing::debug!("{error}");
        }
        let watch = Watch::new(Resolved::watch(target.link));
        self.way = Way::Resolved { resolved, watch };
    }

    /// Another link's servers may have changed, or another program has taken our link's settings away, as NetworkManager
    /// does with links that it does not know.
    pub(super) async fn renew_resolved(&mut self, resolved: Box<Resolved>, watch: Watch, target: Target<'_>) {
        let is_ours = resolved.is_configured(target.link, target.resolvers).await;
        if !is_ours.unwrap_or(false) {
            tracing::info!("DNS: systemd-resolved has lost our link's settings: they are set again");
            self.is_tampered = true;
            return self.set_resolved(resolved, target).await;
        }
        self.read_servers(&resolved, target).await;
        self.way = Way::Resolved { resolved, watch };
        self.still_ours();
    }

    async fn read_servers(&mut self, resolved: &Resolved, target: Target<'_>) {
        match resolved.physical_servers(target.link).await {
            Ok(servers) => self.use_servers(servers, target.engine).await,
            Err(error) => tracing::warn!("DNS: {error}"),
        }
    }
}
