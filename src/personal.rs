//! Settings that a person may change without the administrator's file, which wins where it speaks.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use crate::config::{Config, LogLevel, Origin, Setting};
use crate::telemetry;

/// The file, in the state folder.
const FILE: &str = "settings.toml";
/// Longest file that is read, in octets.
const MOST: u64 = 64 << 10;

/// What a person said; what is absent is as the configuration or its default has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Personal {
    /// Whether the connector connects by itself when it starts.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub start_at_login: Option<bool>,
    /// How much is logged.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub log_level: Option<Level>,
    /// Whether the HTTP proxy runs.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub http_proxy: Option<bool>,
    /// Whether the SOCKS proxy runs.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub socks_proxy: Option<bool>,
    /// Whether the person is told of what happens.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub notifications: Option<bool>,
}

/// A level of the log by its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Level(pub LogLevel);

/// What is in force, and what the administrator decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InForce {
    /// The values.
    pub settings: Values,
    /// Names of those that cannot be changed.
    pub managed: Vec<&'static str>,
}

/// Each setting's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Values {
    start_at_login: bool,
    log_level: Level,
    http_proxy: bool,
    socks_proxy: bool,
    notifications: bool,
}

impl TryFrom<String> for Level {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let wrong = || format!("`{word}` is none of error, warn, info, debug, trace");
        telemetry::level_of(&word).map(Self).ok_or_else(wrong)
    }
}

impl From<Level> for String {
    fn from(level: Level) -> Self {
        level.0.as_str().to_owned()
    }
}

impl Personal {
    /// Reads the settings of a state folder; a file that is wrong is said and left out.
    #[must_use]
    pub fn load(state_dir: &Path) -> Self {
        let path = state_dir.join(FILE);
        match read(&path) {
            Ok(Some(text)) => toml::from_str(&text).unwrap_or_else(|error| {
                tracing::warn!("failed to understand file: `{}`: {}", path.display(), error.message());
                Self::default()
            }),
            Ok(None) => Self::default(),
            Err(error) => {
                tracing::warn!("failed to read file: `{}`: {error}", path.display());
                Self::default()
            }
        }
    }

    /// Keeps the settings in a state folder.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save(&self, state_dir: &Path) -> anyhow::Result<()> {
        let text = toml::to_string(self)?;
        let text = format!("# Made by OpenZTNA Client Connector: what a person chose.\n{text}");
        Ok(platform::secret_file::replace(&state_dir.join(FILE), text.as_bytes())?)
    }

    /// These with what `change` says.
    #[must_use]
    pub fn with(&self, change: &Self) -> Self {
        Self {
            start_at_login: change.start_at_login.or(self.start_at_login),
            log_level: change.log_level.or(self.log_level),
            http_proxy: change.http_proxy.or(self.http_proxy),
            socks_proxy: change.socks_proxy.or(self.socks_proxy),
            notifications: change.notifications.or(self.notifications),
        }
    }

    /// Lets them take effect where nobody stronger speaks.
    pub fn apply(&self, config: &mut Config) {
        put(&mut config.server.log_level, self.log_level.map(|level| level.0));
        put(&mut config.proxy.http_proxy, self.http_proxy);
        put(&mut config.proxy.socks_proxy, self.socks_proxy);
        let shown = [
            ("server.log_level", self.log_level.map(|level| format!("\"{}\"", level.0.as_str()))),
            ("proxy.http_proxy", self.http_proxy.map(|on| on.to_string())),
            ("proxy.socks_proxy", self.socks_proxy.map(|on| on.to_string())),
        ];
        for (key, value) in shown {
            let setting = config.settings.iter_mut().find(|setting| setting.key == key);
            if let (Some(setting), Some(value)) = (setting, value)
                && is_free(&setting.origin)
            {
                (setting.value, setting.origin) = (value, Origin::Person);
            }
        }
    }

    /// What is in force after [`Self::apply`].
    #[must_use]
    pub fn in_force(&self, config: &Config) -> InForce {
        let origins = [
            ("log_level", &config.server.log_level.origin),
            ("http_proxy", &config.proxy.http_proxy.origin),
            ("socks_proxy", &config.proxy.socks_proxy.origin),
        ];
        let managed = origins.into_iter().filter(|(_, origin)| !is_free(origin)).map(|(name, _)| name);
        InForce {
            settings: Values {
                start_at_login: self.connects_at_start(),
                log_level: Level(config.server.log_level.value),
                http_proxy: config.proxy.http_proxy.value,
                socks_proxy: config.proxy.socks_proxy.value,
                notifications: self.notifications.unwrap_or(true),
            },
            managed: managed.collect(),
        }
    }

    /// Whether the connector connects by itself when it starts.
    #[must_use]
    pub fn connects_at_start(&self) -> bool {
        self.start_at_login.unwrap_or(true)
    }
}

