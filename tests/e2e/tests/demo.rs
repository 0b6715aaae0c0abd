//! `demo --once`: every proof holds, as an ordinary user and as root, and nothing is left behind.

use std::path::Path;
use std::time::Duration;

use crate::process::{Finished, run};
use crate::snapshot::Snapshot;
use crate::suite::Test;
use crate::world::World;
use crate::world::namespace::ResolvConf;

/// A user without any right.
const ORDINARY_USER: u32 = 4243;
/// The demo itself promises 5 s on a quiet machine.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "the_demo_proves_itself_as_an_ordinary_user_and_leaves_nothing",
            needs: &[],
            run: the_demo_proves_itself_as_an_ordinary_user_and_leaves_nothing,
        },
        Test {
            name: "the_demo_of_root_has_a_device_with_a_tun_and_leaves_nothing",
            needs: &[],
            run: the_demo_of_root_has_a_device_with_a_tun_and_leaves_nothing,
        },
    ]
}

fn the_demo_proves_itself_as_an_ordinary_user_and_leaves_nothing() {
    let world = World::new(ResolvConf::File);
    let before = Snapshot::take(&world);
    let folder = world.log_path("demo").with_extension("folder");
    std::fs::create_dir(&folder).expect("a folder for the demo");
    let program = folder.join("connector-for-all");
    std::fs::copy(crate::connector::BINARY, &program).expect("a copy of the connector");
    let owner = format!("{ORDINARY_USER}:{ORDINARY_USER}");
    let path = folder.display().to_string();
    run(std::process::Command::new("chown").args(["-R", &owner, &path]), LIMIT).success();
    let mut command = world.client.command_as(ORDINARY_USER, &program.display().to_string());
    let done = run(command.args(["demo", "--once"]).env("TMPDIR", &folder), LIMIT);
    assert_proven(&done, &["the tunnel stands", "UDP echo", "refused", "throughput"]);
    assert_empty_but_for(&folder, "connector-for-all");
    assert!(Snapshot::take(&world).differences(&before).is_none());
}

fn the_demo_of_root_has_a_device_with_a_tun_and_leaves_nothing() {
    let world = World::new(ResolvConf::File);
    let before = Snapshot::take(&world);
    let folder = world.log_path("demo").with_extension("folder");
    std::fs::create_dir(&folder).expect("a folder for the demo");
    let mut command = world.client.command(crate::connector::BINARY);
    let done = run(command.args(["demo", "--once"]).env("TMPDIR", &folder), LIMIT);
    assert_proven(
        &done,
        &["the tunnel of the device stands", "a plain connection by name", "refused at once"],
    );
    assert_empty_but_for(&folder, "");
    assert!(Snapshot::take(&world).differences(&before).is_none());
}

#[track_caller]
fn assert_proven(done: &Finished, proofs: &[&str]) {
    let (stdout, stderr) = (&done.stdout, &done.stderr);
    assert_eq!(done.code, 0, "{stdout}\n{stderr}");
    for proof in proofs {
        let line = stdout.lines().find(|line| line.contains(proof));
        let line = line.unwrap_or_else(|| panic!("`{proof}` in\n{stdout}\n{stderr}"));
        assert!(line.trim_start().starts_with("ok"), "{line}");
    }
}

#[track_caller]
fn assert_empty_but_for(folder: &Path, name: &str) {
    let entries = std::fs::read_dir(folder).expect("the demo's folder").flatten();
    let left: Vec<_> = entries.map(|entry| entry.file_name()).filter(|left| *left != *name).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
