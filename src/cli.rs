//! The command line: arguments, and what each subcommand does.

mod apps;
mod assess;
mod bundle;
mod control;
mod dashboard;
mod demo;
mod failure;
mod gateway;
mod import;
mod logs;
mod output;
mod restore;
mod siem;
mod validate;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use platform::dns_config::DnsMode;

pub use gateway::gateway_main;

use crate::connector::{self, RunOptions};
use crate::error::{EXIT_CODES, Exit};

/// Identity-aware access to internal hosts by name, over WireGuard.
#[derive(Debug, Parser)]
#[command(name = "openztna-client-connector", version, about, after_help = EXIT_CODES)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
struct Cli {
    /// Check the configuration and end; the same as `config validate`.
    #[arg(long, group = "check")]
    validate_config: bool,

    /// Send a test event to the company's SIEM, say what comes back, and end.
    #[arg(long, group = "check")]
    test_siem: bool,

    /// Ask the endpoint protection as the configuration says, show each step, and end.
    #[arg(long, group = "check")]
    test_edr: bool,

    #[command(flatten)]
    sources: SourceArgs,

    #[command(subcommand)]
    command: Option<Subcommands>,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Run in the foreground until SIGTERM.
    Run {
        #[command(flatten)]
        sources: SourceArgs,
        /// Run without a TUN, by the proxies only.
        #[arg(long)]
        no_tun: bool,
        /// How the system's DNS is told about our resolver.
        #[arg(long, value_name = "MODE", value_enum, default_value_t)]
        dns_mode: DnsModeArg,
    },
    /// Show what was last proven of gateways, applications and DNS.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look at this device's security now, and show each check with what to do.
    Assess {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Connect.
    Up,
    /// Disconnect; the service goes on running.
    Down,
    /// Show the applications, and whether each can be reached.
    Apps {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the latest lines of the log.
    Logs {
        /// Go on with those that come.
        #[arg(long, short)]
        follow: bool,
        /// The least that a line must matter.
        #[arg(long, value_parser = ["error", "warn", "info", "debug", "trace"], default_value = "trace")]
        level: String,
        /// At most so many lines of those that there are.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=2000), default_value_t = 500)]
        limit: u16,
    },
    /// Write an archive for support: status, configuration and log, without secrets, names and addresses.
    Bundle {
        /// The archive; a new file in this folder unless it is named.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Open the dashboard in the browser.
    Dashboard {
        /// Print its URL instead; it can be used once, within a minute.
        #[arg(long)]
        print: bool,
    },
    /// Undo what a connector left on the system when it could not do so itself.
    Restore,
    /// Turn a wg-quick configuration into one of the connector, on standard output.
    Import {
        /// The file that `wg-quick up` takes.
        file: PathBuf,
        /// Write it to this new file, and the private key beside it.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Look at the events that are kept for the company's SIEM.
    Siem {
        #[command(subcommand)]
        command: SiemCommand,
    },
    /// Show the whole thing at work on this machine: an intranet, a gateway, a connector, on loopback only.
    Demo {
        /// End when the proofs are done: with 0 when all hold, else with 1.
        #[arg(long)]
        once: bool,
    },
    /// The demo's device; started by the demo itself.
    #[command(hide = true)]
    DemoDevice {
        /// What it is to do.
        task: String,
    },
    /// Undo what the connector changed when it ends; started by the connector itself.
    #[command(hide = true)]
    Guardian {
        /// Where the changes are written down.
        #[arg(long, value_name = "PATH")]
        journal: PathBuf,
    },
    /// Make sockets in a private network; started by the connector itself.
    #[command(hide = true)]
    Broker,
}

#[derive(Debug, Subcommand)]
enum SiemCommand {
    /// Look through the kept events for what was edited, removed or made anew.
    Verify {
        /// Lines exported from the SIEM, in any format: its `siem.chain_head` events are the witnesses.
        #[arg(long, value_name = "FILE")]
        heads: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check the configuration: errors, warnings, keys without effect.
    Validate {
        #[command(flatten)]
        sources: SourceArgs,
        /// Show every setting in force and where it comes from.
        #[arg(long)]
        show: bool,
    },
    /// Show which value of a setting is in force, and where it comes from.
    Explain {
        #[command(flatten)]
        sources: SourceArgs,
        /// The setting, such as `api.port`, or the beginning of several; all without it.
        key: Option<String>,
    },
    /// Print the JSON Schema of the configuration, for editors and tools.
    Schema,
    /// Print the reference page of the configuration, in Markdown.
    #[command(hide = true)]
    Reference,
}

/// How the system's DNS is told about our resolver.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum DnsModeArg {
    /// systemd-resolved where programs ask it, resolvconf where it makes `/etc/resolv.conf`, else that file.
    #[default]
    Auto,
    /// systemd-resolved, over D-Bus.
    Resolved,
    /// The program resolvconf (openresolv's or Debian's).
    Resolvconf,
    /// The file `/etc/resolv.conf`.
    ResolvConf,
    /// Not at all: programs must ask our resolver by themselves.
    Off,
}

impl From<DnsModeArg> for DnsMode {
    fn from(argument: DnsModeArg) -> Self {
        match argument {
            DnsModeArg::Auto => Self::Auto,
            DnsModeArg::Resolved => Self::Resolved,
            DnsModeArg::Resolvconf => Self::Resolvconf,
            DnsModeArg::ResolvConf => Self::ResolvConf,
            DnsModeArg::Off => Self::Off,
        }
    }
}

/// Where settings come from.
#[derive(Debug, Args)]
struct SourceArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value_os_t = platform::paths::config_file().to_path_buf())]
    config: PathBuf,
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let result = match cli.command {
        Some(command) => dispatch(command),
        None if cli.validate_config => Ok(validate::validate(cli.sources.config, false)),
        None if cli.test_siem => siem::test(cli.sources.config),
        None if cli.test_edr => assess::test_edr(cli.sources.config),
        None => return usage(&no_command()),
    };
    result.unwrap_or_else(|error| report(&error))
}

fn dispatch(command: Subcommands) -> anyhow::Result<ExitCode> {
    match command {
        Subcommands::Run { sources, no_tun, dns_mode } => {
            connector::run(RunOptions { config: sources.config, dns_mode: dns_mode.into(), no_tun })
        }
        Subcommands::Status { json } => control::status(json),
        Subcommands::Assess { json } => assess::assess(json),
        Subcommands::Up => control::up(),
        Subcommands::Down => control::down(),
        Subcommands::Apps { json } => apps::apps(json),
        Subcommands::Logs { follow, level, limit } => logs::logs(&level, limit, follow),
        Subcommands::Bundle { output } => bundle::bundle(output.as_deref()),
        Subcommands::Dashboard { print } => dashboard::dashboard(print),
        Subcommands::Restore => restore::restore(),
        Subcommands::Import { file, output } => import::import(&file, output.as_deref()),
        Subcommands::Config { command: ConfigCommand::Validate { sources, show } } => {
            Ok(validate::validate(sources.config, show))
        }
        Subcommands::Config { command: ConfigCommand::Explain { sources, key } } => {
            Ok(validate::explain(sources.config, key.as_deref().unwrap_or_default()))
        }
        Subcommands::Config { command: ConfigCommand::Schema } => {
            output::line(&format!("{:#}", crate::config::json_schema::json_schema()));
            Ok(Exit::Success.into())
        }
        Subcommands::Config { command: ConfigCommand::Reference } => {
            output::line(&crate::config::reference::page());
            Ok(Exit::Success.into())
        }
        Subcommands::Siem { command: SiemCommand::Verify { heads } } => siem::verify(heads.as_deref()),
        Subcommands::Demo { once } => demo::run(once),
        Subcommands::DemoDevice { task } => demo::device(&task),
        Subcommands::Guardian { journal } => Ok(crate::guardian::guardian_main(&journal)),
        Subcommands::Broker => Ok(platform::private_namespace::broker_main()),
    }
}

fn no_command() -> clap::Error {
    Cli::command().error(
        clap::error::ErrorKind::MissingSubcommand,
        "a subcommand or a check such as `--validate-config` is missing",
    )
}

/// Help and version go to standard output and are no failure.
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing can be said when the terminal is gone.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Success.into() }
}

