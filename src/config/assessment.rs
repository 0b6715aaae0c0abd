//! What belongs together in `[device_assessment]` and in `requires` of applications.

use regex::{Regex, RegexBuilder};

use super::application::Application;
use super::reader::{Complaint, Reader};
use super::sections::DeviceAssessment;
use super::unknown::nearest;

/// The checks that an application may require, each with the key of `[device_assessment]` that it needs.
pub const CHECKS: [(&str, Option<&str>); 10] = [
    ("firewall", None),
    ("antivirus", None),
    ("disk_encryption", None),
    ("os_updates", None),
    ("os_version", Some("min_os_version")),
    ("security_software", Some("required_security_software")),
    ("edr", Some("edr_integration")),
    ("custom", Some("custom_assessment_script")),
    ("screen_lock", None),
    ("secure_boot", None),
];

/// Memory that a compiled pattern may take, in octets: what a person writes takes a few KiB.
const LARGEST_PATTERN: usize = 1 << 20;

/// A pattern that is looked for in what a check prints; `^` and `$` are beginnings and ends of lines.
///
/// # Errors
/// It is no regular expression, or a monstrous one.
pub fn status_pattern(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).multi_line(true).size_limit(LARGEST_PATTERN).build()
}

/// Takes the name of a check in `requires`.
pub(super) fn known(text: &str) -> Result<String, Complaint> {
    if CHECKS.iter().any(|(id, _)| *id == text) {
        return Ok(text.to_owned());
    }
    let hint = match nearest(text, CHECKS.iter().map(|(id, _)| *id)) {
        Some(id) => format!("did you mean `{id}`?"),
        None => format!("one of {}", CHECKS.map(|(id, _)| id).join(", ")),
    };
    Err(Complaint::new(format!("unknown check in `requires`: `{text}`"), hint))
}

/// Complains of requirements that nothing could ever meet, and of a pattern that cannot be read.
pub(super) fn check(reader: &mut Reader<'_>, settings: &DeviceAssessment, applications: &[Application]) {
    if let Some(pattern) = &settings.edr_status_regex
        && let Err(error) = status_pattern(&pattern.value)
    {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let message = format!("`device_assessment.edr_status_regex` is no regular expression: {reason}");
        reader.complain(
            pattern.origin.clone(),
            Complaint::new(message, "in doubt, write the words that are printed"),
        );
    }
    for application in applications {
        for id in &application.requires {
            if let Some((message, hint)) = contradiction(settings, &application.name, id) {
                reader.complain(application.origin.clone(), Complaint::new(message, hint));
            }
        }
    }
}

fn contradiction(settings: &DeviceAssessment, application: &str, id: &str) -> Option<(String, String)> {
    if !settings.enabled.value {
        let message = format!("application `{application}` requires `{id}`, but the device is not assessed");
        return Some((message, "remove `enabled = false` from `[device_assessment]`".to_owned()));
    }
    let key = CHECKS.iter().find(|(known, _)| *known == id)?.1?;
    let is_given = match id {
        "os_version" => settings.min_os_version.is_some(),
        "security_software" => !settings.required_security_software.is_empty(),
        "edr" => settings.edr_integration.value,
        "custom" => settings.custom_assessment_script.is_some(),
        _ => true,
    };
    let message = format!("application `{application}` requires `{id}`, but there is nothing to check");
    (!is_given).then(|| (message, format!("set `{key}` in `[device_assessment]`")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    fn complaints(requires: &str, settings: &str) -> String {
        let text = format!(
            "[device_assessment]\n{settings}\n[[gateway]]\nname = \"hq\"\n\
             public_key = \"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\"\nendpoint = \"198.51.100.7:51820\"\n\
             address = \"10.77.0.3\"\nallowed_ips = \"10.77.0.0/16\"\nprivate_key_file = \"hq.key\"\n\
             [[application]]\nname = \"wiki\"\nhost = \"10.77.0.1\"\nports = \"tcp/80\"\nrequires = {requires}\n"
        );
        Config::parse(Path::new("c.toml"), &text)
            .map(|_| String::new())
            .unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn requirements_are_known_and_can_be_met() {
        for (requires, settings, expected) in [
            ("[\"firewall\", \"secure_boot\"]", "", ""),
            ("\"fire_wall\"", "", "did you mean `firewall`?"),
            ("\"vault\"", "", "one of firewall, antivirus"),
            ("\"os_version\"", "", "set `min_os_version`"),
            ("\"os_version\"", "min_os_version = \"12\"", ""),
            ("\"edr\"", "edr_vendor = \"x\"", "set `edr_integration`"),
            ("\"security_software\"", "required_security_software = [\"clamav\"]", ""),
            ("\"custom\"", "", "set `custom_assessment_script`"),
            ("\"firewall\"", "enabled = false", "the device is not assessed"),
        ] {
            let said = complaints(requires, settings);
            assert!(
                said.contains(expected) && said.is_empty() == expected.is_empty(),
                "{requires} {settings}: {said}"
            );
        }
    }

    #[test]
    fn a_pattern_is_read_when_the_configuration_is() {
        let said = complaints("[]", "edr_status_regex = \"State: (\"");
        assert!(said.contains("c.toml:2: ") && said.contains("unclosed group"), "{said}");
        assert_ne!(complaints("[]", "edr_status_regex = \"(((a{99}){99}){99}){99}\""), "");
        assert!(super::status_pattern("^true").unwrap().is_match("note\ntrue\n"));
    }
}
