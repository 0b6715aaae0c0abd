//! The command line of `openztna-gateway`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use platform::private_namespace::broker_main;

use super::output;
use crate::config::keys::{format_key, read_private_key};
use crate::config::{Severity, json_schema, reference};
use crate::error::{EXIT_CODES, Exit};
use crate::gateway::config::{Config, schema::SCHEMA};
use crate::gateway::run;

/// The enforcement point in front of internal hosts: lets known devices reach their applications, and nothing else.
#[derive(Debug, Parser)]
#[command(name = "openztna-gateway", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run in the foreground until SIGTERM; SIGHUP reads the configuration again.
    Run {
        /// The configuration file.
        #[arg(long, value_name = "FILE", default_value = DEFAULT)]
        config: PathBuf,
    },
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Undo what the gateway changed when it ends; started by the gateway itself.
    #[command(hide = true)]
    Guardian {
        /// Where the changes are written down.
        #[arg(long, value_name = "PATH")]
        journal: PathBuf,
    },
    /// Make sockets in a private network; started by the gateway itself.
    #[command(hide = true)]
    Broker,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check the configuration, and show this gateway's public key.
    Validate {
        /// The configuration file.
        #[arg(long, value_name = "FILE", default_value = DEFAULT)]
        config: PathBuf,
    },
    /// Print the JSON Schema of the configuration, for editors and tools.
    Schema,
    /// Print the reference page of the configuration, in Markdown.
    #[command(hide = true)]
    Reference,
}

/// Where the configuration is unless told otherwise.
const DEFAULT: &str = "/etc/openztna/gateway.toml";

const INTRODUCTION: &str = "\
# Configuration reference of the gateway

Every table and key of `gateway.toml`. This page is generated: change `src/gateway/config/schema.rs`, then run
`openztna-gateway config reference >docs/generated/gateway.md`.
What the keys mean is told in the [guide](../guides/gateway.md).
";

/// Runs `openztna-gateway` with the arguments of the process.
pub fn gateway_main() -> ExitCode {
    start(std::env::args_os())
}

fn start(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return super::usage(&error),
    };
    match cli.command {
        Command::Run { config } => run::run(&config).unwrap_or_else(|error| super::report(&error)),
        Command::Config { command: ConfigCommand::Validate { config } } => validate(&config),
        Command::Config { command: ConfigCommand::Schema } => {
            output::line(&format!("{:#}", json_schema::schema_of(&SCHEMA)));
            Exit::Success.into()
        }
        Command::Config { command: ConfigCommand::Reference } => {
            output::line(&reference());
            Exit::Success.into()
        }
        Command::Guardian { journal } => crate::guardian::guardian_main(&journal),
        Command::Broker => broker_main(),
    }
}

/// The generated page.
fn reference() -> String {
    reference::page_of(&SCHEMA, INTRODUCTION)
}

fn validate(path: &Path) -> ExitCode {
    match Config::load(path) {
        Ok(config) => {
            output::line(&valid(&config));
            Exit::Success.into()
        }
        Err(error) => {
            let errors = error.diagnostics.iter().filter(|found| found.severity == Severity::Error).count();
            let plural = if errors == 1 { "" } else { "s" };
            output::complain(&format!("{error}\nthe configuration is not valid: {errors} error{plural}"));
            Exit::Configuration.into()
        }
    }
}

fn valid(config: &Config) -> String {
    let mut lines: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    match read_private_key(&config.private_key_file) {
        Ok(Some(key)) => {
            let public = format_key(&netstack::wireguard::public_key(*key.reveal()));
            lines.push(format!("this gateway's public key: {public}"));
        }
        Ok(None) => lines.push("this gateway's key is made at the first start".to_owned()),
        Err(error) => lines.push(format!("{error}\n  hint: {}", error.hint())),
    }
    let (peers, applications) = (config.peers.len(), config.applications.len());
    lines.push(format!("the configuration is valid: {peers} peers, {applications} applications"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_hides_what_is_its_own() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        assert!(!help.contains("guardian") && !help.contains("broker"));
        for arguments in
            ["run", "run --config g.toml", "config validate --config g.toml", "config schema", "broker"]
        {
            let all = std::iter::once("openztna-gateway").chain(arguments.split_whitespace());
            assert!(Cli::try_parse_from(all).is_ok(), "{arguments}");
        }
    }

    #[test]
    fn the_committed_page_and_schema_are_what_the_tables_say() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/generated");
        let page = std::fs::read_to_string(folder.join("gateway.md")).unwrap_or_default();
        assert!(page == reference(), "run `openztna-gateway config reference >docs/generated/gateway.md`");
        let schema = std::fs::read_to_string(folder.join("gateway.schema.json")).unwrap_or_default();
        let schema: serde_json::Value = serde_json::from_str(&schema).unwrap_or_default();
        assert!(
            schema == json_schema::schema_of(&SCHEMA),
            "run `openztna-gateway config schema >docs/generated/gateway.schema.json`"
        );
    }
}
