//! The system's DNS: told about our resolver, kept so without a war, and taken back by link or guardian.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use platform::dns_config::{
    Applied, Check, DnsMode, Domains, FileWatch, ProbedMode, ResolvConf, Resolved, SYSTEM_FILE, UPLINK_FILE,
    probe,
};
use platform::undo::Undo;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::engine::Command;
use crate::guardian::{Announced, Guardian};
use crate::status::DnsStatus;

/// The file is rewritten at most this often: six times a minute, whoever else writes it.
const REWRITE_INTERVAL: Duration = Duration::from_secs(10);
/// Times that a plan is made anew because somebody else wrote in between.
const MOST_PLANS: usize = 5;

/// The system's DNS as we have set it.
pub(super) struct SystemDns {
    way: Way,
    status: DnsStatus,
    written_at: Option<Instant>,
    renew_at: Option<Instant>,
}

enum Way {
    /// By D-Bus; the link's end takes it back. The watch is of the list of the links' servers.
    Resolved { resolved: Box<Resolved>, watch: Option<AsyncFd<FileWatch>> },
    /// By the file; the guardian takes it back.
    File { conf: Box<ResolvConf>, announced: Announced, watch: Option<AsyncFd<FileWatch>> },
    /// Not at all, or it failed.
    None,
}

impl SystemDns {
    /// Finds the way and sets it. A failure is a state with a note, never the end of the program.
    pub(super) async fn set(
        mode: DnsMode,
        guardian: &mut Guardian,
        link: u32,
        resolvers: &[IpAddr],
        domains: &Domains,
        engine: &mpsc::Sender<Command>,
    ) -> Self {
        let status = DnsStatus {
            resolver: resolvers.first().map(ToString::to_string),
            zones: domains.routing.len(),
            ..DnsStatus::default()
        };
        let mut dns = Self { way: Way::None, status, written_at: None, renew_at: None };
        let probed = match probe(mode).await {
            Ok(probed) => probed,
            Err(error) => {
                dns.fail("systemd-resolved", &error);
                return dns;
            }
        };
        for step in &probed.steps {
            tracing::info!("DNS: {step}");
        }
        match probed.mode {
            ProbedMode::Resolved(resolved) => {
                dns.set_resolved(resolved, link, resolvers, domains, engine).await
            }
            ProbedMode::ResolvConf => dns.set_file(guardian, resolvers, domains, engine).await,
            ProbedMode::Off => (dns.status.mode, dns.status.state) = ("off".to_owned(), "off".to_owned()),
        }
        dns
    }

    /// For `status`.
    pub(super) fn status(&self) -> &DnsStatus {
        &self.status
    }

    /// What was changed on the system, as a sentence.
    pub(super) fn change(&self) -> Option<String> {
        match &self.way {
            Way::Resolved { .. } => {
                Some(format!("{} routing domains in systemd-resolved", self.status.zones))
            }
            Way::File { conf, .. } => Some(format!("file {}", conf.path().display())),
            Way::None => None,
        }
    }

    /// Waits until the system's DNS is no longer as we have set it, and it is time to set it again.
    pub(super) async fn disturbed(&mut self) {
        loop {
            if let Some(at) = self.renew_at {
                tokio::time::sleep_until(at.into()).await;
                return;
            }
            match &mut self.way {
                Way::Resolved { resolved, watch } => tokio::select! {
                    () = resolved.restarted() => self.renew_at = Some(Instant::now()),
                    () = changed(watch.as_ref()) => self.renew_at = Some(soonest(self.written_at)),
                },
                Way::File { watch, .. } => {
                    changed(watch.as_ref()).await;
                    self.renew_at = Some(soonest(self.written_at));
                }
                Way::None => std::future::pending().await,
            }
        }
    }

    /// Sets it again.
    pub(super) async fn renew(
        &mut self,
        guardian: &mut Guardian,
        link: u32,
        resolvers: &[IpAddr],
        domains: &Domains,
        engine: &mpsc::Sender<Command>,
    ) {
        self.renew_at = None;
        match std::mem::replace(&mut self.way, Way::None) {
            Way::Resolved { resolved, .. } => {
                self.set_resolved(resolved, link, resolvers, domains, engine).await
            }
            Way::File { conf, announced, watch } => match conf.check(resolvers) {
                Check::Ours => self.way = Way::File { conf, announced, watch },
                Check::ChangedByOther(_) | Check::Gone => {
                    tracing::info!(
                        "DNS: resolv.conf was written by another program: its servers are taken over"
                    );
                    if guardian.withdraw(announced).is_err() {
                        tracing::warn!("the guardian does not answer");
                    }
                    self.set_file(guardian, resolvers, domains, engine).await;
                }
            },
            Way::None => {}
        }
    }

    /// A forwarder of this device asks our resolver what we ask it: it is left out; where it was the only server, the
    /// file is given back, since other names must go on.
    pub(super) async fn leave_forwarder(
        &mut self,
        guardian: &mut Guardian,
        server: SocketAddr,
        engine: &mpsc::Sender<Command>,
    ) {
        let left = self.status.physical_servers.iter().filter_map(|text| text.parse().ok());
        let left: Vec<SocketAddr> = left.filter(|other| *other != server).collect();
        let note = format!(
            "the forwarder {server} on this device takes its servers from resolv.conf, and so asks us"
        );
        if !left.is_empty() {
            tracing::warn!("DNS: {note}: it is left out");
            self.use_servers(left, engine).await;
            self.status.note = Some(note);
            return;
        }
        if let Way::File { conf, announced, .. } = std::mem::replace(&mut self.way, Way::None) {
            if let Err(error) = conf.change().undo() {
                tracing::error!("DNS: {error}");
            }
            let _ = guardian.withdraw(announced); // undoing it once more would be harmless
        }
        self.fail_with(
            "resolv.conf",
            format!("{note}; hint: give the forwarder servers of its own, then `down` and `up`"),
        );
    }

