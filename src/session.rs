//! The session as a pure state machine: what happened goes in; state, colour, words and actions come out.

mod words;

use crate::status::{Colour, State};

/// What happened. Gateways are named by their index in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The program started and wants to connect.
    Start,
    /// A person wants to connect.
    Up,
    /// A person wants to disconnect.
    Down,
    /// A reply came through the tunnel of this gateway.
    TunnelProven(usize),
    /// Replies of this gateway stopped.
    TunnelLost(usize),
    /// This gateway did not complete a handshake in time.
    HandshakeTimeout(usize),
    /// The system is not as it should be.
    SystemFault(Fault),
    /// The system is as it should be again.
    SystemRecovered,
    /// The device or the person may not use the applications.
    Blocked(Denial),
    /// They may again.
    Unblocked,
    /// The program ends.
    Stop,
}

/// What is wrong with the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In words, such as "failed to write `/etc/resolv.conf`".
    pub what: String,
    /// What the person can do.
    pub hint: Option<String>,
    /// How much it takes away.
    pub severity: Severity,
}

/// How much a fault takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Some of it works: connected with warnings.
    Impaired,
    /// Nothing works: protected destinations are blocked.
    Fatal,
}

/// Why the applications may not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// In the words of the contract, such as "Device does not meet security requirements".
    pub message: String,
    /// What the person can do.
    pub hint: Option<String>,
}

/// What the caller must do now, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Refuse protected destinations at once, with the session's message as the reason.
    BlockProtected,
    /// Make link, routes, system DNS, and let the gateways shake hands.
    BringUp,
    /// Undo what [`Action::BringUp`] made.
    TakeDown,
    /// Let protected destinations through again.
    AllowProtected,
    /// The view changed: publish the status.
    Publish,
}

/// What is shown: nothing that was not proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// State.
    pub state: State,
    /// Colour of the icon.
    pub colour: Colour,
    /// The state in words.
    pub message: String,
    /// What the person can do.
    pub hint: Option<String>,
}

/// What is known of one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// It has not answered yet.
    Waiting,
    /// It answers.
    Proven,
    /// It answered, and does no more.
    Lost,
    /// It did not complete a handshake in time.
    TimedOut,
    /// It is configured no more; its place stays.
    Gone,
}

/// The state machine.
#[derive(Debug, Clone)]
pub struct Session {
    gateways: Vec<(String, Link)>,
    is_wanted: bool,
    is_stopped: bool,
    fault: Option<Fault>,
    denial: Option<Denial>,
}

impl Session {
    /// A session that nobody wanted yet, for the gateways of a configuration.
    #[must_use]
    pub fn new(gateways: impl IntoIterator<Item = String>) -> Self {
        let gateways = gateways.into_iter().map(|name| (name, Link::Waiting)).collect();
        Self { gateways, is_wanted: false, is_stopped: false, fault: None, denial: None }
    }

    /// The gateways of another configuration, by place; `None` stands for one that is gone. What was known of those
    /// that stay is kept.
    pub fn set_gateways(&mut self, places: Vec<Option<String>>) {
        let former = std::mem::take(&mut self.gateways);
        let place = |(index, name): (usize, Option<String>)| {
            let (former_name, link) = former.get(index).cloned().unwrap_or((String::new(), Link::Waiting));
            match name {
                None => (former_name, Link::Gone),
                Some(name) if link == Link::Gone => (name, Link::Waiting),
                Some(name) => (name, link),
            }
        };
        self.gateways = places.into_iter().enumerate().map(place).collect();
    }

    /// Takes in what happened; the actions are to be done in their order.
    pub fn handle(&mut self, input: Input) -> Vec<Action> {
        let before = (self.is_up(), self.is_blocking(), self.view());
        self.take(input);
        let mut actions = Vec::new();
        let (was_up, was_blocking, view) = before;
        if self.is_blocking() && !was_blocking {
            actions.push(Action::BlockProtected);
        }
        match (was_up, self.is_up()) {
            (false, true) => actions.push(Action::BringUp),
            (true, false) => actions.push(Action::TakeDown),
            (true, true) | (false, false) => {}
        }
        if was_blocking && !self.is_blocking() {
            actions.push(Action::AllowProtected);
        }
        if self.view() != view {
            actions.push(Action::Publish);
        }
        actions
    }

