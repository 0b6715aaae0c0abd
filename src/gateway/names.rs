//! The gateway's name server: a peer sees the names of its own applications, each with an address of the gateway's.

mod message;
#[cfg(test)]
pub(crate) mod tests;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::RecordType;

use super::addresses::Addresses;
use super::roster::{PeerFacts, Roster};
use super::target::{self, Lookout};
use super::upstream;

/// A client may believe an address for so long, in seconds, whatever the record says: rights and records change.
const LONGEST_TTL: u32 = 300;

/// Answers queries. Clones share the table.
#[derive(Debug, Clone)]
pub struct Names {
    /// The table of addresses.
    pub addresses: Arc<Mutex<Addresses>>,
    /// Who may see what, and what is never dialed.
    pub lookout: Lookout,
}

/// The answer to a query, and what must be known before it is sent.
#[derive(Debug)]
pub struct Reply {
    /// The message.
    pub payload: Vec<u8>,
    /// An address that was given out.
    pub destination: Option<Given>,
}

/// An address that was given out for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// It.
    pub address: IpAddr,
    /// The applications, by number.
    pub applications: Vec<u32>,
    /// A real address behind it.
    pub real: IpAddr,
}

impl Names {
    /// The answer to one query of a peer, of at most `limit` bytes (UDP); `None`: it is none.
    pub async fn answer(
        &self,
        roster: &Roster,
        peer: &PeerFacts,
        query: &[u8],
        limit: Option<usize>,
    ) -> Option<Reply> {
        let query = message::read(query)?;
        let (answer, destination) = match message::question(&query) {
            Ok(question) => self.resolve(roster, peer, &query, question).await,
            Err(code) => (message::reply(&query, code), None),
        };
        Some(Reply { payload: message::fit(&query, &answer, limit)?, destination })
    }

    async fn resolve(
        &self,
        roster: &Roster,
        peer: &PeerFacts,
        query: &Message,
        question: &Query,
    ) -> (Message, Option<Given>) {
        let name = message::text(&question.name);
        if let Some(address) = message::reverse(question) {
            return (self.reverse(roster, peer, query, address), None);
        }
        let applications = roster.access.covering(&peer.applications, &name);
        if applications.is_empty() {
            let exists = roster.access.has_below(&peer.applications, &name);
            let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
            return (message::reply(query, code), None);
        }
        if [RecordType::ANY, RecordType::AXFR, RecordType::IXFR].contains(&question.query_type) {
            return (message::reply(query, ResponseCode::NotImp), None);
        }
        let Ok(found) = upstream::ask(self.lookout.servers(roster), question).await else {
            return (message::reply(query, ResponseCode::ServFail), None);
        };
        if [RecordType::A, RecordType::AAAA].contains(&question.query_type) {
            return self.substitute(roster, peer, query, &found, &name, applications);
        }
        (message::pass_on(query, found), None)
    }

    /// Puts an address of ours in the place of the real ones, if any of them may be dialed.
    fn substitute(
        &self,
        roster: &Roster,
        peer: &PeerFacts,
        query: &Message,
        found: &Message,
        name: &str,
        applications: Vec<u32>,
    ) -> (Message, Option<Given>) {
        let real = message::addresses(query, found);
        if real.is_empty() {
            return (message::without_answer(query, found), None);
        }
        let open = self.lookout.open(roster, peer, &real, None, Instant::now());
        let Some(first) = open.first() else {
            tracing::debug!("a name leads to forbidden addresses only, and is answered without: `{name}`");
            return (message::reply(query, ResponseCode::NoError), None);
        };
        let ttl = message::ttl(found).min(LONGEST_TTL);
        let assigned = self.addresses.lock().unwrap_or_else(PoisonError::into_inner).assign(
            roster,
            &applications,
            &name.into(),
            first.is_ipv6(),
            ttl,
            wall(),
        );
        match assigned {
            Ok(address) => {
                let given = Given { address, applications, real: *first };
                (message::with_address(query, address, ttl), Some(given))
            }
            Err(error) => {
                tracing::warn!("a name gets no address: {error}");
                (message::reply(query, ResponseCode::ServFail), None)
            }
        }
    }

    /// The name of an address of ours, for those who may see it.
    fn reverse(&self, roster: &Roster, peer: &PeerFacts, query: &Message, address: IpAddr) -> Message {
        let named = self.addresses.lock().unwrap_or_else(PoisonError::into_inner).get(roster, address);
        match named.filter(|named| target::is_still(roster, peer, named)) {
            Some(named) => message::with_name(query, &named.name, LONGEST_TTL),
            None => message::reply(query, ResponseCode::NXDomain),
        }
    }
}

/// Seconds since 1970.
pub(super) fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
