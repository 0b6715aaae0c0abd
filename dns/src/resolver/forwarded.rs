//! Queries as they are sent on, and how the same question of two clients is recognised.

use crate::upstream::Transport;
use crate::wire::{HEADER, MAX_UDP_SIZE, PLAIN_UDP_SIZE, Query, put16, rtype};

/// Where a query goes, as part of its identity.
#[derive(Clone, Copy)]
pub(super) enum Way {
    Tunnel,
    System,
}

/// What makes two queries the same question: the way they go, their transport, and `content`.
pub(super) fn identity(way: Way, transport: Transport, content: &[u8]) -> Vec<u8> {
    let way = match way {
        Way::Tunnel => 0,
        Way::System => 2,
    };
    let transport = match transport {
        Transport::Udp => 0,
        Transport::Tcp => 1,
    };
    let mut identity = Vec::with_capacity(content.len() + 1);
    identity.push(way | transport);
    identity.extend_from_slice(content);
    identity
}

/// The query that is sent through a tunnel: the client's flags, question and spelling, an id of our own, and its OPT
/// record without options. Options such as cookies belong to one hop (RFC 6891 §6.1.4, RFC 7873 §1), and the answer
/// may serve others. No server is asked for datagrams that the tunnel could only carry in fragments.
pub(super) fn tunnel_query(query: &Query<'_>, id: u16) -> Vec<u8> {
    let mut payload = query.head().to_vec();
    put16(&mut payload, 0, id);
    payload[6..HEADER].fill(0);
    let Some(edns) = query.edns else { return payload };
    put16(&mut payload, 10, 1);
    payload.push(0);
    payload.extend_from_slice(&rtype::OPT.to_be_bytes());
    payload.extend_from_slice(&edns.udp_size.clamp(PLAIN_UDP_SIZE, MAX_UDP_SIZE).to_be_bytes());
    payload.extend_from_slice(&[0, 0, if edns.dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    payload
}
