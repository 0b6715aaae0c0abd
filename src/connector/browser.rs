//! The browser configured by itself: while the PAC file is served, the desktop's proxy settings point at it.
//!
//! A guardian of its own, with a journal of its own, takes that back: it has to live as long as the proxies do, and
//! those outlive a connection.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use platform::desktop_proxy::{self, Desktop, DesktopProxyChange, Planned, SessionUser};
use platform::undo::Undo;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::system_dns::Watch;
use super::{Setup, supervisor};
use crate::access::{Access, Caller};
use crate::guardian::Guardian;
use crate::proxy::{Kind, State};

/// Between a person's login and our look: the session's message bus comes after its folder.
const SETTLE: Duration = Duration::from_secs(5);

/// How each port of the proxies is.
type Ports = BTreeMap<Kind, State>;

/// Tells the task that keeps the desktops' settings what is wanted.
pub(super) struct Browser {
    orders: watch::Sender<Order>,
    reports: watch::Receiver<Report>,
}

/// How the desktops' settings are, as sentences; whose they are is not said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// What points at the PAC file now.
    pub(super) changes: BTreeSet<String>,
    /// What does not.
    pub(super) warnings: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Order {
    /// The settings are the persons' own matter.
    Leave,
    /// They are to follow the PAC file, for those who may use the proxies.
    Configure(Access),
    /// The program ends.
    End,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Goal {
    Leave,
    Configure { pac_url: String, access: Access },
    End,
}

struct Keeper {
    journal: PathBuf,
    orders: watch::Receiver<Order>,
    ports: watch::Receiver<Ports>,
    reports: watch::Sender<Report>,
}

/// What was made, and who takes it back.
struct Made {
    guardian: Guardian,
    pac_url: String,
    access: Access,
    /// Those that were looked at and need no second look: what a person changes afterwards is the person's will.
    settled: BTreeSet<(u32, Desktop)>,
    report: Report,
}

impl Browser {
    /// Starts the task, which ends after [`Self::dismiss`], when all is taken back. Nothing is done unless it is asked for.
    pub(super) fn start(setup: &Setup, ports: watch::Receiver<Ports>) -> (Self, JoinHandle<()>) {
        let (orders, orders_now) = watch::channel(order(setup));
        let journal = platform::paths::desktop_journal(&setup.state_dir);
        let (reports, reports_now) = watch::channel(Report::default());
        let keeper = Keeper { journal, orders: orders_now, ports, reports };
        (Self { orders, reports: reports_now }, tokio::spawn(keeper.keep()))
    }

    /// How the desktops' settings are, and when that changes.
    pub(super) fn reports(&self) -> watch::Receiver<Report> {
        self.reports.clone()
    }

    /// Does what the configuration says now.
    pub(super) fn follow(&self, setup: &Setup) {
        self.orders.send_replace(order(setup));
    }

    /// Has everything taken back.
    pub(super) fn dismiss(&self) {
        self.orders.send_replace(Order::End);
    }
}

fn order(setup: &Setup) -> Order {
    match setup.config.proxy.configure_browser.value {
        true => Order::Configure(supervisor::access(setup)),
        false => Order::Leave,
    }
}

impl Keeper {
    async fn keep(mut self) {
        loop {
            match self.goal() {
                Goal::End => return,
                Goal::Leave => self.news().await,
                Goal::Configure { pac_url, access } => self.configure(pac_url, access).await,
            }
        }
    }

    /// Another program may have the port: its PAC file is none of ours.
    fn goal(&mut self) -> Goal {
        if self.orders.has_changed().is_err() {
            return Goal::End;
        }
        let pac = self.ports.borrow_and_update().get(&Kind::Pac).cloned();
        match (self.orders.borrow_and_update().clone(), pac) {
            (Order::End, _) => Goal::End,
            (Order::Configure(access), Some(State::Listening(address))) => {
                Goal::Configure { pac_url: format!("http://{address}/proxy.pac"), access }
            }
            (Order::Leave, _) | (Order::Configure(_), Some(State::Failed { .. }) | None) => Goal::Leave,
        }
    }

    async fn news(&mut self) {
        tokio::select! {
            _ = self.orders.changed() => {}
            Ok(()) = self.ports.changed() => {}
        }
    }

    /// Keeps the settings until something else is wanted, and takes them back.
    async fn configure(&mut self, pac_url: String, access: Access) {
        let journal = self.journal.clone();
        let guardian = match spawn_blocking(move || Guardian::start(&journal)).await {
            Ok(Ok(guardian)) => guardian,
            Ok(Err(error)) => {
                let mut report = Report::default();
                report.warn(format!("the browser is not configured: {error:#}"));
                self.reports.send_replace(report);
                return self.news().await;
            }
            Err(_) => return self.news().await, // a crash has said so itself
        };
        let sessions = Watch::new(desktop_proxy::watch_sessions());
        let goal = Goal::Configure { pac_url: pac_url.clone(), access: access.clone() };
        let (settled, report) = (BTreeSet::new(), Report::default());
        let mut made = Made { guardian, pac_url, access, settled, report };
        loop {
            made = match spawn_blocking(move || made.look()).await {
                Ok(made) => made,
                Err(_) => return self.news().await,
            };
            self.reports.send_if_modified(|report| {
                let is_new = *report != made.report;
                made.report.clone_into(report);
                is_new
            });
            tokio::select! {
                () = self.news() => {}
                () = someone_came(&sessions) => {}
            }
            if self.goal() != goal {
                break;
            }
        }
        if let Ok(Err(error)) = spawn_blocking(move || made.guardian.finish()).await {
            tracing::error!("{error:#}; hint: run `openztna-client-connector restore`");
        }
        self.reports.send_replace(Report::default());
    }
}

impl Report {
    fn warn(&mut self, text: String) {
        tracing::warn!("{text}");
        self.warnings.insert(text);
    }
}

async fn someone_came(sessions: &Watch) {
    sessions.changed().await;
    sleep(SETTLE).await;
}

impl Made {
    /// Looks at the desktops of everybody who has a session; programs of theirs are run and waited for.
    fn look(mut self) -> Self {
        for user in SessionUser::all() {
            if !self.access.allows(Caller { uid: user.uid }) {
                continue;
            }
            for desktop in Desktop::ALL {
                if !self.settled.contains(&(user.uid, desktop)) {
                    self.look_at(&user, desktop);
                }
            }
        }
        self
    }

    fn look_at(&mut self, user: &SessionUser, desktop: Desktop) {
        match desktop_proxy::plan(user, desktop, &self.pac_url) {
            Ok(Planned::Change(change)) => self.make(&change),
            Ok(Planned::TakenByOther) => self.report.warn(format!(
                "{desktop} has a proxy already, which stays: the browser is not configured; hint: set it to {}",
                self.pac_url
            )),
            Ok(Planned::AsWanted) => self.note(desktop),
            Ok(Planned::NotThere) => {}
            // A session that has just begun or ended: the next look may tell more.
            Err(error) => return tracing::warn!("{:#}", anyhow::Error::from(error)),
        }
        self.settled.insert((user.uid, desktop));
    }

    fn make(&mut self, change: &DesktopProxyChange) {
        if let Err(error) = self.guardian.announce(&Undo::DesktopProxy(change.clone())) {
            return self.report.warn(format!("the browser is not configured: {error:#}"));
        }
        match change.apply() {
            Ok(()) => self.note(change.desktop),
            Err(error) => self.report.warn(format!("{:#}", anyhow::Error::from(error))),
        }
    }

    fn note(&mut self, desktop: Desktop) {
        let change = format!("{desktop}'s proxy settings point at {}", self.pac_url);
        tracing::info!("{change}");
        self.report.changes.insert(change);
    }
}
