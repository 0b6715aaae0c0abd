//! Events on their way to the company's SIEM: kept on this device first, then sent, and confirmed where that is possible.
//!
//! A thread of its own takes events from [`Events`], so that neither a slow disk nor a slow SIEM is ever felt elsewhere.

mod chain;
mod check;
mod dial;
mod format;
mod line;
mod problem;
mod sender;
mod settings;
mod spool;
mod state;
mod syslog;
mod transport;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;

pub use check::{Verified, send_test, verify};
pub use problem::Problem;
pub use settings::Settings;

use crate::event::Events;
use crate::look_up::NameService;
use crate::status::SiemStatus;
use sender::Sender;
use state::{Board, State};

/// The way to the SIEM; it ends by [`Self::finish`].
pub struct Siem {
    settings: watch::Sender<Option<Settings>>,
    names: watch::Sender<NameService>,
    end: watch::Sender<bool>,
    board: Arc<Board>,
    changes: watch::Receiver<State>,
    thread: JoinHandle<()>,
}

impl Siem {
    /// Begins; what happens from now on is kept, if there are settings.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub fn start(state_dir: PathBuf, events: Events, settings: Option<Settings>) -> io::Result<Self> {
        let durable = settings.as_ref().map(|_| events.take_durably());
        let (settings, of_settings) = watch::channel(settings);
        let (names, of_names) = watch::channel(NameService::System);
        let (end, of_end) = watch::channel(false);
        let board = Arc::new(Board::default());
        let changes = board.changes();
        let sender = Sender {
            state_dir,
            events,
            settings: of_settings,
            names: of_names,
            end: of_end,
            board: Arc::clone(&board),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("siem".to_owned()).spawn(move || {
            runtime.block_on(sender.run(durable));
            runtime.shutdown_background(); // a look-up of a name may still hang in the system
        })?;
        Ok(Self { settings, names, end, board, changes, thread })
    }

    /// Goes on with these settings; the same ones change nothing.
    pub fn apply(&self, settings: Option<Settings>) {
        self.settings.send_if_modified(|now| {
            let is_other = *now != settings;
            *now = settings;
            is_other
        });
    }

    /// Who is asked for the SIEM's name from now on.
    pub(crate) fn use_names(&self, service: NameService) {
        self.names.send_if_modified(|now| {
            let is_other = *now != service;
            *now = service;
            is_other
        });
    }

    /// How it goes.
    #[must_use]
    pub fn status(&self) -> SiemStatus {
        self.board.status()
    }

    /// Waits until [`Self::status`] tells something else than numbers. Nothing is lost when this is dropped.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Sends what can be sent in a moment, and ends.
    pub async fn finish(self) {
        self.end.send_replace(true);
        let thread = self.thread;
        let _ = tokio::task::spawn_blocking(move || thread.join()).await; // a panic there was told already
    }
}
