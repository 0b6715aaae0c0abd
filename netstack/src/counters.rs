//! Why packets were dropped or refused, counted.

/// Why a packet went no further. Dropping is never an error: hostile and stray packets are data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// Not a sound IP packet, or its offload facts contradict it.
    Malformed,
    /// Its destination is nothing that we serve.
    NotOurs,
    /// A fragment whose first is refused, is not ours, or does not come; or more of them than there is room for.
    Fragment,
    /// A protocol that is not translated.
    UnsupportedProtocol,
    /// A datagram that is no WireGuard message for us, or failed authentication.
    BadDatagram,
    /// A datagram longer than any that a gateway may send.
    OversizedDatagram,
    /// From the tunnel, but its addresses are not what the gateway may send.
    ForeignAddress,
    /// From the tunnel, but it belongs to no flow that the device began.
    Unsolicited,
    /// No room in the batch: the system does not take packets fast enough.
    BatchFull,
    /// The gateway has no address of this family, or does not exist any more.
    NoRoute,
    /// Longer than the path, and not to be cut: the device was told the size that passes.
    TooBig,
    /// More of its kind than one sender may have in a second.
    RateLimited,
}

impl DropReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 12] = [
        Self::Malformed,
        Self::NotOurs,
        Self::Fragment,
        Self::UnsupportedProtocol,
        Self::BadDatagram,
        Self::OversizedDatagram,
        Self::ForeignAddress,
        Self::Unsolicited,
        Self::BatchFull,
        Self::NoRoute,
        Self::TooBig,
        Self::RateLimited,
    ];

    /// A stable code for `status` and logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotOurs => "not_ours",
            Self::Fragment => "fragment",
            Self::UnsupportedProtocol => "unsupported_protocol",
            Self::BadDatagram => "bad_datagram",
            Self::OversizedDatagram => "oversized_datagram",
            Self::ForeignAddress => "foreign_address",
            Self::Unsolicited => "unsolicited",
            Self::BatchFull => "batch_full",
            Self::NoRoute => "no_route",
            Self::TooBig => "too_big",
            Self::RateLimited => "rate_limited",
        }
    }
}

/// Why the device was told "no".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefusalReason {
    /// Disconnected, or an error state blocks protected destinations.
    Blocked,
    /// No application stands behind this address (any more).
    NoApplication,
    /// The application does not allow this protocol or port.
    PortNotAllowed,
    /// The connection table is full.
    TableFull,
    /// The right was taken away while the flow was open.
    Revoked,
    /// The gateway does not answer: it is known to be out of reach.
    GatewayUnreachable,
    /// The device does not meet what its administrators require for the application.
    Device,
    /// A segment of a connection that is not known (any more): the device should open it anew.
    UnknownConnection,
}

impl RefusalReason {
    /// A stable code for `status` and logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::NoApplication => "no_application",
            Self::PortNotAllowed => "port_not_allowed",
            Self::TableFull => "table_full",
            Self::Revoked => "revoked",
            Self::GatewayUnreachable => "gateway_unreachable",
            Self::Device => "device",
            Self::UnknownConnection => "unknown_connection",
        }
    }
}

/// Drops by reason.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    drops: [u64; DropReason::ALL.len()],
}

impl Counters {
    /// Counts one.
    pub fn count(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    /// How many went for `reason`.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter_and_code() {
        let mut counters = Counters::default();
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            counters.count(reason);
            assert_eq!(counters.get(reason), 1);
        }
        let codes: std::collections::BTreeSet<_> =
            DropReason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), DropReason::ALL.len());
    }
}
