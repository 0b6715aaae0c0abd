//! What an HTTP Event Collector answers, and what that means.

use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;

use crate::siem::problem::Problem;

/// Longest pause that a collector may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The body of an answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    text: String,
    code: Option<i64>,
    #[serde(rename = "ackId")]
    ack_id: Option<u64>,
}

/// What an answer to events means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They were taken; with an id, they are confirmed later.
    Taken(Option<u64>),
    /// They are not as it wants them: the same would be refused again.
    Refused(Problem),
    /// They are too many.
    TooLarge(Problem),
    /// Not now.
    Failed(Problem),
}

/// Judges an answer; `retry_after` is the header of that name.
pub(super) fn judge(status: StatusCode, retry_after: Option<&str>, body: &[u8]) -> Verdict {
    let Ok(Body { text, code, ack_id }) = serde_json::from_slice::<Body>(body) else {
        return Verdict::Failed(foreign(status));
    };
    if status.is_success() {
        return match code {
            Some(0) => Verdict::Taken(ack_id),
            Some(_) | None => Verdict::Failed(foreign(status)),
        };
    }
    let reason = if text.is_empty() { status.to_string() } else { printable(&text) };
    let problem = Problem {
        retry_after: pause(retry_after),
        ..Problem::new(format!("the SIEM refuses events: {reason} ({})", status.as_u16()))
    };
    let token = "check the token in `siem_http_headers = { \"Authorization\" = \"Splunk TOKEN\" }`";
    match (status.as_u16(), code) {
        (413, _) => Verdict::TooLarge(problem),
        (400, Some(5 | 6 | 12 | 13 | 15)) => Verdict::Refused(problem),
        (401 | 403, Some(1)) => Verdict::Failed(problem.hint("the token is disabled there")),
        (401 | 403, _) => Verdict::Failed(problem.hint(token)),
        (400, Some(7)) => Verdict::Failed(problem.hint("let the token use its default index")),
        (404, _) => Verdict::Failed(problem.hint("check the path: /services/collector/event")),
        _ => Verdict::Failed(problem),
    }
}

/// The ids that were confirmed, of an answer to a question about them; `None` where confirmations are switched off.
pub(super) fn confirmations(status: StatusCode, body: &[u8]) -> Result<Option<Vec<u64>>, Problem> {
    #[derive(Deserialize)]
    struct Acks {
        acks: std::collections::BTreeMap<String, bool>,
    }
    if let Ok(Acks { acks }) = serde_json::from_slice(body) {
        let ids = acks.iter().filter(|(_, is_confirmed)| **is_confirmed);
        return Ok(Some(ids.filter_map(|(id, _)| id.parse().ok()).collect()));
    }
    match serde_json::from_slice::<Body>(body).unwrap_or_default().code {
        Some(14) => Ok(None),
        Some(_) | None => {
            Err(Problem::new(format!("the SIEM does not tell what it has kept ({})", status.as_u16())))
        }
    }
}

fn foreign(status: StatusCode) -> Problem {
    Problem::new(format!("something answers that is no HTTP Event Collector ({})", status.as_u16()))
        .hint("check host, port and path, and whether a proxy or a login page answers instead")
}

/// Whole seconds (RFC 9110 section 10.2.3); a date is as good as none.
fn pause(header: Option<&str>) -> Option<Duration> {
    header?.trim().parse().ok().map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Verdict {
        judge(StatusCode::from_u16(status).unwrap(), Some("7"), body.as_bytes())
    }

    #[test]
    fn each_answer_has_its_meaning() {
        assert_eq!(of(200, r#"{"text":"Success","code":0}"#), Verdict::Taken(None));
        assert_eq!(of(200, r#"{"text":"Success","code":0,"ackId":3}"#), Verdict::Taken(Some(3)));
        for (status, body, words) in [
            (200, "<html>log in</html>", "no HTTP Event Collector (200)"),
            (200, "{}", "no HTTP Event Collector (200)"),
            (502, "Bad gateway", "no HTTP Event Collector (502)"),
            (403, r#"{"text":"Invalid token","code":4}"#, "refuses events: Invalid token (403)"),
            (503, r#"{"text":"Server is busy","code":9}"#, "Server is busy (503)"),
            (429, "{}", "429 Too Many Requests"),
            (400, r#"{"text":"Incorrect index","code":7}"#, "Incorrect index"),
        ] {
            let Verdict::Failed(problem) = of(status, body) else { panic!("{status} {body}") };
            assert!(problem.message.contains(words), "{problem}");
        }
        let Verdict::Failed(busy) = of(503, r#"{"code":9}"#) else { panic!() };
        assert_eq!(busy.retry_after, Some(Duration::from_secs(7)));
        assert!(matches!(of(400, r#"{"text":"Invalid data format","code":6}"#), Verdict::Refused(_)));
        assert!(matches!(of(413, "{}"), Verdict::TooLarge(_)));
    }

    #[test]
    fn confirmations_are_read_and_may_be_switched_off() {
        let of = |body: &str| confirmations(StatusCode::OK, body.as_bytes());
        assert_eq!(of(r#"{"acks":{"0":true,"1":false,"12":true}}"#), Ok(Some(vec![0, 12])));
        assert_eq!(of(r#"{"text":"ACK is disabled","code":14}"#), Ok(None));
        assert!(of("nonsense").is_err());
    }
}
