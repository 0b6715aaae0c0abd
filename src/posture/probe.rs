//! A program that is asked about the device: whether it may be trusted, what it said, and each step in words.

use std::path::{Path, PathBuf};
use std::time::Duration;

use platform::posture::trust::{Untrusted, trusted};
use platform::process::{Confined, Printed};

use super::command_line::{self, CommandLine};

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How much it may print, in octets.
const MOST_OUTPUT: usize = 64 << 10;
/// The user `nobody` of every distribution, where its name is not known.
const NOBODY: u32 = 65_534;
/// Octets of a program's words that are repeated to a person.
const MOST_REPEATED: usize = 200;

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The device is as it should be.
    Passed,
    /// It is not, or the program may not be believed.
    Failed,
    /// The program could not say.
    Unknown,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it went.
    pub verdict: Verdict,
    /// What was seen, in words.
    pub seen: String,
    /// Why it did not pass.
    pub reason: Option<String>,
    /// What the person can do.
    pub fix: Option<String>,
    /// What was done, step by step.
    pub steps: Vec<String>,
}

/// A program that is asked, and as whom.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    /// The command line as configured.
    pub(super) command: String,
    /// The file that names it, where a file does: who can write it, can name another program.
    pub(super) named_by: Option<PathBuf>,
    /// The user, where another than `nobody` is wanted.
    pub(super) run_as: Option<String>,
}

impl Finding {
    pub(super) fn new(verdict: Verdict, seen: impl Into<String>) -> Self {
        Self { verdict, seen: seen.into(), reason: None, fix: None, steps: Vec::new() }
    }

    pub(super) fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    pub(super) fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    fn after(self, steps: Vec<String>) -> Self {
        Self { steps, ..self }
    }
}

impl Probe {
    /// Asks the program, and lets `read` judge what it printed. Blocks for up to 10 s.
    pub(super) fn ask(&self, read: impl FnOnce(&Printed, &mut Vec<String>) -> Finding) -> Finding {
        let mut steps = vec![format!("command: {}", self.command)];
        let finding = match self.run(&mut steps) {
            Ok(printed) => read(&printed, &mut steps),
            Err(finding) => *finding,
        };
        finding.after(steps)
    }

    fn run(&self, steps: &mut Vec<String>) -> Result<Printed, Box<Finding>> {
        let line = command_line::parse(&self.command, &program_file)
            .map_err(|error| Box::new(unusable(error.to_string())))?;
        steps.push(format!("program: {}", line.program.display()));
        steps.push(format!("arguments: {:?}", line.arguments));
        let program = self.trusted_program(&line)?;
        steps.push(
            "only administrators can write the program, what names it, and the folders above them".to_owned(),
        );
        let user = self.user()?;
        steps.push(match user {
            Some(user) => format!("running it as user {user}, for at most {} s", LIMIT.as_secs()),
            None => format!("running it as the connector's own user, for at most {} s", LIMIT.as_secs()),
        });
        let confined = Confined {
            program: &program,
            arguments: &line.arguments,
            user,
            limit: LIMIT,
            most_output: MOST_OUTPUT,
        };
        let printed = confined.run().map_err(|error| {
            let finding = Finding::new(Verdict::Failed, "it gave no answer").because(error.to_string());
            Box::new(finding.fix("run the command by hand as an administrator to see what is wrong with it"))
        })?;
        steps.push(format!("it ended with {}", printed.status));
        steps.push(format!("it printed: {}", shown(&printed.output)));
        if !printed.errors.trim().is_empty() {
            steps.push(format!("it complained: {}", shown(&printed.errors)));
        }
        Ok(printed)
    }

    fn trusted_program(&self, line: &CommandLine) -> Result<PathBuf, Box<Finding>> {
        let named_by = self.named_by.as_ref().map(std::path::absolute).and_then(Result::ok);
        named_by.map_or(Ok(PathBuf::new()), |file| trusted(&file)).map_err(untrusted)?;
        trusted(&line.program).map_err(untrusted)
    }

    /// The user to become; `None` where this process is no root and stays what it is.
    fn user(&self) -> Result<Option<u32>, Box<Finding>> {
        let is_root = platform::privileges::is_root();
        let wanted = self.run_as.as_deref().unwrap_or("nobody");
        match (is_root, wanted, self.run_as.is_some()) {
            (true, "root", _) => Ok(None),
            (false, _, false) => Ok(None),
            (false, _, true) => Err(Box::new(
                unusable(format!(
                    "`edr_run_as` wants user `{wanted}`, but the connector does not run as root"
                ))
                .fix("run the connector as a system service"),
            )),
            (true, name, _) => match platform::privileges::user_id(name) {
                Ok(Some(user)) => Ok(Some(user)),
                Ok(None) | Err(_) if name == "nobody" => Ok(Some(NOBODY)),
                Ok(None) | Err(_) => {
                    Err(Box::new(unusable(format!("there is no user `{name}`")).fix("correct `edr_run_as`")))
                }
            },
        }
    }
}

/// What could not even be asked counts as failed.
pub(super) fn unusable(reason: impl Into<String>) -> Finding {
    Finding::new(Verdict::Failed, "it could not be asked")
        .because(reason)
        .fix("ask your administrator to correct the check")
}

fn untrusted(error: Untrusted) -> Box<Finding> {
    let reason = format!("the check is not run, since somebody could have changed it: {error}");
    Box::new(Finding::new(Verdict::Failed, "it was not run").because(reason).fix(error.hint()))
}

/// The program that a text names: a path to a file that may be executed, or a name in the folders of programs.
fn program_file(text: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let path = Path::new(text);
    let is_program = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    match text.contains('/') {
        true => (path.is_absolute() && is_program(path)).then(|| path.to_owned()),
        false => platform::process::find(text).filter(|path| is_program(path)),
    }
}

/// The first words, on one line and without anything that steers a terminal.
pub(super) fn shown(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return "nothing".to_owned();
    }
    let line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_REPEATED).collect();
    if text.chars().count() > MOST_REPEATED { format!("{line}…") } else { line }
}
