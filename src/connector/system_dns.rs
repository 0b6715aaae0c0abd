//! The system's DNS: told about our resolver, kept so without a war, and taken back by link or guardian.

mod file;
mod pacing;
mod record;
mod resolved;
mod watch;
mod words;

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use pacing::Pacing;
use platform::dns_config::{DnsMode, Domains, ProbedMode, ResolvConf, Resolved, probe};
use tokio::sync::mpsc;
pub(super) use watch::Watch;

use super::engine::Command;
use crate::guardian::{Announced, Guardian};
use crate::status::DnsStatus;

/// What the system is to be told, and who else is told about its servers.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// Our link's number.
    pub(super) link: u32,
    /// Our resolver's addresses.
    pub(super) resolvers: &'a [IpAddr],
    pub(super) domains: &'a Domains,
    pub(super) engine: &'a mpsc::Sender<Command>,
}

/// The system's DNS as we have set it.
pub(super) struct SystemDns {
    way: Way,
    status: DnsStatus,
    /// The servers of the physical links.
    servers: Vec<SocketAddr>,
    pacing: Pacing,
    /// Another program has changed it since this was last asked.
    is_tampered: bool,
}

enum Way {
    /// By D-Bus; the link's end takes it back. The watch is of the list of the links' servers.
    Resolved { resolved: Box<Resolved>, watch: Watch },
    /// By the file; the guardian takes it back.
    File { conf: Box<ResolvConf>, announced: Option<Announced>, watch: Watch },
    /// By the program resolvconf; the guardian takes it back.
    Record(Box<record::Kept>),
    /// Not at all, or it failed.
    None,
}

