//! The file mode: our resolver alone in `/etc/resolv.conf`, whose former servers are asked for all else.

use std::path::Path;
use std::time::Instant;

use platform::dns_config::{Applied, Check, ResolvConf, SYSTEM_FILE};
use platform::undo::Undo;

use super::watch::Watch;
use super::{SystemDns, Target, Way, withdraw};
use crate::guardian::{Announced, Guardian};

/// Times that a plan is made anew because somebody else wrote in between.
const MOST_PLANS: usize = 5;

impl SystemDns {
    pub(super) async fn set_file(&mut self, guardian: &mut Guardian, target: Target<'_>) {
        self.status.mode = "resolv.conf".to_owned();
        for attempt in 1..=MOST_PLANS {
            let conf = match ResolvConf::plan(Path::new(SYSTEM_FILE), target.resolvers) {
                Ok(conf) => conf.with_search_domains(target.resolvers, &target.domains.search),
                Err(error) => return self.fail("resolv.conf", &error),
            };
            self.use_servers(conf.servers().to_vec(), target.engine).await;
            let announced = match guardian.announce(&Undo::ResolvConf(conf.change().clone())) {
                Ok(announced) => Some(announced),
                Err(error) => return self.fail_with("resolv.conf", format!("{error:#}")),
            };
            match conf.apply() {
                Ok(Applied::Written | Applied::AlreadyOurs) => {
                    tracing::info!("DNS: resolv.conf lists our resolver alone");
                    self.status.search_left_out = conf.left_out().to_vec();
                    self.set_done();
                    return self.keep_file(conf, announced);
                }
                Ok(Applied::ChangedMeanwhile) => withdraw(guardian, announced),
                Err(error) => {
                    withdraw(guardian, announced);
                    return self.fail("resolv.conf", &error);
                }
            }
            if attempt == MOST_PLANS {
                self.keep_file(conf, None);
            }
        }
        // Somebody writes it without a pause.
        self.pacing.give_way(Instant::now());
        self.say_yielded().await;
    }

    pub(super) async fn renew_file(
        &mut self,
        conf: Box<ResolvConf>,
        announced: Option<Announced>,
        watch: Watch,
        guardian: &mut Guardian,
        target: Target<'_>,
    ) {
        match conf.check(target.resolvers) {
            Check::Ours => {
                self.way = Way::File { conf, announced, watch };
                self.still_ours();
            }
            Check::ChangedByOther(_) | Check::Gone => {
                tracing::info!("DNS: resolv.conf was written by another program: its servers are taken over");
                self.is_tampered = true;
                withdraw(guardian, announced);
                self.set_file(guardian, target).await;
            }
        }
    }

    fn keep_file(&mut self, conf: ResolvConf, announced: Option<Announced>) {
        let watch = Watch::new(conf.watch(Path::new(SYSTEM_FILE)));
        self.way = Way::File { conf: Box::new(conf), announced, watch };
    }
}
