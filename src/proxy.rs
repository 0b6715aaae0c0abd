//! The proxies of the device: SOCKS and HTTP for programs that cannot, or shall not, use the TUN; the PAC file for
//! browsers. They run on a thread of their own and reach protected destinations by the [`Dialer`].

mod admission;
mod forbidden;
mod http;
mod listener;
mod outbound;
mod owner;
pub mod pac;
mod refusal;
mod settings;
mod shared;
pub mod socks;
pub mod target;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

pub use listener::{Kind, State};
pub use settings::{Credentials, Settings};
pub use shared::Totals;

use crate::dialer::Dialer;
use admission::Admission;
use listener::States;
use outbound::Outbound;
use shared::{Counters, Shared};

/// How long look-ups of the system that are under way may hold up the end.
const END_LIMIT: Duration = Duration::from_millis(200);
/// Threads for look-ups of the system, which block.
const LOOK_UP_THREADS: usize = 16;

/// The proxies at work. They end when this is dropped: ports are freed and connections closed.
#[derive(Debug)]
pub struct Proxies {
    settings: watch::Sender<Arc<Settings>>,
    states: watch::Receiver<BTreeMap<Kind, State>>,
    pac: pac::PacFile,
    shared: Arc<Shared>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the proxies tell about themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Each port that is wanted.
    pub ports: BTreeMap<Kind, State>,
    /// Connections now.
    pub connections: usize,
    /// Connections since the start.
    pub totals: Totals,
}

impl Proxies {
    /// Starts the proxies. A port that is taken is no error: the report says so, and it is tried again.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(settings: Settings, dialer: Dialer) -> io::Result<Self> {
        raise_descriptor_limit();
        let (settings, settings_now) = watch::channel(Arc::new(settings));
        let (states, states_now) = watch::channel(BTreeMap::new());
        let (end, ended) = oneshot::channel();
        let pac = pac::PacFile::new(settings_now.clone(), states.clone());
        let shared = Arc::new(Shared {
            outbound: Outbound { dialer, settings: settings_now.clone() },
            admission: Arc::new(Admission::default()),
            counters: Counters::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOK_UP_THREADS)
            .build()?;
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = run(settings_now, of_thread, states) => {}
                    _ = ended => {} // the sender's end is the end, too
                }
            });
            runtime.shutdown_timeout(END_LIMIT);
        })?;
        Ok(Self { settings, states: states_now, pac, shared, end: Some(end), thread: Some(thread) })
    }

    /// Lets other settings take effect: ports are changed, and users who lost their right lose their connections; all
    /// other connections go on.
    pub fn apply(&self, settings: Settings) {
        self.settings.send_if_modified(|now| {
            let is_new = **now != settings;
            if is_new {
                *now = Arc::new(settings);
            }
            is_new
        });
    }

    /// How the proxies are.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            ports: self.states.borrow().clone(),
            connections: self.shared.admission.connections(),
            totals: self.shared.counters.totals(),
        }
    }

    /// The PAC file, for a port that is not the proxies' own.
    #[must_use]
    pub fn pac_file(&self) -> pac::PacFile {
        self.pac.clone()
    }

    /// Tells when a port was taken, freed or found taken by another program.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<BTreeMap<Kind, State>> {
        self.states.clone()
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a thread that crashed has ended, too
        }
    }
}

/// Keeps the ports as the settings want them.
async fn run(mut settings: watch::Receiver<Arc<Settings>>, shared: Arc<Shared>, states: States) {
    let mut running: BTreeMap<Kind, (u16, JoinHandle<()>)> = BTreeMap::new();
    loop {
        let wanted = ports(&settings.borrow_and_update());
        for kind in [Kind::Socks, Kind::Http, Kind::Pac] {
            let port = wanted.get(&kind).copied();
            if running.get(&kind).map(|(port, _)| *port) == port {
                continue;
            }
            if let Some((_, task)) = running.remove(&kind) {
                task.abort();
                let _ = task.await; // the port is free only then
                states.send_modify(|states| drop(states.remove(&kind)));
            }
            if let Some(port) = port {
                let task = tokio::spawn(listener::serve(kind, port, Arc::clone(&shared), states.clone()));
                running.insert(kind, (port, task));
            }
        }
        if settings.changed().await.is_err() {
            return;
        }
    }
}

fn ports(settings: &Settings) -> BTreeMap<Kind, u16> {
    let socks = settings.socks_port.map(|port| (Kind::Socks, port));
    let http = settings.http_port.map(|port| (Kind::Http, port));
    let pac = (settings.serves_pac && !settings.is_off()).then_some((Kind::Pac, settings.pac_port));
    socks.into_iter().chain(http).chain(pac).collect()
}

/// Ten thousand flows take twenty thousand descriptors, and programs usually start with room for a thousand.
fn raise_descriptor_limit() {
    if let Err(error) = platform::process::raise_descriptor_limit() {
        tracing::debug!(%error, "failed to raise the limit of descriptors");
    }
}

#[cfg(test)]
mod tests;
