//! One flow: its smoltcp socket, what was seen of it, and what its owner has yet to hear.
use std::time::{Duration, Instant};

use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{CongestionControl, Socket, SocketBuffer, State};
use smoltcp::wire::{IPV4_HEADER_LEN, IPV6_HEADER_LEN, TCP_HEADER_LEN, TcpSeqNumber};

use super::event::{End, Signals};
use super::limits::{CONNECT_TIMEOUT, HALF_OPEN_TIMEOUT, MAX_RETRY, RETRY, TIME_WAIT, USER_TIMEOUT};
use super::pace::Pace;
use super::queue::Ticket;
use super::recovery::Recovery;
use super::segment::Segment;
use super::table::FlowKey;

/// A flow from its SYN until its last packet was sent *and* its owner heard of its end.
pub(super) struct Flow {
    pub(super) key: FlowKey,
    pub(super) signals: Signals,
    pub(super) places: Places,
    pub(super) wake_at: Option<Instant>,
    pub(super) pace: Pace,
    pub(super) recovery: Recovery,
    /// How far smoltcp's clock for this flow is ahead: it jumps when something is to be repeated.
    pub(super) jumped: Duration,
    /// The owner gave it up or heard its end: its id is dead outside, only the last packets are still to go.
    pub(super) released: bool,
    /// Nothing is to be sent for it any more, not even a reset.
    pub(super) mute: bool,
    /// In TIME-WAIT, and the peer's FIN was acknowledged: smoltcp must not be polled again, since it would drop what
    /// the owner has not yet read when TIME-WAIT ends. It still answers what arrives.
    pub(super) quiet: bool,
    /// The last sign of life of the peer, or the start of waiting for one; `None` = from the next poll on.
    pub(super) heard_at: Option<Instant>,
    /// One socket in a set of its own: a poll then costs the same with one flow and with 10,000.
    pub(super) sockets: SocketSet<'static>,
    handle: SocketHandle,
    /// Where the window that our SYN offered ends, until a later packet of ours offered another.
    first_window_end: Option<TcpSeqNumber>,
    /// Where the peer's data begins, and how much of it the owner took.
    data_begin: Option<TcpSeqNumber>,
    taken: u32,
    retry: Duration,
    accepted: bool,
    opened: bool,
    finished: bool,
    wants_room: bool,
    unread: usize,
    seen: State,
    fate: Option<End>,
}

/// What a new flow is made with, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Of each of its two buffers.
    pub(super) buffer_bytes: usize,
    /// The largest packet.
    pub(super) mtu: usize,
}

/// The flow's places in the stack's queues.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) ready: Ticket,
    pub(super) events: Ticket,
    pub(super) half_open: Ticket,
    pub(super) time_wait: Ticket,
}

impl Flow {
    /// A flow that waits for the SYN at hand; nothing if smoltcp refuses the address.
    pub(super) fn accepting(key: FlowKey, sizes: Sizes, now: Instant) -> Option<Box<Self>> {
        let mut socket = new_socket(sizes.buffer_bytes);
        socket.listen(key.local).ok()?;
        Some(Self::new(key, socket, sizes, true, now))
    }

    /// A flow that is about to send its SYN; nothing if smoltcp refuses the addresses.
    pub(super) fn connecting(
        key: FlowKey,
        sizes: Sizes,
        now: Instant,
        interface: &mut Interface,
    ) -> Option<Box<Self>> {
        let mut socket = new_socket(sizes.buffer_bytes);
        socket.connect(interface.context(), key.remote, key.local).ok()?;
        Some(Self::new(key, socket, sizes, false, now))
    }

