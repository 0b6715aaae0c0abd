//! Whether a packet of the device wants an answer: by that silence is told from having nothing to say.

use crate::packet::facts::{Facts, Tcp, Transport};
use crate::wireguard::Expectation;

/// How sure an answer to the packet is; `None`: nothing follows from it, such as a mere acknowledgement.
pub(super) fn of(facts: &Facts) -> Option<Expectation> {
    match facts.transport {
        Transport::Tcp(tcp) if tcp.has(Tcp::RST) => None,
        Transport::Tcp(tcp) => {
            let takes_numbers = tcp.has(Tcp::SYN) || tcp.has(Tcp::FIN) || facts.payload_length() > 0;
            takes_numbers.then_some(Expectation::Sure)
        }
        Transport::Echo { is_request, .. } => is_request.then_some(Expectation::Sure),
        Transport::Udp { .. } | Transport::Fragment => Some(Expectation::Likely),
        Transport::Error | Transport::Other => None,
    }
}