    async fn set_resolved(
        &mut self,
        resolved: Box<Resolved>,
        link: u32,
        resolvers: &[IpAddr],
        domains: &Domains,
        engine: &mpsc::Sender<Command>,
    ) {
        self.status.mode = "systemd-resolved".to_owned();
        match resolved.physical_servers(link).await {
            Ok(servers) => self.use_servers(servers, engine).await,
            Err(error) => tracing::warn!("DNS: {error}"),
        }
        match resolved.configure(link, resolvers, domains).await {
            Ok((steps, folded)) => {
                for step in steps {
                    tracing::info!("DNS: {step}");
                }
                self.status.folded = folded.replaced > 0;
                self.status.state = "active".to_owned();
                self.status.note = None;
            }
            Err(error) => self.fail("systemd-resolved", &error),
        }
        if let Err(error) = resolved.flush_caches().await {
            tracing::debug!("{error}");
        }
        self.written_at = Some(Instant::now());
        self.way = Way::Resolved { resolved, watch: watch(FileWatch::new(vec![UPLINK_FILE.into()])) };
    }

    async fn set_file(
        &mut self,
        guardian: &mut Guardian,
        resolvers: &[IpAddr],
        domains: &Domains,
        engine: &mpsc::Sender<Command>,
    ) {
        self.status.mode = "resolv.conf".to_owned();
        for _ in 0..MOST_PLANS {
            let conf = match ResolvConf::plan(Path::new(SYSTEM_FILE), resolvers) {
                Ok(conf) => conf.with_search_domains(resolvers, &domains.search),
                Err(error) => return self.fail("resolv.conf", &error),
            };
            self.use_servers(conf.servers().to_vec(), engine).await;
            let announced = match guardian.announce(&Undo::ResolvConf(conf.change().clone())) {
                Ok(announced) => announced,
                Err(error) => return self.fail_with("resolv.conf", format!("{error:#}")),
            };
            match conf.apply() {
                Ok(Applied::ChangedMeanwhile) => {
                    let _ = guardian.withdraw(announced); // undoing what was not done is harmless
                }
                Ok(Applied::Written | Applied::AlreadyOurs) => return self.keep_file(conf, announced),
                Err(error) => {
                    let _ = guardian.withdraw(announced); // likewise
                    return self.fail("resolv.conf", &error);
                }
            }
        }
        self.fail_with("resolv.conf", "another program writes it all the time".to_owned());
    }

    fn keep_file(&mut self, conf: ResolvConf, announced: Announced) {
        tracing::info!("DNS: resolv.conf lists our resolver alone");
        self.status.state = "active".to_owned();
        self.status.note = None;
        self.written_at = Some(Instant::now());
        let watch = watch(conf.watch(Path::new(SYSTEM_FILE)));
        self.way = Way::File { conf: Box::new(conf), announced, watch };
    }

    async fn use_servers(&mut self, servers: Vec<SocketAddr>, engine: &mpsc::Sender<Command>) {
        self.status.physical_servers = servers.iter().map(ToString::to_string).collect();
        let _ = engine.send(Command::SetSystemServers(servers)).await; // an engine that ended tells so by itself
    }

    fn fail(&mut self, mode: &str, error: &platform::Error) {
        let hint = error.hint().map(|hint| format!("; hint: {hint}")).unwrap_or_default();
        let reason = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        self.fail_with(mode, format!("{error}{reason}{hint}"));
    }

    fn fail_with(&mut self, mode: &str, note: String) {
        tracing::error!("DNS: {note}");
        self.status.mode = mode.to_owned();
        self.status.state = "failed".to_owned();
        self.status.note = Some(note);
    }
}

/// When the next write may be, so that it never comes to a war.
fn soonest(written_at: Option<Instant>) -> Instant {
    let now = Instant::now();
    written_at.map_or(now, |at| now.max(at + REWRITE_INTERVAL))
}

/// Registers a watch with the runtime; without one we only do not notice.
fn watch(watch: std::io::Result<FileWatch>) -> Option<AsyncFd<FileWatch>> {
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe; the watch owns its descriptor and never changes it"
    )]
    let watch = watch.and_then(AsyncFd::new);
    if let Err(error) = &watch {
        tracing::warn!("DNS: failed to watch the system's file: {error}");
    }
    watch.ok()
}

/// Waits until one of the watched files has changed; without a watch for ever.
async fn changed(watch: Option<&AsyncFd<FileWatch>>) {
    let Some(watch) = watch else { return std::future::pending().await };
    loop {
        let Ok(mut guard) = watch.readable().await else { return std::future::pending().await };
        let changed = watch.get_ref().drain();
        guard.clear_ready();
        match changed {
            Ok(true) => return,
            Ok(false) => {}
            Err(_) => return std::future::pending().await,
        }
    }
}
