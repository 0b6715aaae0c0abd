//! Any text as a configuration, and as a wg-quick file: no panic, every complaint has its place, no secret is shown.
#![no_main]
#![forbid(unsafe_code)]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use openztna::config::{Config, ConfigError, Origin};
use openztna::import::{self, PresharedKeys};

/// Stands for secrets in the corpus.
const SECRET: &str = "hunter2hunter2";

// The first byte says as what the rest is read.
fuzz_target!(|bytes: &[u8]| {
    let Some((kind, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match kind % 2 {
        0 => as_configuration(text),
        _ => as_wg_quick(text),
    }
});

fn as_configuration(text: &str) {
    match Config::parse(Path::new("fuzz.toml"), text) {
        Ok(config) => {
            let _ = format!("{config:?}");
        }
        Err(error) => check(&error, text),
    }
}

fn as_wg_quick(text: &str) {
    match import::convert(Path::new("hq.conf"), text) {
        Ok(imported) => {
            let toml = imported.to_toml(PresharedKeys::Written);
            if let Err(error) = Config::parse(Path::new("hq.toml"), &toml) {
                let is_about_key_file = |text: String| text.contains("hq.key");
                assert!(
                    error.diagnostics.iter().all(|found| is_about_key_file(found.to_string())),
                    "what was imported does not load: {error}\n{toml}"
                );
            }
        }
        Err(error) => check(&error, text),
    }
}

/// Every complaint says where, and what; the lines exist.
fn check(error: &ConfigError, text: &str) {
    assert!(!error.diagnostics.is_empty(), "refused without a word");
    let lines = text.lines().count() + 1;
    for found in &error.diagnostics {
        assert!(!found.message.is_empty(), "a complaint without words");
        if let Origin::File { line, .. } = &found.origin {
            let line = *line as usize;
            assert!((1..=lines).contains(&line), "line {line} of {lines}: {found}");
        }
    }
    let _ = error.to_string();
    let is_value = |line: &str| line.trim_start().starts_with("client_secret = ") && line.contains(SECRET);
    if text.lines().filter(|line| line.contains(SECRET)).all(is_value) {
        assert!(!error.to_string().contains(SECRET), "a secret is shown: {error}");
    }
}
