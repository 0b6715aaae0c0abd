//! What a `TcpStack` counts.

/// Totals since the stack was made. Dropped packets are data, never errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets of ours whose IPv4 or TCP checksum was wrong, dropped.
    pub bad_checksum: u64,
    /// Segments dropped because they reached beyond the window that our SYN offered.
    pub outside_window: u64,
    /// SYNs refused with a reset because the table was full.
    pub refused: u64,
    /// Half-open connections that were given up for newer ones.
    pub half_open_evicted: u64,
    /// Replies dropped because nobody fetched packets.
    pub outbox_full: u64,
    /// Times that smoltcp was entered: the unit of this module's cost.
    pub polls: u64,
}