impl SystemDns {
    /// Finds the way and sets it. A failure is a state with a note, never the end of the program.
    pub(super) async fn set(mode: DnsMode, guardian: &mut Guardian, target: Target<'_>) -> Self {
        let status = DnsStatus {
            resolver: target.resolvers.first().map(ToString::to_string),
            zones: target.domains.routing.len(),
            ..DnsStatus::default()
        };
        let mut dns =
            Self { way: Way::None, status, servers: Vec::new(), pacing: Pacing::new(), is_tampered: false };
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
            ProbedMode::Resolved(resolved) => dns.set_resolved(resolved, target).await,
            ProbedMode::Resolvconf(resolvconf) => dns.set_record(resolvconf, guardian, target).await,
            ProbedMode::ResolvConf => dns.set_file(guardian, target).await,
            ProbedMode::Off => (dns.status.mode, dns.status.state) = ("off".to_owned(), "off".to_owned()),
        }
        dns
    }

    /// The system's DNS as it is without us.
    pub(super) fn untouched() -> Self {
        let status = DnsStatus { mode: "off".to_owned(), state: "off".to_owned(), ..DnsStatus::default() };
        Self { way: Way::None, status, servers: Vec::new(), pacing: Pacing::new(), is_tampered: false }
    }

    /// For `status`.
    pub(super) fn status(&self) -> &DnsStatus {
        &self.status
    }

    /// Whether another program has changed it since this was last asked; a network that changes is no such.
    pub(super) fn take_tampered(&mut self) -> bool {
        std::mem::take(&mut self.is_tampered)
    }

    /// The servers of the physical links, which were the system's before us.
    pub(super) fn physical_servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// What was changed on the system, as a sentence.
    pub(super) fn change(&self) -> Option<String> {
        match &self.way {
            Way::Resolved { .. } => {
                Some(format!("{} routing domains in systemd-resolved", self.status.zones))
            }
            Way::File { conf, .. } => Some(format!("file {}", conf.path().display())),
            Way::Record(_) => Some("a record of resolvconf".to_owned()),
            Way::None => None,
        }
    }

    /// Waits until there is something to do: the system's DNS may no longer be as we have set it, and it is time to
    /// look. Nothing is lost when this is dropped.
    pub(super) async fn disturbed(&mut self) {
        loop {
            let Some(at) = self.pacing.renew_at() else {
                self.way.changed().await;
                self.pacing.disturbed(Instant::now());
                if self.pacing.is_yielded() {
                    return; // to say so
                }
                continue;
            };
            tokio::time::sleep_until(at.into()).await;
            let now = Instant::now();
            if !self.pacing.needs_quiet(now) || !self.way.has_changed() {
                return;
            }
            self.pacing.disturbed(now);
        }
    }

    /// Sets it again, unless it is ours still, or left to another program for now.
    pub(super) async fn renew(&mut self, guardian: &mut Guardian, target: Target<'_>) {
        if self.pacing.renew_at().is_some_and(|at| at > Instant::now()) {
            return self.say_yielded().await;
        }
        match std::mem::replace(&mut self.way, Way::None) {
            Way::Resolved { resolved, watch } => self.renew_resolved(resolved, watch, target).await,
            Way::File { conf, announced, watch } => {
                self.renew_file(conf, announced, watch, guardian, target).await;
            }
            Way::Record(kept) => self.renew_record(*kept, guardian, target).await,
            Way::None => {}
        }
    }

    /// The device's network has changed: its servers are read anew, and what its owner writes next is answered at once.
    pub(super) async fn follow_network(&mut self, guardian: &mut Guardian, target: Target<'_>) {
        let is_excused = self.pacing.excuse(Instant::now());
        self.renew(guardian, target).await;
        self.is_tampered = false;
        if is_excused {
            self.pacing.forget();
        }
    }

    /// Other names than before are ours, or complete short ones. What is left to another program for now is told when
    /// its time comes.
    pub(super) async fn change_domains(&mut self, guardian: &mut Guardian, target: Target<'_>) {
        self.status.zones = target.domains.routing.len();
        self.status.resolver = target.resolvers.first().map(ToString::to_string);
        if self.pacing.is_yielded() {
            return;
        }
        match std::mem::replace(&mut self.way, Way::None) {
            Way::Resolved { resolved, .. } => self.set_resolved(resolved, target).await,
            Way::File { announced, .. } => {
                self.set_file(guardian, target).await;
                if matches!(self.way, Way::File { .. }) {
                    withdraw(guardian, announced);
                }
            }
            Way::Record(kept) => self.renew_record(*kept, guardian, target).await,
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
        let left: Vec<SocketAddr> =
            self.physical_servers().iter().copied().filter(|other| *other != server).collect();
        let note = format!(
            "the forwarder {server} on this device takes its servers from resolv.conf, and so asks us"
        );
        if !left.is_empty() {
            tracing::warn!("DNS: {note}: it is left out");
            self.use_servers(left, engine).await;
            self.status.note = Some(note);
            return;
        }
        match std::mem::replace(&mut self.way, Way::None) {
            Way::File { conf, announced, .. } => {
                if let Err(error) = conf.change().undo() {
                    tracing::error!("DNS: {error}");
                }
                withdraw(guardian, announced);
            }
            Way::Record(kept) => kept.give_back(guardian).await,
            Way::Resolved { .. } | Way::None => {}
        }
        self.fail_with(
            "resolv.conf",
            format!("{note}; hint: give the forwarder servers of its own, then `down` and `up`"),
        );
    }

    fn set_done(&mut self) {
        self.status.state = "active".to_owned();
        self.status.note = None;
        self.pacing.set(Instant::now());
    }

    /// It is as we have set it.
    fn still_ours(&mut self) {
        self.status.state = "active".to_owned();
        if self.pacing.is_yielded() {
            self.status.note = None;
        }
        self.pacing.found_ours(Instant::now());
    }

    async fn say_yielded(&mut self) {
        let note = words::yielded(&self.way).await;
        if self.status.state != "yielded" {
            tracing::warn!("DNS: another program changes it again and again: it is left alone for now");
        }
        self.status.state = "yielded".to_owned();
        self.status.note = Some(note);
    }

    async fn use_servers(&mut self, servers: Vec<SocketAddr>, engine: &mpsc::Sender<Command>) {
        self.status.physical_servers = servers.iter().map(ToString::to_string).collect();
        self.servers = servers.clone();
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
        self.pacing.set(Instant::now());
    }
}

impl Way {
    /// Waits until something has changed that may be ours.
    async fn changed(&mut self) {
        match self {
            Self::Resolved { resolved, watch } => tokio::select! {
                () = resolved.restarted() => {}
                () = watch.changed() => {}
            },
            Self::File { watch, .. } => watch.changed().await,
            Self::Record(kept) => kept.watch.changed().await,
            Self::None => std::future::pending().await,
        }
    }

    /// Whether it has changed since the last look.
    fn has_changed(&self) -> bool {
        match self {
            Self::Resolved { watch, .. } | Self::File { watch, .. } => watch.has_changed(),
            Self::Record(kept) => kept.watch.has_changed(),
            Self::None => false,
        }
    }
}

/// Nothing is lost when the guardian does not take it: undoing once more is harmless.
fn withdraw(guardian: &mut Guardian, announced: Option<Announced>) {
    if let Some(announced) = announced
        && guardian.withdraw(announced).is_err()
    {
        tracing::warn!("the guardian does not answer");
    }
}