    pub(super) fn socket(&self) -> &Socket<'static> {
        self.sockets.get(self.handle)
    }

    pub(super) fn state(&self) -> State {
        self.socket().state()
    }

    pub(super) fn is_open(&self) -> bool {
        self.opened
    }

    pub(super) fn was_accepted(&self) -> bool {
        self.accepted
    }

    /// Whether its owner knows of it: what a peer opens is told once the handshake is done.
    pub(super) fn is_known(&self) -> bool {
        self.opened || !self.accepted
    }

    /// Whether no packet will come or go any more. A listener whose SYN was withdrawn falls back to LISTEN.
    pub(super) fn is_over(&self) -> bool {
        let over = match self.state() {
            State::Listen => true,
            // smoltcp forgets the peer when the reset it owes is sent.
            State::Closed => self.socket().remote_endpoint().is_none(),
            State::SynSent
            | State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => false,
        };
        over || self.mute
    }

    /// Whether smoltcp may see the segment. The window in a SYN is never scaled (RFC 7323 §2.2), but smoltcp 0.14 takes
    /// it as scaled until its next packet, so that data beyond its buffer would pass and then panic it.
    pub(super) fn admits(&mut self, segment: &Segment) -> bool {
        let begins = match self.state() {
            State::Listen | State::SynSent => segment.data_begin(),
            State::Closed
            | State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => None,
        };
        if let Some(begin) = begins {
            let window = self.socket().recv_capacity().min(usize::from(u16::MAX));
            self.first_window_end = Some(begin + window);
            self.data_begin = Some(begin);
            return true;
        }
        self.first_window_end.is_none_or(|end| segment.data_end() <= end)
    }

    /// Has smoltcp wait for room for a whole segment while there is enough to fill one: it would send whatever the window
    /// allows, and the window opens by a few octets at a time (RFC 9293 §3.8.6.2.1).
    pub(super) fn avoid_silly_segments(&mut self) {
        let socket: &mut Socket = self.sockets.get_mut(self.handle);
        let has_enough = self.recovery.unsent(socket.send_queue()) >= self.recovery.segment();
        socket.set_nagle_enabled(has_enough);
    }

    /// A packet of ours went out.
    pub(super) fn sent(&mut self) {
        if is_synchronized(self.state()) {
            self.first_window_end = None;
        }
    }

    /// A packet of the peer was handled. Before the flow is open nothing prolongs the wait.
    pub(super) fn heard(&mut self, now: Instant) {
        self.retry = RETRY;
        if self.opened {
            self.heard_at = Some(now);
        }
    }

    /// Compares the socket with what was last seen of it, and raises signals. To be called after each packet, since
    /// smoltcp moves by one state at a time and forgets why it closed.
    pub(super) fn observe(&mut self) {
        let state = self.state();
        if !self.opened && is_synchronized(state) {
            self.opened = true;
            self.signals.open = true;
        }
        self.observe_data(state);
        if self.fate.is_none() {
            self.fate = self.fate_in(state);
            if self.end_is_due() {
                self.signals.end = self.fate;
            }
        }
        self.seen = state;
    }

    /// Fills `buffer` with received bytes and tells how many.
    pub(super) fn recv(&mut self, buffer: &mut [u8]) -> usize {
        let socket: &mut Socket = self.sockets.get_mut(self.handle);
        let taken = socket.recv_slice(buffer).unwrap_or(0);
        self.taken = self.taken.wrapping_add(taken as u32);
        self.unread = socket.recv_queue();
        // An orderly end waits for the reader.
        if taken > 0 && self.fate == Some(End::Closed) && self.end_is_due() {
            self.signals.end = self.fate;
        }
        taken
    }

    /// What the peer is to send next, while smoltcp may send data.
    pub(super) fn next_expected(&self) -> Option<u32> {
        match self.state() {
            State::Established | State::CloseWait | State::FinWait1 => {}
            State::Closed
            | State::Listen
            | State::SynSent
            | State::SynReceived
            | State::FinWait2
            | State::Closing
            | State::LastAck
            | State::TimeWait => return None,
        }
        let begin = self.data_begin?.0.cast_unsigned();
        let in_order = self.taken.wrapping_add(self.socket().recv_queue() as u32);
        let fin = u32::from(peer_has_closed(self.state()));
        Some(begin.wrapping_add(in_order).wrapping_add(fin))
    }

    /// How long to let smoltcp wait that wants to be asked at once, though it just had its turn.
    pub(super) fn back_off(&mut self) -> Duration {
        let retry = self.retry;
        self.retry = (retry * 2).min(MAX_RETRY);
        retry
    }

    /// Takes as much of `data` as there is room for and tells how much.
    pub(super) fn send(&mut self, data: &[u8]) -> usize {
        let socket: &mut Socket = self.sockets.get_mut(self.handle);
        let was_idle = socket.send_queue() == 0;
        let taken = socket.send_slice(data).unwrap_or(0);
        self.wants_room = taken < data.len();
        if was_idle && taken > 0 {
            self.heard_at = None;
        }
        taken
    }

    /// Sends a FIN after what is queued.
    pub(super) fn close(&mut self) {
        self.sockets.get_mut::<Socket>(self.handle).close();
        self.heard_at = None;
    }

    /// Ends the flow with a reset where the peer knows of it, and silently otherwise.
    pub(super) fn abort(&mut self) {
        if self.opened && self.state() != State::TimeWait {
            self.sockets.get_mut::<Socket>(self.handle).abort();
        } else {
            self.mute = true;
        }
    }

    /// Ends the flow because of the peer's silence.
    pub(super) fn time_out(&mut self) {
        self.fate = Some(End::TimedOut);
        self.signals.end = self.fate;
        self.abort();
    }

    /// When to stop waiting for the peer, or for an owner who leaves bytes unread; `None` if the next step is for the
    /// owner, who has an event to fetch.
    pub(super) fn deadline(&mut self, idle: Duration, now: Instant) -> Option<Instant> {
        let patience = self.patience(idle)?;
        Some(*self.heard_at.get_or_insert(now) + patience)
    }

    fn new(key: FlowKey, socket: Socket<'static>, sizes: Sizes, accepted: bool, now: Instant) -> Box<Self> {
        let seen = socket.state();
        let ip_header = if key.local.is_ipv4() { IPV4_HEADER_LEN } else { IPV6_HEADER_LEN };
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Box::new(Self {
            key,
            signals: Signals::default(),
            places: Places::default(),
            wake_at: None,
            pace: Pace::new(now),
            recovery: Recovery::new(sizes.mtu - ip_header - TCP_HEADER_LEN),
            jumped: Duration::ZERO,
            released: false,
            mute: false,
            quiet: false,
            heard_at: Some(now),
            sockets,
            handle,
            first_window_end: None,
            data_begin: None,
            taken: 0,
            retry: RETRY,
            accepted,
            opened: false,
            finished: false,
            wants_room: false,
            unread: 0,
            seen,
            fate: None,
        })
    }

    fn observe_data(&mut self, state: State) {
        let socket: &Socket = self.sockets.get(self.handle);
        let (unread, queued) = (socket.recv_queue(), socket.send_queue());
        let has_room = socket.may_send() && queued <= socket.send_capacity() / 2;
        if self.opened && unread > self.unread {
            self.signals.readable = true;
        }
        self.unread = unread;
        if !self.finished && peer_has_closed(state) {
            self.finished = true;
            self.signals.finished = true;
        }
        // Half of the buffer at a time, not a wake-up for each acknowledged segment.
        if self.wants_room && has_room {
            self.wants_room = false;
            self.signals.writable = true;
        }
    }

    fn fate_in(&self, state: State) -> Option<End> {
        match state {
            State::TimeWait => Some(End::Closed),
            State::Closed if self.closed_in_order() => Some(End::Closed),
            State::Closed => Some(End::Reset),
            State::Listen
            | State::SynSent
            | State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck => None,
        }
    }

    /// The last acknowledgement empties the send buffer; a reset leaves there what never arrived.
    fn closed_in_order(&self) -> bool {
        self.seen == State::LastAck && self.socket().send_queue() == 0
    }

    fn end_is_due(&self) -> bool {
        match self.fate {
            None => false,
            Some(End::Closed) => self.unread == 0,
            Some(End::Reset | End::TimedOut) => true,
        }
    }

    fn patience(&self, idle: Duration) -> Option<Duration> {
        if self.released && self.state() == State::TimeWait {
            return Some(TIME_WAIT);
        }
        if self.end_is_due() && !self.released {
            return None;
        }
        match self.state() {
            State::SynSent => Some(CONNECT_TIMEOUT),
            State::Listen | State::SynReceived => Some(HALF_OPEN_TIMEOUT),
            State::FinWait1 | State::Closing | State::LastAck => Some(USER_TIMEOUT),
            State::Established | State::CloseWait if self.socket().send_queue() > 0 => Some(USER_TIMEOUT),
            State::Established | State::CloseWait | State::FinWait2 | State::TimeWait | State::Closed => {
                Some(idle)
            }
        }
    }
}

/// No congestion control of smoltcp's: [`Recovery`] has one that knows of SACK. No delayed acknowledgements: the owner hands in packets by
/// batches and fetches once, so one acknowledgement for each batch goes out anyhow, without a timer. No Nagle: what is
/// sent here is whole messages or already gathered by another TCP; see [`Flow::avoid_silly_segments`].
fn new_socket(buffer_bytes: usize) -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; buffer_bytes]);
    let mut socket = Socket::new(buffer(), buffer());
    socket.set_congestion_control(CongestionControl::None);
    socket.set_ack_delay(None);
    socket.set_nagle_enabled(false);
    socket
}

fn is_synchronized(state: State) -> bool {
    match state {
        State::Closed | State::Listen | State::SynSent | State::SynReceived => false,
        State::Established
        | State::FinWait1
        | State::FinWait2
        | State::CloseWait
        | State::Closing
        | State::LastAck
        | State::TimeWait => true,
    }
}

fn peer_has_closed(state: State) -> bool {
    matches!(state, State::CloseWait | State::Closing | State::LastAck | State::TimeWait)
}
