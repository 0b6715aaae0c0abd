//! sshd on the company's host, for ssh and scp with a key.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Running, run};
use crate::servers::START_LIMIT;
use crate::world::{CORP_HOST, SHORT, World};

/// Starts sshd at `CORP_HOST:22`.
#[track_caller]
pub(crate) fn start(world: &World) {
    world.start_once("sshd", || {
        let folder = world.folder();
        let (host_key, user_key) = (folder.join("ssh-host"), user_key_path(world));
        make_key(&host_key);
        make_key(&user_key);
        let mut command = world.corp.command("sshd");
        command.args(["-D", "-e", "-f", "/dev/null"]);
        for option in [
            format!("ListenAddress={CORP_HOST}"),
            format!("HostKey={}", host_key.display()),
            format!("AuthorizedKeysFile={}.pub", user_key.display()),
            format!("PidFile={}", folder.join("sshd.pid").display()),
            "StrictModes=no".to_owned(),
            "PermitRootLogin=prohibit-password".to_owned(),
            "UsePAM=no".to_owned(),
            "Subsystem=sftp internal-sftp".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        let running = Running::start(&mut command, &world.log_path("sshd"));
        world.corp.wait_tcp(&format!("{CORP_HOST}:22"), START_LIMIT);
        running
    });
}

/// Options with which ssh and scp reach that server without questions.
pub(crate) fn client_options(world: &World) -> Vec<String> {
    let key = user_key_path(world).display().to_string();
    let mut options = vec!["-i".to_owned(), key];
    for option in
        ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
    {
        options.extend(["-o".to_owned(), option.to_owned()]);
    }
    options
}

fn user_key_path(world: &World) -> PathBuf {
    world.folder().join("ssh-user")
}

fn make_key(path: &Path) {
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path), SHORT).success();
}
