//! How it goes with the SIEM, for `status`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::status::SiemStatus;

/// How it goes, in a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Word {
    /// No events are to be sent.
    #[default]
    Off,
    /// Nothing was tried yet, or there is nothing to send.
    Waiting,
    /// It takes events.
    Connected,
    /// It does not.
    Failed,
}

/// What changes seldom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) word: Word,
    pub(super) destination: Option<String>,
    pub(super) error: Option<String>,
    pub(super) hint: Option<String>,
}

/// Where the thread writes how it goes, and the status is read from.
#[derive(Debug)]
pub(super) struct Board {
    state: watch::Sender<State>,
    spooled: AtomicU64,
    sent: AtomicU64,
    lost: AtomicU64,
    fault: Mutex<Option<String>>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            state: watch::Sender::new(State::default()),
            spooled: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            fault: Mutex::default(),
        }
    }
}

impl Board {
    /// Sets the state; answers whether it is another one.
    pub(super) fn set(&self, state: State) -> bool {
        self.state.send_if_modified(|now| {
            let is_other = *now != state;
            *now = state;
            is_other
        })
    }

    pub(super) fn word(&self) -> Word {
        self.state.borrow().word
    }

    /// Tells when the state is another one.
    pub(super) fn changes(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(super) fn sent(&self, count: u64) {
        self.sent.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    /// How many wait, and why the disk takes none of them.
    pub(super) fn spooled(&self, count: u64, fault: Option<&str>) {
        self.spooled.store(count, Ordering::Relaxed);
        let mut known = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref() != fault {
            if let Some(fault) = fault {
                tracing::error!("events are kept in memory only: the spool cannot be written: {fault}");
            }
            *known = fault.map(str::to_owned);
            self.state.send_modify(|_| {});
        }
    }

    pub(super) fn status(&self) -> SiemStatus {
        let State { word, destination, error, hint } = self.state.borrow().clone();
        let state = match word {
            Word::Off => "off",
            Word::Waiting => "waiting",
            Word::Connected => "connected",
            Word::Failed => "failed",
        };
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        SiemStatus {
            state: state.to_owned(),
            destination,
            spooled: self.spooled.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            error,
            hint,
            spool_error: fault,
        }
    }
}
