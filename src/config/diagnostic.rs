//! What is wrong or doubtful in a configuration: place, message, hint, excerpt.

use std::fmt;

use super::origin::Origin;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but the person should know.
    Warning,
}

/// One finding. Displayed as `file:line: message`, then an excerpt, then a `hint:` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the configuration can be used all the same.
    pub severity: Severity,
    /// Where.
    pub origin: Origin,
    /// What; never holds a secret.
    pub message: String,
    /// What the person can do about it.
    pub hint: Option<String>,
    /// The line of the file with a marker, for errors of the TOML syntax.
    pub excerpt: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(origin: Origin, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, origin, message: message.into(), hint: None, excerpt: None }
    }

    /// A warning at a place.
    pub fn warning(origin: Origin, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(origin, message) }
    }

    /// Adds what the person can do.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "\n{excerpt}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// All that is wrong with a configuration: every error, and the warnings found on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The findings in the order of the file; at least one is an error.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