impl InForce {
    /// The first setting of a change that the administrator decided otherwise.
    #[must_use]
    pub fn refused(&self, change: &Personal) -> Option<&'static str> {
        let now = &self.settings;
        let wanted = [
            ("log_level", change.log_level.is_some_and(|level| level != now.log_level)),
            ("http_proxy", change.http_proxy.is_some_and(|on| on != now.http_proxy)),
            ("socks_proxy", change.socks_proxy.is_some_and(|on| on != now.socks_proxy)),
        ];
        let mut refused =
            wanted.iter().filter(|(name, is_changed)| *is_changed && self.managed.contains(name));
        refused.next().map(|(name, _)| *name)
    }
}

/// A value that is there is no `null`.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn put<T>(setting: &mut Setting<T>, value: Option<T>) {
    if let Some(value) = value
        && is_free(&setting.origin)
    {
        *setting = Setting { value, origin: Origin::Person };
    }
}

fn is_free(origin: &Origin) -> bool {
    match origin {
        Origin::Default | Origin::Person => true,
        Origin::File { .. } | Origin::Environment { .. } | Origin::CommandLine { .. } => false,
    }
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(metadata) if metadata.len() > MOST => Err(io::ErrorKind::FileTooLarge.into()),
        Ok(_) => fs::read_to_string(path).map(Some),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(Path::new("c.toml"), text).unwrap()
    }

    #[test]
    fn what_a_person_chose_is_kept_and_takes_effect() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Personal::load(folder.path()), Personal::default());
        let chosen = Personal { log_level: Some(Level(LogLevel::Debug)), ..Personal::default() };
        let chosen = chosen.with(&Personal { socks_proxy: Some(false), ..Personal::default() });
        chosen.save(folder.path()).unwrap();
        assert_eq!(Personal::load(folder.path()), chosen);
        let mut config = config("");
        chosen.apply(&mut config);
        assert_eq!(config.server.log_level.value, LogLevel::Debug);
        assert!(!config.proxy.socks_proxy.value && config.proxy.http_proxy.value);
        let shown = config.settings.iter().find(|setting| setting.key == "server.log_level").unwrap();
        assert_eq!((shown.value.as_str(), &shown.origin), ("\"debug\"", &Origin::Person));
        assert!(chosen.in_force(&config).managed.is_empty());
    }

    #[test]
    fn the_administrators_file_wins_where_it_speaks() {
        let mut config = config("[server]\nlog_level = \"warn\"\n");
        let chosen = Personal {
            log_level: Some(Level(LogLevel::Trace)),
            http_proxy: Some(false),
            ..Personal::default()
        };
        chosen.apply(&mut config);
        assert_eq!(config.server.log_level.value, LogLevel::Warn);
        assert!(!config.proxy.http_proxy.value);
        let in_force = chosen.in_force(&config);
        assert_eq!(in_force.managed, ["log_level"]);
        assert_eq!(in_force.refused(&chosen), Some("log_level"));
        let same = Personal { log_level: Some(Level(LogLevel::Warn)), ..Personal::default() };
        assert_eq!(in_force.refused(&same), None);
    }

    #[test]
    fn a_file_that_is_wrong_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["log_level = \"loud\"", "unknown = 1", "\0", "http_proxy = \"yes\""] {
            fs::write(folder.path().join(FILE), text).unwrap();
            assert_eq!(Personal::load(folder.path()), Personal::default(), "{text}");
        }
    }
}
