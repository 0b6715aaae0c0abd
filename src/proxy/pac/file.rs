//! The PAC file where another port serves it than the proxies' own.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::access::Caller;
use crate::proxy::listener::States;
use crate::proxy::{Kind, Settings, State};

/// The PAC file as the settings are now. Clones are the same.
#[derive(Debug, Clone)]
pub struct PacFile {
    settings: watch::Receiver<Arc<Settings>>,
    states: States,
}

impl PacFile {
    pub(in crate::proxy) fn new(settings: watch::Receiver<Arc<Settings>>, states: States) -> Self {
        Self { settings, states }
    }

    /// The script; none while no proxy runs.
    #[must_use]
    pub fn script(&self) -> Option<String> {
        let settings = Arc::clone(&self.settings.borrow());
        (!settings.is_off()).then(|| settings.pac_script())
    }

    /// Whether the user may use the proxies.
    #[must_use]
    pub fn allows(&self, caller: Caller) -> bool {
        self.settings.borrow().access.allows(caller)
    }

    /// Tells those who point browsers at it where it is served, for as long as it is polled.
    pub async fn follow(mut self, mut port: watch::Receiver<Option<SocketAddr>>) {
        loop {
            self.tell(*port.borrow_and_update());
            tokio::select! {
                Ok(()) = self.settings.changed() => {}
                Ok(()) = port.changed() => {}
                else => return,
            }
        }
    }

    fn tell(&mut self, port: Option<SocketAddr>) {
        let settings = Arc::clone(&self.settings.borrow_and_update());
        if settings.serves_pac {
            return; // then it is the proxies' own port that counts
        }
        let state = port.filter(|_| !settings.is_off()).map(State::Listening);
        self.states.send_if_modified(|states| {
            let is_new = states.get(&Kind::Pac) != state.as_ref();
            match state {
                Some(state) => drop(states.insert(Kind::Pac, state)),
                None => drop(states.remove(&Kind::Pac)),
            }
            is_new
        });
    }
}
