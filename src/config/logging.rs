//! `[logging]`: what is sent to the company's SIEM, how, and where to.

use super::diagnostic::Diagnostic;
use super::origin::{Origin, Setting};
use super::reader::{Complaint, Reader, shorten};
use super::secret::Secret;
use super::siem_destination::SiemDestination;
use super::unknown::nearest;
use crate::event::{Field, Severity};

/// `[logging]`.
#[derive(Debug, Clone)]
pub struct Logging {
    /// Whether events are sent.
    pub siem_integration: Setting<bool>,
    /// How they are written.
    pub siem_format: Setting<SiemFormat>,
    /// Where to; there is one if events are sent.
    pub siem_destination: Option<Setting<SiemDestination>>,
    /// Headers of HTTP destinations.
    pub siem_http_headers: Vec<(String, Secret)>,
    /// What matters less is not sent.
    pub siem_log_level: Setting<Severity>,
    /// What else is put into events.
    pub siem_additional_fields: Vec<Field>,
    /// The authority whose certificates the destination may show, instead of the system's.
    pub siem_ca_file: Option<Setting<String>>,
    /// What this device shows to the destination; there is a key if there is one.
    pub siem_client_certificate: Option<Setting<String>>,
    /// The private key of that certificate.
    pub siem_client_key: Option<Setting<String>>,
}

/// `[logging] siem_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiemFormat {
    /// Common Event Format, version 0.
    Cef,
    /// Log Event Extended Format, version 2.0.
    Leef,
    /// JSON with the names of the Elastic Common Schema.
    Json,
}

impl SiemFormat {
    /// The word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cef => "CEF",
            Self::Leef => "LEEF",
            Self::Json => "JSON",
        }
    }

    fn from_word(word: &str) -> Self {
        [Self::Leef, Self::Json].into_iter().find(|format| format.as_str() == word).unwrap_or(Self::Cef)
    }
}

impl Logging {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let table = "logging";
        let logging = Self {
            siem_integration: reader.boolean(table, "siem_integration"),
            siem_format: reader.choice(table, "siem_format").map(SiemFormat::from_word),
            siem_destination: read_destination(reader),
            siem_http_headers: read_headers(reader),
            siem_log_level: reader.choice(table, "siem_log_level").map(severity),
            siem_additional_fields: read_fields(reader),
            siem_ca_file: reader.text(table, "siem_ca_file"),
            siem_client_certificate: reader.text(table, "siem_client_certificate"),
            siem_client_key: reader.text(table, "siem_client_key"),
        };
        logging.check(reader);
        logging
    }

    /// Looks for what is missing beside what is there.
    fn check(&self, reader: &mut Reader<'_>) {
        let is_given = reader.find("logging", "siem_destination").is_some();
        if self.siem_integration.value && !is_given {
            let complaint = Complaint::new(
                "`logging.siem_integration` has no `logging.siem_destination`",
                "add `siem_destination = \"syslog+tls://HOST:6514\"`, or set `siem_integration = false`",
            );
            reader.complain(self.siem_integration.origin.clone(), complaint);
        }
        let (given, missing) = match (&self.siem_client_certificate, &self.siem_client_key) {
            (Some(given), None) => (given, "siem_client_key"),
            (None, Some(given)) => (given, "siem_client_certificate"),
            (Some(_), Some(_)) | (None, None) => return,
        };
        let message =
            format!("a client certificate and its key belong together: `logging.{missing}` is missing");
        let hint = format!("add `{missing} = \"FILE\"`, or leave both out");
        reader.complain(given.origin.clone(), Complaint::new(message, hint));
    }
}

fn severity(word: &str) -> Severity {
    let all = [Severity::Debug, Severity::Warn, Severity::Error];
    all.into_iter().find(|severity| severity.as_str() == word).unwrap_or(Severity::Info)
}

fn read_destination(reader: &mut Reader<'_>) -> Option<Setting<SiemDestination>> {
    let Setting { value, origin } = reader.text("logging", "siem_destination")?;
    match SiemDestination::parse(&value) {
        Ok(value) => Some(Setting { value, origin }),
        Err(error) => {
            let message = format!("`logging.siem_destination` is not a destination: {error}");
            reader.complain(origin, Complaint::new(message, error.hint()));
            None
        }
    }
}

/// The facts that are known; others are only warned of, since a later version may know them.
fn read_fields(reader: &mut Reader<'_>) -> Vec<Field> {
    let (mut fields, mut unknown) = (Vec::new(), Vec::new());
    reader.each("logging", "siem_additional_fields", |text| {
        match Field::ALL.iter().find(|field| field.name() == text) {
            Some(field) => fields.push(*field),
            None => unknown.push(text),
        }
        Ok(())
    });
    let Some(found) = reader.find("logging", "siem_additional_fields") else { return fields };
    for text in unknown {
        let message = format!("`logging.siem_additional_fields` has an unknown field: `{}`", shorten(text));
        let hint = match nearest(text, Field::ALL.iter().map(|field| field.name())) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "docs/events.md lists all fields".to_owned(),
        };
        reader.problems.push(Diagnostic::warning(found.origin.clone(), message).hint(hint));
    }
    fields
}

fn read_headers(reader: &mut Reader<'_>) -> Vec<(String, Secret)> {
    let Some(found) = reader.find("logging", "siem_http_headers") else { return Vec::new() };
    let complaint = || {
        Complaint::new(
            "`logging.siem_http_headers` must be a table of texts",
            "write `siem_http_headers = { \"Authorization\" = \"Splunk TOKEN\" }`",
        )
    };
    let Some(table) = found.value.as_table() else {
        reader.complain(found.origin, complaint());
        return Vec::new();
    };
    let mut headers = Vec::new();
    for (name, value) in table.iter() {
        match value.get_ref().as_str() {
            Some(text) => headers.push((name.get_ref().to_string(), Secret::new(text.to_owned()))),
            None => {
                let origin: Origin = reader.place(&found, &name.span());
                reader.complain(origin, complaint());
            }
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Config, crate::config::ConfigError> {
        Config::parse(Path::new("c.toml"), &format!("[logging]\n{text}"))
    }

    #[test]
    fn an_unknown_field_is_a_warning_that_names_the_nearest() {
        let config = parse("siem_additional_fields = [\"device_id\", \"usr_id\", \"application\"]").unwrap();
        assert_eq!(config.logging.siem_additional_fields, [Field::DeviceId, Field::Application]);
        let warning =
            config.warnings.iter().map(ToString::to_string).find(|text| text.contains("usr_id")).unwrap();
        assert!(warning.contains("did you mean `user_id`?"), "{warning}");
    }

    #[test]
    fn what_cannot_work_is_an_error_with_a_hint() {
        for (text, message) in [
            ("siem_integration = true", "has no `logging.siem_destination`"),
            ("siem_destination = \"siem:514\"", "does not begin with a known scheme"),
            ("siem_client_certificate = \"a.pem\"", "`logging.siem_client_key` is missing"),
            ("siem_client_key = \"a.pem\"", "`logging.siem_client_certificate` is missing"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(message) && error.contains("hint: "), "{error}");
        }
    }
}
