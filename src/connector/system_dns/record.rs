//! The resolvconf mode: a record of ours among those of the network's configurers, and what was made of it.

use std::path::Path;

use platform::dns_config::{Check, Record, ResolvConf, Resolvconf, SYSTEM_FILE};
use platform::undo::Undo;

use super::watch::Watch;
use super::{SystemDns, Target, Way, withdraw};
use crate::guardian::{Announced, Guardian};

/// The program and our record, as they stand.
pub(super) struct Kept {
    resolvconf: Resolvconf,
    record: Record,
    announced: Announced,
    /// The file that the program made of it, or that we wrote over that.
    conf: Option<(Box<ResolvConf>, Announced)>,
    pub(super) watch: Watch,
}

impl SystemDns {
    pub(super) async fn set_record(
        &mut self,
        resolvconf: Resolvconf,
        guardian: &mut Guardian,
        target: Target<'_>,
    ) {
        self.status.mode = "resolvconf".to_owned();
        let record = match plan(&resolvconf, guardian, target).await {
            Ok(record) => record,
            Err(error) => return self.fall_back(&error, guardian, target).await,
        };
        match guardian.announce(&Undo::Resolvconf(record.change().clone())) {
            Ok(announced) => self.hand_in(resolvconf, record, announced, guardian, target).await,
            Err(error) => self.fail_with("resolvconf", format!("{error:#}")),
        }
    }

    /// Somebody handed in news, or wrote the file past the program.
    pub(super) async fn renew_record(&mut self, kept: Kept, guardian: &mut Guardian, target: Target<'_>) {
        let Kept { resolvconf, record, announced, conf, watch } = kept;
        let next = match plan(&resolvconf, guardian, target).await {
            Ok(next) => next,
            Err(error) => return self.fall_back(&error, guardian, target).await,
        };
        let is_ours = conf.as_ref().is_some_and(|(conf, _)| conf.check(target.resolvers) == Check::Ours);
        if is_ours && next.says_the_same_as(&record) {
            if next.servers() != self.physical_servers() {
                self.use_servers(next.servers().to_vec(), target.engine).await;
            }
            self.way = Way::Record(Box::new(Kept { resolvconf, record: next, announced, conf, watch }));
            return self.still_ours();
        }
        tracing::info!("DNS: resolvconf has news from another program: its servers are taken over");
        self.is_tampered |= !is_ours;
        withdraw(guardian, conf.map(|(_, announced)| announced));
        if next.change() == record.change() {
            return self.hand_in(resolvconf, next, announced, guardian, target).await;
        }
        match guardian.announce(&Undo::Resolvconf(next.change().clone())) {
            Ok(newer) => {
                withdraw(guardian, Some(announced));
                self.hand_in(resolvconf, next, newer, guardian, target).await;
            }
            Err(error) => self.fail_with("resolvconf", format!("{error:#}")),
        }
    }

    /// The record is announced; it is handed in, and the file written over where it lists others too.
    async fn hand_in(
        &mut self,
        resolvconf: Resolvconf,
        record: Record,
        announced: Announced,
        guardian: &mut Guardian,
        target: Target<'_>,
    ) {
        self.use_servers(record.servers().to_vec(), target.engine).await;
        let handed_in = record.clone();
        if let Err(error) = blocking(move || handed_in.add()).await {
            // What it did in spite of that is taken back at the end.
            return self.fall_back(&error, guardian, target).await;
        }
        self.status.search_left_out = record.left_out().to_vec();
        self.set_done();
        let conf = self.make_sure(&record, guardian, target);
        let file = conf.as_ref().map_or(Path::new(SYSTEM_FILE), |(conf, _)| conf.path());
        let watch = Watch::new(record.watch(file));
        self.way = Way::Record(Box::new(Kept { resolvconf, record, announced, conf, watch }));
    }

    /// Our resolver must be the only one in force.
    fn make_sure(
        &mut self,
        record: &Record,
        guardian: &mut Guardian,
        target: Target<'_>,
    ) -> Option<(Box<ResolvConf>, Announced)> {
        let path = Path::new(SYSTEM_FILE);
        let adopted = ResolvConf::adopt(path, target.resolvers, record.before());
        let conf = match adopted.transpose().unwrap_or_else(|| ResolvConf::plan(path, target.resolvers)) {
            Ok(conf) => conf,
            Err(error) => {
                self.fail("resolvconf", &error);
                return None;
            }
        };
        let announced = guardian.announce(&Undo::ResolvConf(conf.change().clone())).ok()?;
        match conf.apply() {
            // Changed in between: the watch has told so, or the next look does.
            Ok(_) => {
                tracing::info!("DNS: resolvconf made a resolv.conf with our resolver alone");
                Some((Box::new(conf), announced))
            }
            Err(error) => {
                withdraw(guardian, Some(announced));
                self.fail("resolvconf", &error);
                None
            }
        }
    }

    async fn fall_back(&mut self, error: &platform::Error, guardian: &mut Guardian, target: Target<'_>) {
        let reason = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        tracing::warn!("DNS: {error}{reason}: using the file");
        self.set_file(guardian, target).await;
        if self.status.note.is_none() {
            self.status.note = Some(format!("{error}{reason}: the file is written instead"));
        }
    }
}

impl Kept {
    /// Takes it all back before the end.
    pub(super) async fn give_back(self, guardian: &mut Guardian) {
        let Self { record, announced, conf, .. } = self;
        let (conf, conf_announced) = conf.unzip();
        let undo = move || {
            conf.map(|conf| conf.change().undo()).transpose()?;
            record.change().undo()
        };
        if let Err(error) = blocking(undo).await {
            tracing::error!("DNS: {error}");
        }
        withdraw(guardian, conf_announced);
        withdraw(guardian, Some(announced));
    }
}

async fn plan(
    resolvconf: &Resolvconf,
    guardian: &Guardian,
    target: Target<'_>,
) -> Result<Record, platform::Error> {
    let (resolvconf, log) = (resolvconf.clone(), guardian.folder().join("resolvconf.log"));
    let (resolvers, search) = (target.resolvers.to_vec(), target.domains.search.clone());
    blocking(move || resolvconf.plan(&resolvers, &search, &log)).await
}

/// The program takes its time, in which signals must be heard.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, platform::Error> + Send + 'static,
) -> Result<T, platform::Error> {
    let failed = |source: tokio::task::JoinError| {
        platform::Error::system("run", "resolvconf", "", std::io::Error::other(source))
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(failed(error)))
}
