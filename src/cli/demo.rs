//! `demo`: what it says, line by line.

use std::process::ExitCode;

use crate::cli::output;
use crate::demo::{self, Line, Proof};
use crate::status::Style;

/// Runs the demo; 1 when a proof failed.
pub(super) fn run(once: bool) -> anyhow::Result<ExitCode> {
    let style = output::style();
    let mut has_said_try = false;
    let holds = demo::run(once, &mut |line| match line {
        Line::Heading(text) => output::line(&format!("\n{text}")),
        Line::Proof(proof) => output::line(&proof_line(proof, style)),
        Line::Try(text) => {
            if !std::mem::replace(&mut has_said_try, true) {
                output::line("\nIt stays up until Ctrl-C. Try, in another terminal:");
            }
            output::line(&format!("  {text}"));
        }
    })?;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The child of the demo; its lines are for the parent.
pub(super) fn device(task: &str) -> anyhow::Result<ExitCode> {
    demo::device_main(task, &mut output::line)
}

fn proof_line(proof: &Proof, style: Style) -> String {
    let (word, colour, text) = match &proof.result {
        Ok(seen) => ("ok", "32", seen.clone()),
        Err(error) => ("FAILED", "31", format!("{error:#}")),
    };
    let word = match style {
        Style::Coloured => format!("\x1b[{colour}m{word:<6}\x1b[0m"),
        Style::Plain => format!("{word:<6}"),
    };
    format!("  {word} {:>6.0} ms  {}: {text}", proof.took.as_secs_f64() * 1000.0, proof.what)
}
