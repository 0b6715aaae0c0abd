//! `config validate` and `--validate-config`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::output;
use crate::config::{Config, ConfigError, Severity, Sources};
use crate::error::Exit;

/// Checks a configuration and says what was found; with `show`, every setting in force as well.
pub(super) fn validate(file: PathBuf, show: bool) -> ExitCode {
    match Config::load(&Sources::of_process(file)) {
        Ok(config) => {
            output::line(&valid(&config, show));
            Exit::Success.into()
        }
        Err(error) => {
            output::complain(&invalid(&error));
            Exit::Configuration.into()
        }
    }
}

/// Shows the settings whose names begin with `key`, and where each comes from.
pub(super) fn explain(file: PathBuf, key: &str) -> ExitCode {
    let config = match Config::load(&Sources::of_process(file)) {
        Ok(config) => config,
        Err(error) => {
            output::complain(&invalid(&error));
            return Exit::Configuration.into();
        }
    };
    let lines = explained(&config, key);
    if lines.is_empty() {
        output::error(&format!("there is no setting `{key}`"), Some("`config explain` lists all"));
        return Exit::Usage.into();
    }
    output::line(&lines.join("\n"));
    Exit::Success.into()
}

fn explained(config: &Config, key: &str) -> Vec<String> {
    let found = config.settings.iter().filter(|setting| setting.key.starts_with(key));
    let shown = found.map(|setting| {
        let value = if setting.value.is_empty() { "not set" } else { &setting.value };
        let note = if setting.is_effective { "" } else { ", not effective in this version" };
        format!("{} = {value}  # {}{note}", setting.key, setting.origin)
    });
    shown.collect()
}

fn invalid(error: &ConfigError) -> String {
    let is_error = |severity: Severity| severity == Severity::Error;
    let count = error.diagnostics.iter().filter(|diagnostic| is_error(diagnostic.severity)).count();
    let plural = if count == 1 { "" } else { "s" };
    format!("{error}\nthe configuration is not valid: {count} error{plural}")
}

fn valid(config: &Config, show: bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    if show {
        lines.extend(settings(config));
    }
    lines.extend(config.warnings.iter().map(ToString::to_string));
    lines.extend(config.not_effective.iter().map(|key| key.diagnostic().to_string()));
    lines.push(format!(
        "the configuration is valid: {}, {}",
        counted(config.gateways.len(), "gateway"),
        counted(config.applications.len(), "application"),
    ));
    lines.join("\n")
}

/// `key = value  # origin`, aligned.
fn settings(config: &Config) -> Vec<String> {
    let given: Vec<(String, String)> = config
        .settings
        .iter()
        .filter(|setting| !setting.value.is_empty())
        .map(|setting| (format!("{} = {}", setting.key, setting.value), setting.origin.to_string()))
        .collect();
    // Long values go over the edge, so that they do not move all others.
    const WIDEST: usize = 60;
    let width = given.iter().map(|(text, _)| text.chars().count()).filter(|width| *width <= WIDEST).max();
    let width = width.unwrap_or(0);
    given.into_iter().map(|(text, origin)| format!("{text:width$}  # {origin}")).collect()
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_valid_configuration_lists_settings_and_keys_without_effect() {
        let config = Config::parse(
            Path::new("c.toml"),
            "[auth]\nclient_secret = \"hunter2\"\n[server]\nlog_level = \"debug\"",
        )
        .unwrap();
        let text = valid(&config, true);
        assert!(
            text.contains("c.toml:2: warning: `auth.client_secret` is not effective in this version"),
            "{text}"
        );
        assert!(text.contains("# c.toml:4") && text.contains("# default") && text.contains("***"), "{text}");
        assert!(!text.contains("hunter2"));
        assert!(text.ends_with("the configuration is valid: 0 gateways, 0 applications"));
        assert!(!valid(&config, false).contains("default"));
    }

    #[test]
    fn a_setting_is_explained_by_its_value_and_its_place() {
        let config = Config::parse(Path::new("c.toml"), "[api]\nport = 9000\n").unwrap();
        assert_eq!(explained(&config, "api.port"), ["api.port = 9000  # c.toml:2"]);
        assert!(explained(&config, "api.").len() > 3);
        let unset = explained(&config, "auth.client_id");
        assert_eq!(unset, ["auth.client_id = not set  # default, not effective in this version"]);
        assert!(explained(&config, "nothing").is_empty());
    }

    #[test]
    fn errors_are_counted() {
        let error = Config::parse(Path::new("c.toml"), "[api]\nport = 0\n[x]\n").unwrap_err();
        assert!(invalid(&error).ends_with("the configuration is not valid: 2 errors"));
    }
}
