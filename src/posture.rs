//! The device's security: what is required, what was seen, and what follows for applications.

mod assessor;
mod check;
mod collect;
mod command_line;
mod custom;
mod edr;
mod evaluate;
mod events;
mod evidence;
mod fix;
mod judge;
mod os_version;
mod probe;
mod products;
mod rules;

pub use assessor::Assessor;
pub use check::Check;
pub use edr::Edr;
pub use evaluate::{Assessment, CheckResult, evaluate};
pub use events::events;
pub use evidence::{Evidence, Timed};
pub use probe::{Finding, Verdict};
pub use rules::Rules;
