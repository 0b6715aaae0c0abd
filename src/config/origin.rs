//! Where a setting comes from: built-in default, file and line, environment, command line.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

/// The place where a setting was given. Weakest first, as the order of override is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave it: the built-in default.
    Default,
    /// A person's own choice.
    Person,
    /// A line of a configuration file, counted from one.
    File {
        /// The file as it was named by the person.
        path: Arc<Path>,
        /// Line number, from one.
        line: u32,
    },
    /// An environment variable.
    Environment {
        /// The name of the variable.
        variable: String,
    },
    /// An argument of the command line.
    CommandLine {
        /// The argument without its value, since that may be a secret.
        argument: String,
    },
}

impl Origin {
    /// The line of the file; what was given elsewhere comes after all lines.
    pub(crate) fn line(&self) -> u32 {
        match self {
            Self::File { line, .. } => *line,
            Self::Default | Self::Person | Self::Environment { .. } | Self::CommandLine { .. } => u32::MAX,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Person => f.write_str("the person's settings"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::CommandLine { argument } => write!(f, "command line {argument}"),
        }
    }
}

/// A value together with the place it comes from; reads like the value itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it was given.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// The same place with another value.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Setting<U> {
        Setting { value: change(self.value), origin: self.origin }
    }
}

impl<T> Deref for Setting<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
