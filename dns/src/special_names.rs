//! Names with a meaning of their own, which this resolver answers itself whatever a server would say.

use crate::name::labels;
use crate::wire::{Query, Reply, rcode, reply};

/// The name by which a network tells browsers to leave DNS to the system: with NXDOMAIN for it, a browser that would
/// turn on DNS over HTTPS by itself does not (Mozilla, "Canary domain - use-application-dns.net").
pub const DOH_CANARY: &str = "use-application-dns.net";

/// Answers a query for a special name. `false`: it is about something else.
///
/// There is no SOA in the answer, so that no cache on the device keeps it when we are gone (RFC 2308 §5).
pub(crate) fn answer_special(query: &Query<'_>, out: &mut Vec<u8>) -> bool {
    if !is_canary(query.name()) {
        return false;
    }
    reply(query.head(), query.edns, Reply { code: rcode::NAME_ERROR, record: None }, out);
    true
}

/// Whether a name, in wire format and lower case, is the canary or below it.
fn is_canary(name: &[u8]) -> bool {
    let wanted = || DOH_CANARY.split('.').map(str::as_bytes);
    let above = labels(name).count().checked_sub(wanted().count());
    above.is_some_and(|above| labels(name).skip(above).eq(wanted()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    #[test]
    fn the_canary_and_what_is_below_it_is_known_by_whole_labels() {
        let is_canary = |text: &str| is_canary(text.parse::<Name>().unwrap().as_wire());
        for name in ["use-application-dns.net", "Use-Application-DNS.NET.", "a.b.use-application-dns.net"] {
            assert!(is_canary(name), "{name}");
        }
        let others = [
            "net",
            "application-dns.net",
            "not-use-application-dns.net",
            "a\\019use-application-dns.net",
            "use-application-dns.net.example",
            "use-application-dns.com",
            ".",
        ];
        for name in others {
            assert!(!is_canary(name), "{name}");
        }
    }
}
