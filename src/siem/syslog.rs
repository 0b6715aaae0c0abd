//! A line as a syslog message (RFC 5424), alone in a datagram or behind its length in a stream.

use std::fmt::Write;
use std::time::SystemTime;

use crate::event::{Event, Severity};

/// "log audit", RFC 5424 section 6.2.1.
const FACILITY: u8 = 13;
/// At most 48 octets, RFC 5424 section 6.
const APP_NAME: &str = "openztna-client-connector";
/// The greatest `sequenceId`, RFC 5424 section 7.3.1; after it comes 1.
const MOST: u64 = 2_147_483_647;

/// Adds the message's header, up to where its text begins. `hostname` is of [`host_name`].
pub(super) fn write_header(event: &Event, sequence: u64, hostname: &str, out: &mut String) {
    let level = match event.severity {
        Severity::Debug => 7,
        Severity::Info => 6,
        Severity::Warn => 4,
        Severity::Error => 3,
    };
    let at = humantime::format_rfc3339_millis(event.at.max(SystemTime::UNIX_EPOCH));
    let (priority, message_id) = (FACILITY * 8 + level, event.kind.name());
    let sequence = (sequence.max(1) - 1) % MOST + 1;
    // a String takes everything
    let _ = write!(
        out,
        "<{priority}>1 {at} {hostname} {APP_NAME} {} {message_id} [meta sequenceId=\"{sequence}\"] ",
        std::process::id()
    );
}

/// The device's name as a header takes it: at most 255 octets of printable ASCII.
pub(super) fn host_name(name: &str) -> String {
    let name: String = name.chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

/// Adds a message to a stream, behind its length in octets (RFC 6587 section 3.4.1).
pub(super) fn write_frame(message: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(message.len().to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(message.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kind;

    #[test]
    fn the_header_has_each_part_of_the_standard() {
        let mut event = Event::new(Kind::AccessRefused, "");
        event.at = SystemTime::UNIX_EPOCH;
        let mut out = String::new();
        write_header(&event, 9, &host_name("läp top"), &mut out);
        let pid = std::process::id();
        let expected = format!(
            "<108>1 1970-01-01T00:00:00.000Z lptop openztna-client-connector {pid} access.refused [meta sequenceId=\"9\"] "
        );
        assert_eq!(out, expected);
        assert_eq!((host_name(""), host_name("\n ").as_str()), ("-".to_owned(), "-"));
    }

    #[test]
    fn lengths_count_octets() {
        let mut out = Vec::new();
        write_frame("añ", &mut out);
        write_frame("b", &mut out);
        assert_eq!(out, "3 añ1 b".as_bytes());
    }

    #[test]
    fn the_number_begins_anew_after_the_greatest() {
        for (sequence, shown) in [(1, 1), (MOST, MOST), (MOST + 1, 1)] {
            let mut out = String::new();
            write_header(&Event::new(Kind::SiemTest, ""), sequence, "-", &mut out);
            assert!(out.contains(&format!("sequenceId=\"{shown}\"")), "{out}");
        }
    }
}
