//! The thread of the SIEM: takes events in, keeps them, sends them, and says how that goes.

mod work;

use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use self::work::Work;
use super::settings::Settings;
use super::spool::{self, Limits, Spool};
use super::state::{Board, State};
use crate::event::{Durable, Events};
use crate::look_up::NameService;

/// How long events may take to leave at the end of the program; what is left is sent by the next run.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often it is looked whether they have left.
const LOOK: Duration = Duration::from_millis(20);

/// What the thread listens to.
pub(super) struct Sender {
    pub(super) state_dir: PathBuf,
    pub(super) events: Events,
    pub(super) settings: watch::Receiver<Option<Settings>>,
    pub(super) names: watch::Receiver<NameService>,
    pub(super) end: watch::Receiver<bool>,
    pub(super) board: Arc<Board>,
}

impl Sender {
    /// Runs until it is told to end. `durable` holds what happened since the start.
    pub(super) async fn run(mut self, durable: Option<Durable>) {
        let (mut durable, mut spool) = (durable, None);
        loop {
            let Some(settings) = self.settings.borrow_and_update().clone() else {
                durable = None;
                self.events.end_durable();
                self.board.set(State::default());
                tokio::select! {
                    Ok(()) = self.settings.changed() => continue,
                    _ = self.end.changed() => return,
                }
            };
            let folder = spool::folder(&self.state_dir);
            let taken = spool.take().unwrap_or_else(|| Spool::open(folder, Limits::default()));
            let source = durable.get_or_insert_with(|| self.events.take_durably());
            let work = Work::new(&settings, taken, self.names.clone(), &self.board);
            let is_over = {
                let mut all = pin!(async {
                    tokio::join!(work.take_in(source), work.deliver()).0;
                });
                tokio::select! {
                    () = &mut all => true,
                    changed = self.settings.changed() => changed.is_err(),
                    _ = self.end.changed() => {
                        work.hurry();
                        tokio::select! {
                            () = &mut all => {}
                            () = all_sent(&work) => {}
                            () = tokio::time::sleep(FAREWELL) => {}
                        }
                        true
                    }
                }
            };
            spool = Some(work.into_spool());
            if is_over {
                return;
            }
        }
    }
}

/// Waits until nothing is left, or is known to have to stay.
async fn all_sent(work: &Work<'_>) {
    loop {
        tokio::time::sleep(LOOK).await;
        if work.backlog() == 0 || work.has_failed() {
            return;
        }
    }
}

/// What never ends has no value.
pub(super) type Never = Infallible;
