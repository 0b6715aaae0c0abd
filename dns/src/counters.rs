//! What the resolver has counted, for `status` and metrics.

/// Counts since the start. They only grow; none of them names a name or an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Queries that were handed in, the unusable ones included.
    pub queries: u64,
    /// Queries answered from the cache.
    pub cache_hits: u64,
    /// Queries for names that belong to a tunnel and were not in the cache.
    pub cache_misses: u64,
    /// Queries passed unchanged to the servers of the physical links.
    pub off_zone: u64,
    /// Queries that joined an identical one in flight.
    pub joined: u64,
    /// Messages that were no usable query: dropped, or answered FORMERR, NOTIMP or BADVERS.
    pub malformed_queries: u64,
    /// Responses that match no query in flight, or not its server, id or question.
    pub unexpected_responses: u64,
    /// Responses of the right server that could not be read.
    pub malformed_responses: u64,
    /// Attempts that got no response in time.
    pub timeouts: u64,
    /// Attempts that failed at once: SERVFAIL, REFUSED, connection refused, unreachable.
    pub upstream_failures: u64,
    /// Queries answered SERVFAIL by this resolver because no server gave a usable response.
    pub unanswered: u64,
    /// Queries answered SERVFAIL because too many were in flight.
    pub overload: u64,
    /// Answers refused because no virtual address was free, or the quota of the grant was used up.
    pub pool_exhausted: u64,
    /// Address records left out of answers: family or address that cannot be reached, or must never be mapped.
    pub withheld_addresses: u64,
    /// Answers cut to a TC bit because they did not fit into the client's datagram.
    pub truncated: u64,
}
