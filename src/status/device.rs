//! The device's security as `GET /api/v1/device` tells it. Times are RFC 3339 in UTC.

use serde::{Deserialize, Serialize};

/// The answer to `GET /api/v1/device` and `POST /api/v1/assess`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// What follows from all checks.
    pub state: DeviceState,
    /// The same in words.
    pub message: String,
    /// When the latest look at anything ended.
    pub assessed_at: Option<String>,
    /// Whether it is being looked at now.
    pub assessing: bool,
    /// Seconds between two looks.
    pub interval_s: u64,
    /// The operating system.
    pub system: SystemReport,
    /// Each check, in a fixed order.
    pub checks: Vec<CheckReport>,
}

/// What follows from all checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// All that is required holds.
    Passed,
    /// Something that is required does not hold.
    Failed,
    /// Something that is required was not looked at yet.
    Unknown,
    /// The device is not assessed.
    Off,
}

/// The operating system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemReport {
    /// Its name, such as `Debian GNU/Linux`.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// The kernel's release.
    pub kernel: String,
    /// The device's name.
    pub hostname: String,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Its id, as `requires` takes it.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// How it went.
    pub state: CheckState,
    /// Whether anything depends on it.
    pub required: bool,
    /// What was seen.
    pub seen: String,
    /// What is wanted.
    pub wanted: String,
    /// Why it did not pass.
    pub reason: Option<String>,
    /// What the person can do.
    pub fix: Option<String>,
    /// When it was last looked at.
    pub checked_at: Option<String>,
    /// Which applications depend on it.
    pub covers: Covers,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// What is wanted was seen.
    Passed,
    /// Something else was seen.
    Failed,
    /// It cannot be known, or is out of date. Where it is required, this counts as failed.
    Unknown,
}

impl CheckState {
    /// The word of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Which applications depend on a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Covers {
    /// The word `all`.
    All(All),
    /// By name.
    Applications(Vec<String>),
}

/// The word `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum All {
    /// All applications.
    All,
}

/// The device's security in the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSummary {
    /// What follows from all checks.
    pub state: DeviceState,
    /// What the person should know.
    pub message: Option<String>,
}