/// Says what failed, why, and what to do.
fn report(error: &anyhow::Error) -> ExitCode {
    let failure = failure::explain(error);
    output::error(&failure.message, failure.hint.as_deref());
    failure.exit.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("openztna-client-connector").chain(arguments.split_whitespace()))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_command_line_of_the_contract_is_understood() {
        for arguments in [
            "run --config c.toml",
            "run --config c.toml --no-tun",
            "run",
            "status",
            "status --json",
            "up",
            "down",
            "apps --json",
            "logs --follow --level info",
            "dashboard --print",
            "bundle --output b.tar.gz",
            "restore",
            "import wg0.conf",
            "import wg0.conf --output c.toml",
            "config validate --config c.toml",
            "config validate --show",
            "config explain api.port --config c.toml",
            "config reference",
            "config schema",
            "assess",
            "assess --json",
            "--test-edr",
            "--test-edr --config c.toml",
            "--validate-config",
            "--validate-config --config c.toml",
            "--test-siem",
            "--test-siem --config c.toml",
            "siem verify",
            "siem verify --heads f",
            "guardian --journal j",
        ] {
            assert!(parse(arguments).is_ok(), "{arguments}: {:?}", parse(arguments).unwrap_err());
        }
    }

    #[test]
    fn what_does_not_exist_is_wrong_usage() {
        for arguments in [
            "",
            "login now",
            "run --fast",
            "status up",
            "--validate-config run",
            "--test-siem --validate-config",
            "siem",
            "guardian",
        ] {
            let all = std::iter::once("x").chain(arguments.split_whitespace()).map(OsString::from);
            let code = run(all);
            assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(Exit::Usage)), "{arguments}");
        }
    }

    #[test]
    fn the_guardian_is_not_shown_and_exit_codes_are() {
        let help = Cli::command().render_long_help().to_string();
        assert!(!help.contains("guardian"));
        assert!(help.contains("4  the service does not run"));
    }
}
