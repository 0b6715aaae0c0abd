//! One-time codes for browsers, and the sessions that they are exchanged for.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::guard::same;
use crate::access::Caller;

/// The cookie of a session.
pub(super) const COOKIE: &str = "openztna_session";
/// How long a code can be used: a browser that starts cold on a busy device.
const CODE_LIFE: Duration = Duration::from_secs(60);
/// How long a session lasts: a working day.
const SESSION_LIFE: Duration = Duration::from_secs(12 * 3600);
/// Codes, and sessions, of one user at a time; the oldest go first.
const MOST_OF_A_USER: usize = 16;
/// The same of all users together.
const MOST: usize = 256;
/// Octets of randomness: nobody guesses them.
const RANDOM: usize = 32;

/// Codes and sessions, each of one user.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    codes: Mutex<VecDeque<Entry>>,
    sessions: Mutex<VecDeque<Entry>>,
}

#[derive(Debug)]
struct Entry {
    secret: String,
    owner: Caller,
    ends_at: Instant,
}

impl Sessions {
    /// A new code for a browser of this user; none when the system gives no randomness.
    pub(super) fn code(&self, owner: Caller, now: Instant) -> Option<String> {
        add(&self.codes, owner, now, CODE_LIFE)
    }

    /// Exchanges a code, once, for the value of a session's cookie.
    pub(super) fn exchange(&self, code: &str, owner: Caller, now: Instant) -> Option<String> {
        let mut codes = living(&self.codes, now);
        let place = codes.iter().position(|entry| entry.is(code, owner))?;
        codes.remove(place);
        drop(codes);
        add(&self.sessions, owner, now, SESSION_LIFE)
    }

    /// Whether a cookie is of a session of this user.
    pub(super) fn knows(&self, cookie: &str, owner: Caller, now: Instant) -> bool {
        living(&self.sessions, now).iter().any(|entry| entry.is(cookie, owner))
    }
}

impl Entry {
    fn is(&self, secret: &str, owner: Caller) -> bool {
        same(secret.as_bytes(), self.secret.as_bytes()) && self.owner == owner
    }
}

/// A text that nobody guesses, for URLs and header fields.
pub(crate) fn random_text() -> Option<String> {
    let mut bytes = [0; RANDOM];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

fn add(entries: &Mutex<VecDeque<Entry>>, owner: Caller, now: Instant, life: Duration) -> Option<String> {
    let secret = random_text()?;
    let mut entries = living(entries, now);
    let of_user = entries.iter().filter(|entry| entry.owner == owner).count();
    let oldest = match of_user >= MOST_OF_A_USER {
        true => entries.iter().position(|entry| entry.owner == owner),
        false => (entries.len() >= MOST).then_some(0),
    };
    if let Some(oldest) = oldest {
        entries.remove(oldest);
    }
    entries.push_back(Entry { secret: secret.clone(), owner, ends_at: now + life });
    Some(secret)
}

fn living(entries: &Mutex<VecDeque<Entry>>, now: Instant) -> MutexGuard<'_, VecDeque<Entry>> {
    let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner); // they are whole at any time
    entries.retain(|entry| entry.ends_at > now);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Caller = Caller { uid: 1000 };
    const BOB: Caller = Caller { uid: 1001 };

    #[test]
    fn a_code_is_used_once_by_its_user_in_time() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let code = sessions.code(ALICE, now).unwrap();
        assert_eq!(sessions.exchange(&code, BOB, now), None, "another user's");
        assert_eq!(sessions.exchange("x", ALICE, now), None);
        let cookie = sessions.exchange(&code, ALICE, now).unwrap();
        assert_eq!(sessions.exchange(&code, ALICE, now), None, "a second time");
        assert!(sessions.knows(&cookie, ALICE, now) && !sessions.knows(&cookie, BOB, now));
        assert!(!sessions.knows(&code, ALICE, now), "a code is no cookie");
        assert!(!sessions.knows(&cookie, ALICE, now + SESSION_LIFE));
        let late = sessions.code(ALICE, now).unwrap();
        assert_eq!(sessions.exchange(&late, ALICE, now + CODE_LIFE), None);
    }

    #[test]
    fn the_oldest_sessions_of_the_same_user_go_first() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let open = |owner| sessions.exchange(&sessions.code(owner, now).unwrap(), owner, now).unwrap();
        let of_bob = open(BOB);
        let cookies: Vec<String> = (0..=MOST_OF_A_USER).map(|_| open(ALICE)).collect();
        assert!(!sessions.knows(&cookies[0], ALICE, now) && sessions.knows(&cookies[1], ALICE, now));
        assert!(sessions.knows(&of_bob, BOB, now), "nobody ends another's");
        assert_ne!(cookies[0], cookies[1]);
    }
}