    /// Whether link, routes and system DNS are to be there.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.is_wanted && !self.is_stopped
    }

    /// Whether protected destinations are to be refused at once.
    #[must_use]
    pub fn is_blocking(&self) -> bool {
        // A gateway that is lost does not block: its flows may live on when it comes back, new ones are refused anyway.
        self.is_broken() || self.is_up() && self.denial.is_some()
    }

    /// Whether nothing works, so that protected destinations are to be refused whatever application they belong to.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.is_up() && self.fault.as_ref().is_some_and(|fault| fault.severity == Severity::Fatal)
    }

    /// What is shown.
    #[must_use]
    pub fn view(&self) -> View {
        let state = self.state();
        let (message, hint) = words::describe(self, state);
        View { state, colour: colour(state), message, hint }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Start | Input::Up => self.set_wanted(true),
            Input::Down => self.set_wanted(false),
            Input::TunnelProven(gateway) => self.set_link(gateway, Link::Proven),
            Input::TunnelLost(gateway) => self.lose_link(gateway),
            Input::HandshakeTimeout(gateway) => self.time_out_link(gateway),
            Input::SystemFault(fault) => self.fault = Some(fault),
            Input::SystemRecovered => self.fault = None,
            Input::Blocked(denial) => self.denial = Some(denial),
            Input::Unblocked => self.denial = None,
            Input::Stop => self.is_stopped = true,
        }
    }

    /// What was proven before a change of mind proves nothing after it.
    fn set_wanted(&mut self, wanted: bool) {
        if self.is_wanted == wanted {
            return;
        }
        self.is_wanted = wanted;
        self.fault = None;
        for (_, link) in self.gateways.iter_mut().filter(|(_, link)| *link != Link::Gone) {
            *link = Link::Waiting;
        }
    }

    fn set_link(&mut self, gateway: usize, to: Link) {
        // A reply may arrive after the person disconnected.
        if !self.is_up() {
            return;
        }
        if let Some((_, link)) = self.gateways.get_mut(gateway).filter(|(_, link)| *link != Link::Gone) {
            *link = to;
        }
    }

    /// Only what answered before can be lost.
    fn lose_link(&mut self, gateway: usize) {
        if self.link(gateway) == Some(Link::Proven) {
            self.set_link(gateway, Link::Lost);
        }
    }

    /// A lost gateway stays lost, which says more.
    fn time_out_link(&mut self, gateway: usize) {
        match self.link(gateway) {
            Some(Link::Waiting) => self.set_link(gateway, Link::TimedOut),
            Some(Link::Proven) => self.set_link(gateway, Link::Lost),
            Some(Link::Lost | Link::TimedOut | Link::Gone) | None => {}
        }
    }

    fn link(&self, gateway: usize) -> Option<Link> {
        self.gateways.get(gateway).map(|(_, link)| *link)
    }

    fn state(&self) -> State {
        if !self.is_up() {
            return State::Disconnected;
        }
        if self.denial.is_some() {
            return State::Blocked;
        }
        let severity = self.fault.as_ref().map(|fault| fault.severity);
        if severity == Some(Severity::Fatal) {
            return State::Failed;
        }
        let count = |wanted: Link| self.gateways.iter().filter(|(_, link)| *link == wanted).count();
        let proven = count(Link::Proven);
        if proven == 0 {
            return if count(Link::Waiting) > 0 { State::Connecting } else { State::Failed };
        }
        if proven + count(Link::Gone) == self.gateways.len() && severity.is_none() {
            State::Connected
        } else {
            State::Degraded
        }
    }

    /// Names of the gateways in this state, in the order of the configuration.
    fn names(&self, wanted: Link) -> Vec<&str> {
        self.gateways.iter().filter(|(_, link)| *link == wanted).map(|(name, _)| name.as_str()).collect()
    }
}

/// The colours of the contract: what is not connected and not off on purpose is red.
fn colour(state: State) -> Colour {
    match state {
        State::Disconnected => Colour::Gray,
        State::Connected => Colour::Green,
        State::Degraded => Colour::Yellow,
        State::Connecting | State::Blocked | State::Failed => Colour::Red,
    }
}

#[cfg(test)]
mod tests;
