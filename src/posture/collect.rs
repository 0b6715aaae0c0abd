//! The looks at the device, as jobs that block: each for a thread of its own.

use std::path::Path;

use platform::posture::system::{self, Packaging, System};
use platform::posture::updates::{self, Mark, Updates};
use platform::posture::{Fact, encryption, firewall, screen_lock, secure_boot, software};

use super::check::Check;
use super::custom;
use super::evidence::{Evidence, Timed};
use super::probe::Finding;
use super::rules::Rules;

/// Where the system's files are.
const ROOT: &str = "/";

/// A look at something. What is slow or may hang has its own, so that it holds up nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Job {
    /// The firewall: some milliseconds.
    Firewall,
    /// Everything else that is only read: some ten milliseconds.
    System,
    /// The package manager: some seconds.
    Updates,
    /// The endpoint protection: up to 10 s.
    Edr,
    /// The administrator's program: up to 10 s.
    Custom,
}

/// What a job brought.
pub(super) enum Brought {
    Firewall(Fact<firewall::Firewall>),
    System(Box<Parts>),
    Updates(Fact<Updates>, Mark),
    Edr(Finding),
    Custom(Finding),
}

/// What [`Job::System`] brings.
pub(super) struct Parts {
    system: Fact<System>,
    volumes: Fact<Vec<encryption::Volume>>,
    processes: Fact<Vec<software::Process>>,
    screen_lock: Fact<bool>,
    secure_boot: Fact<bool>,
}

/// The answer of the package manager, and what it depended on.
pub(super) type Remembered = Option<(Fact<Updates>, Mark)>;

impl Job {
    /// The jobs that the rules ask for; `everything` adds what is slow and nothing depends on.
    pub(super) fn all(rules: &Rules, everything: bool) -> Vec<Self> {
        let mut jobs = vec![Self::Firewall, Self::System];
        jobs.extend((everything || rules.is_required(Check::OsUpdates)).then_some(Self::Updates));
        jobs.extend(rules.edr.is_some().then_some(Self::Edr));
        jobs.extend(rules.custom.is_some().then_some(Self::Custom));
        jobs
    }

    /// Does it. Blocks.
    pub(super) fn run(self, rules: &Rules, remembered: Remembered) -> Brought {
        let root = Path::new(ROOT);
        let gone = || super::probe::unusable("it is configured no more");
        match self {
            Self::Firewall => Brought::Firewall(firewall::firewall(root)),
            Self::System => Brought::System(Box::new(Parts {
                system: system::system(root),
                volumes: encryption::volumes(root),
                processes: software::processes(root),
                screen_lock: screen_lock::screen_lock(root),
                secure_boot: secure_boot::secure_boot(root),
            })),
            Self::Updates => ask_for_updates(root, remembered),
            Self::Edr => Brought::Edr(rules.edr.as_ref().map_or_else(gone, super::Edr::ask)),
            Self::Custom => {
                let ask = |probe: &super::probe::Probe| probe.ask(|printed, _| custom::read(printed));
                Brought::Custom(rules.custom.as_ref().map_or_else(gone, ask))
            }
        }
    }
}

/// The package manager is asked again only when it would answer something else.
fn ask_for_updates(root: &Path, remembered: Remembered) -> Brought {
    let mark = updates::mark(root);
    if let Some((answer, earlier)) = remembered
        && earlier == mark
        && answer.is_ok()
    {
        return Brought::Updates(answer, mark);
    }
    let packaging = system::system(root).map_or(Packaging::Other, |system| system.packaging());
    Brought::Updates(updates::updates(packaging), mark)
}

impl Brought {
    /// Puts it among what was seen; what the package manager said is remembered with its mark.
    pub(super) fn put(self, evidence: &mut Evidence, remembered: &mut Remembered) {
        match self {
            Self::Firewall(fact) => evidence.firewall = Some(Timed::now(fact)),
            Self::System(parts) => {
                evidence.system = Some(Timed::now(parts.system));
                evidence.volumes = Some(Timed::now(parts.volumes));
                evidence.processes = Some(Timed::now(parts.processes));
                evidence.screen_lock = Some(Timed::now(parts.screen_lock));
                evidence.secure_boot = Some(Timed::now(parts.secure_boot));
            }
            Self::Updates(fact, mark) => {
                evidence.updates = Some(Timed::now(fact.clone()));
                *remembered = Some((fact, mark));
            }
            Self::Edr(finding) => evidence.edr = Some(Timed::now(finding)),
            Self::Custom(finding) => evidence.custom = Some(Timed::now(finding)),
        }
    }
}
