//! The work under one setting: events into the spool, and out of it to the SIEM.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time::sleep_until;

use crate::event::{Durable, Event, Field, Kind, Severity};
use crate::look_up::NameService;
use crate::siem::chain::Chain;
use crate::siem::dial::Dial;
use crate::siem::problem::Problem;
use crate::siem::settings::Settings;
use crate::siem::spool::{Cursor, Spool};
use crate::siem::state::{Board, State, Word};
use crate::siem::transport::Transport;

/// Events that are written to the spool at once.
const MOST_AT_ONCE: usize = 512;
/// How often what was written goes onto the disk itself, and the place up to where all is confirmed is noted.
const TICK: Duration = Duration::from_secs(1);
/// A stream must live for so long after its peer's system took something, until that counts as arrived: a receiver that
/// was killed leaves what it had not read yet, and its system says so within a round trip.
const SETTLED: Duration = Duration::from_secs(1);
/// The pause after the first failure;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// each next one is twice as long, up to this.
const LAST_PAUSE: Duration = Duration::from_secs(60);

pub(super) struct Work<'a> {
    settings: &'a Settings,
    spool: RefCell<Spool>,
    chain: RefCell<Chain>,
    names: watch::Receiver<NameService>,
    board: &'a Board,
    /// Something is in the spool that was not there.
    news: Notify,
    /// The program ends: what was acknowledged counts at once.
    is_hurried: Cell<bool>,
    ticked_at: Cell<Instant>,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        spool: Spool,
        names: watch::Receiver<NameService>,
        board: &'a Board,
    ) -> Self {
        Self {
            settings,
            spool: RefCell::new(spool),
            chain: RefCell::default(),
            names,
            board,
            news: Notify::new(),
            is_hurried: Cell::new(false),
            ticked_at: Cell::new(Instant::now()),
        }
    }

    /// Ends the work; what is on its way is sent again by the next one.
    pub(super) fn into_spool(self) -> Spool {
        self.spool.borrow_mut().tick();
        self.spool.into_inner()
    }

    pub(super) fn hurry(&self) {
        self.is_hurried.set(true);
        self.news.notify_one();
    }

    /// Whether the SIEM takes nothing now.
    pub(super) fn has_failed(&self) -> bool {
        self.board.word() == Word::Failed
    }

    pub(super) fn backlog(&self) -> u64 {
        self.spool.borrow().backlog()
    }

    /// Keeps what happens, until nothing more can happen.
    pub(super) async fn take_in(&self, durable: &mut Durable) {
        let mut events = Vec::with_capacity(MOST_AT_ONCE);
        loop {
            let tick = self.next_tick();
            tokio::select! {
                count = durable.recv_many(&mut events, MOST_AT_ONCE) => {
                    if count == 0 {
                        return;
                    }
                    let is_sent = |event: &&std::sync::Arc<Event>| is_sent(event, self.settings.level);
                    for event in events.iter().filter(is_sent) {
                        self.keep(event);
                    }
                    events.clear();
                    self.settle(durable.lost());
                }
                () = at(tick) => {
                    self.tick();
                    self.settle(durable.lost());
                }
            }
        }
    }

    /// When there is something to do though nothing happens.
    fn next_tick(&self) -> Option<Instant> {
        let is_dirty = self.spool.borrow().needs_tick();
        let chain = self.chain.borrow().due_at();
        let tick = is_dirty.then(|| self.ticked_at.get() + TICK);
        tick.into_iter().chain(chain).min()
    }

    fn tick(&self) {
        self.spool.borrow_mut().tick();
        self.ticked_at.set(Instant::now());
        self.report();
    }

    fn keep(&self, event: &Event) {
        let kept = self.spool.borrow_mut().append(event);
        if event.kind != Kind::ChainHead {
            self.chain.borrow_mut().add(kept, Instant::now());
        }
        let head = self.chain.borrow_mut().due(Instant::now());
        if let Some(head) = head {
            self.keep(&head);
        }
    }

    /// After events were kept: writes them, tells of those that were lost, and wakes who sends.
    fn settle(&self, not_taken: u64) {
        self.spool.borrow_mut().flush();
        let lost = not_taken + self.spool.borrow_mut().take_lost();
        if lost > 0 {
            self.lose(lost, "events found no room and are lost");
        }
        let head = self.chain.borrow_mut().due(Instant::now());
        if let Some(head) = head {
            self.keep(&head);
            self.spool.borrow_mut().flush();
        }
        self.report();
        self.news.notify_one();
    }

    fn lose(&self, count: u64, what: &str) {
        self.board.lost(count);
        tracing::error!("{count} {what}");
        self.keep(&Event::new(Kind::EventsLost, format!("{count} {what}")).with(Field::Count, count));
        self.spool.borrow_mut().flush();
    }

    fn report(&self) {
        let spool = self.spool.borrow();
        self.board.spooled(spool.backlog(), spool.fault());
    }

    /// Sends what is kept, again and again.
    pub(super) async fn deliver(&self) -> super::Never {
        self.board.set(self.state(Word::Waiting));
        let (mut pause, mut is_idle) = (FIRST_PAUSE, false);
        let mut names = self.names.clone();
        loop {
            while is_idle && self.backlog() == 0 {
                self.news.notified().await;
            }
            names.mark_unchanged();
            let from = self.spool.borrow().confirmed();
            let Err(problem) = self.session().await;
            let has_progressed = self.spool.borrow().confirmed() > from;
            is_idle = problem.is_quiet;
            if is_idle {
                self.board.set(self.state(Word::Waiting));
                continue;
            }
            self.fail(&problem);
            pause = if has_progressed { FIRST_PAUSE } else { pause };
            tokio::select! {
                () = tokio::time::sleep(problem.retry_after.unwrap_or_else(|| spread(pause))) => {}
                Ok(()) = names.changed() => {}
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Opens a way and uses it until it fails.
    async fn session(&self) -> Result<super::Never, Problem> {
        let names = self.names.borrow().clone();
        let say = |step: &str| tracing::debug!("SIEM: {step}");
        let mut transport = Transport::open(&Dial { settings: self.settings, names, say: &say }).await?;
        let mut cursor = Cursor::at(self.spool.borrow().confirmed());
        loop {
            let sent = self.send_some(&mut transport, &mut cursor).await?;
            self.confirm(&mut transport).await?;
            if transport.is_proven() {
                self.prove();
            }
            if sent == 0 {
                tokio::select! {
                    () = self.news.notified() => {}
                    ended = transport.wait() => ended?,
                }
            }
        }
    }

    async fn send_some(&self, transport: &mut Transport, cursor: &mut Cursor) -> Result<usize, Problem> {
        let room = transport.room();
        if room == 0 {
            return Ok(0);
        }
        let read = self.spool.borrow_mut().read(cursor, room);
        let events = read.map_err(|error| Problem::new(format!("failed to read the spool: {error}")))?;
        let damage = self.spool.borrow_mut().take_damage();
        if let Some(damage) = damage {
            let message = format!(
                "the spool of events was changed at {} places, from event {} on",
                damage.places, damage.first
            );
            tracing::error!("{message}");
            let event = Event::new(Kind::SpoolTampered, message);
            self.keep(&event.with(Field::Count, damage.places).with(Field::Sequence, damage.first));
            self.spool.borrow_mut().flush();
        }
        transport.send(&events).await?;
        let refused = transport.take_refused();
        if refused > 0 {
            self.lose(refused, "events are refused by the SIEM and left out");
        }
        self.board.sent(events.len() as u64);
        Ok(events.len())
    }

    async fn confirm(&self, transport: &mut Transport) -> Result<(), Problem> {
        let settled = if self.is_hurried.get() { Duration::ZERO } else { SETTLED };
        let Some(until) = transport.confirmed(settled).await? else { return Ok(()) };
        self.spool.borrow_mut().confirm(until);
        let is_due = self.ticked_at.get().elapsed() >= TICK;
        if is_due || self.backlog() == 0 && self.spool.borrow().needs_tick() {
            self.tick();
        }
        Ok(())
    }

    fn prove(&self) {
        if self.board.set(self.state(Word::Connected)) {
            tracing::info!("the SIEM takes events");
        }
    }

    fn fail(&self, problem: &Problem) {
        let state = State {
            error: Some(problem.message.clone()),
            hint: problem.hint.clone(),
            ..self.state(Word::Failed)
        };
        let was = self.board.word();
        if self.board.set(state) && was != Word::Failed {
            tracing::warn!("the SIEM takes no events: they are kept, and sent when it does");
        }
        tracing::debug!("SIEM: {problem}");
    }

    fn state(&self, word: Word) -> State {
        State { word, destination: Some(self.settings.destination.to_string()), error: None, hint: None }
    }
}

/// Whether an event is kept: what matters less than is asked for is not, but for what is about events themselves.
fn is_sent(event: &Event, level: Severity) -> bool {
    event.severity >= level
        || matches!(event.kind, Kind::SiemTest | Kind::EventsLost | Kind::ChainHead | Kind::SpoolTampered)
}

/// Up to a quarter more or less, so that not all devices come back at once.
fn spread(pause: Duration) -> Duration {
    let chance = f64::from(getrandom::u32().unwrap_or_default()) / f64::from(u32::MAX);
    pause.mul_f64(0.75 + chance / 2.0)
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
