//! What a `TcpStack` may hold, and how long it waits for a silent peer.
use std::time::Duration;

/// Bounds of one [`TcpStack`](super::TcpStack).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most flows at one time, in any state, TIME-WAIT included; at least 1.
    pub max_flows: usize,
    /// Bytes of the receive buffer, and as many again of the send buffer, of each flow; the memory is touched only as
    /// far as a flow uses it.
    pub buffer_bytes: usize,
    /// How long an open flow with nothing to send may hear nothing before it is timed out. RFC 5382 REQ-5 asks for at
    /// least 2 h 4 min where programs expect TCP to last; RFC 7766 §6.2.3 for a few seconds where a name server serves.
    pub idle_timeout: Duration,
    /// Packets that one flow may send in a millisecond: smoltcp itself would send all that the window allows at once.
    /// To be a small part of the queue behind.
    pub pace_packets: u32,
}

/// A connection attempt of ours ends after 30 s: SYNs at 0, 1, 3, 7 and 15 s (RFC 6298 back-off) have then had 15 s to
/// be answered.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A half-open connection ends after 15 s: SYN-ACKs at 0, 1, 3 and 7 s have then had 8 s to be answered.
pub(super) const HALF_OPEN_TIMEOUT: Duration = Duration::from_secs(15);

/// Unacknowledged data or FIN with not one segment from the peer: 100 s, the least that RFC 9293 §3.8.3 asks of R2.
pub(super) const USER_TIMEOUT: Duration = Duration::from_secs(100);

/// TIME-WAIT: 10 s, smoltcp's own, not 2 MSL: segments cross a TUN or one tunnel, so none lives for minutes.
pub(super) const TIME_WAIT: Duration = Duration::from_secs(10);

/// Half-open connections at one time; the oldest yields. 256 is the backlog at which usual kernels begin to shed: a
/// local program answers a SYN-ACK within milliseconds, so only a flood reaches it.
pub(super) const MAX_HALF_OPEN: usize = 256;

/// The unit of pacing; 1 ms is the resolution of the timers that drive us.
pub(super) const PACE_INTERVAL: Duration = Duration::from_millis(1);

/// Packets of one flow before the next has its turn: an acknowledgement of another flow waits for 16 at most.
pub(super) const TURN_PACKETS: u32 = 16;

/// Times that smoltcp is asked for a packet in a turn, those included that it is not to send again: what it makes of
/// 200 KiB.
pub(super) const TURN_POLLS: u32 = 128;

/// How far smoltcp's clock jumps to have its longest time-out come, which is 60 s.
pub(super) const REWIND: Duration = Duration::from_secs(61);

/// Packets that wait to be fetched with `poll_packet`; replies beyond are dropped like on any full queue, which TCP
/// survives. More than any batch that the caller hands in between two fetches.
pub(super) const OUTBOX_PACKETS: usize = 512;

/// smoltcp may say "now" again after it had its turn, as 0.14 does for a peer that closes its window for good. It is asked
/// again after 1 s, its own shortest retransmission time-out, so that no loop spins or floods on it …
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// … and then after twice that, up to 60 s, its longest, until something happens to the flow.
pub(super) const MAX_RETRY: Duration = Duration::from_secs(60);

/// Least MTU, bytes: every IPv4 host takes 576 (RFC 791 §3.1), and smoltcp subtracts headers from it unchecked.
pub(super) const MIN_MTU: usize = 576;

/// Most MTU, bytes: the length field of IPv4 has 16 bits.
pub(super) const MAX_MTU: usize = 65_535;

/// Least and most buffer, bytes: one full segment of the smallest MTU; the limit of smoltcp's window scaling.
pub(super) const BUFFER_RANGE: std::ops::RangeInclusive<usize> = MIN_MTU..=1 << 30;
