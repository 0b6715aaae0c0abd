//! PostgreSQL on the company's host.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::process::{Running, run};
use crate::servers::START_LIMIT;
use crate::world::{CORP_HOST, World};

/// The password of the database user `corp`: of this test only.
pub(crate) const PASSWORD: &str = "password-of-a-test";

/// How long making an empty database may take on a busy machine.
const INITIALISATION_LIMIT: Duration = Duration::from_secs(120);

/// Where Debian puts the server's programs, one folder per version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The newest installed server program, for the list of what a test needs; a name that is never found if none is.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).ok()?.flatten();
    versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.is_file()).max()
}

/// Starts PostgreSQL at `CORP_HOST:5432`.
#[track_caller]
pub(crate) fn start(world: &World) {
    world.start_once("postgres", || {
        let data = world.folder().join("postgres");
        let password_file = world.folder().join("postgres-password");
        fs::write(&password_file, PASSWORD).expect("a password file");
        fs::create_dir(&data).expect("a folder for PostgreSQL");
        run(Command::new("chown").arg("postgres:postgres").arg(&data), START_LIMIT).success();
        let mut initialise = as_postgres(Command::new("setpriv"), "initdb");
        initialise.arg("-D").arg(&data).args([
            "-A",
            "scram-sha-256",
            "-U",
            "corp",
            "--no-sync",
            "--no-locale",
        ]);
        run(initialise.arg("--pwfile").arg(&password_file), INITIALISATION_LIMIT).success();
        let mut access =
            fs::File::options().append(true).open(data.join("pg_hba.conf")).expect("pg_hba.conf");
        writeln!(access, "host all all 10.77.0.0/16 scram-sha-256").expect("pg_hba.conf");
        let mut command = as_postgres(world.corp.command("setpriv"), "postgres");
        command.arg("-D").arg(&data).args(["-h", CORP_HOST, "-k", "", "-c", "fsync=off"]);
        let running = Running::start(&mut command, &world.log_path("postgres"));
        world.corp.wait_tcp(&format!("{CORP_HOST}:5432"), START_LIMIT);
        running
    });
}

fn as_postgres(mut setpriv: Command, name: &str) -> Command {
    let program = program(name).expect("the test's needs name the server");
    setpriv.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups", "--"]).arg(program);
    setpriv
}
