//! Runs the model: `model --steps 100000 [--seed 7]` from seeds, `model --replay HEX` one run with a trace.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

use model::run::{STEPS, bytes_of, failure, run, shrunk};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    if let Some(hex) = value("--replay") {
        run(&unhex(hex), true);
        println!("it passes");
        return ExitCode::SUCCESS;
    }
    let number = |name: &str, default: u64| value(name).map_or(Some(default), |text| text.parse().ok());
    let (Some(steps), Some(first)) = (number("--steps", 100_000), number("--seed", 1)) else {
        eprintln!("usage: model [--steps NUMBER] [--seed NUMBER] | --replay HEX");
        return ExitCode::from(2);
    };
    explore(steps, first)
}

/// Runs seed after seed until that many steps are done; the first difference ends it.
fn explore(steps: u64, first: u64) -> ExitCode {
    let (since, runs) = (Instant::now(), steps.div_ceil(STEPS as u64));
    std::panic::set_hook(Box::new(|_| {}));
    for seed in first..first + runs {
        let bytes = bytes_of(seed, STEPS);
        if let Some(text) = failure(&bytes) {
            report(seed, &bytes, &text);
            println!("test result: FAILED. {} passed; 1 failed; 0 ignored; runs of the model", seed - first);
            return ExitCode::FAILURE;
        }
    }
    let steps = runs * STEPS as u64;
    println!(
        "{steps} steps in {runs} runs from seed {first}, {:.1} s: no difference",
        since.elapsed().as_secs_f64()
    );
    println!("test result: ok. 1 passed; 0 failed; 0 ignored; the model");
    ExitCode::SUCCESS
}

fn report(seed: u64, bytes: &[u8], text: &str) {
    println!("seed {seed}: {text}");
    let short = shrunk(bytes);
    println!("the shortest run that fails: {}", failure(&short).unwrap_or_default());
    println!("replay it with: model --replay {}", hex(&short));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2).unwrap_or("00"), 16).unwrap_or_default();
    (0..text.len() / 2).map(|at| digit(2 * at)).collect()
}
