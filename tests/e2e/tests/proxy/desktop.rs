//! The desktop's proxy settings, which browsers follow: pointed at the PAC file and taken back, in GNOME and in KDE.

use std::fs;
use std::process::Command;

use super::{Carrier, PAC, settings, start};
use crate::connector::Installation;
use crate::process::{Running, eventually, run};
use crate::servers::bind;
use crate::suite::Test;
use crate::world::namespace::ResolvConf;
use crate::world::{SHORT, World};

/// A person with a session.
const PERSON: u32 = 4243;

/// Where the programs of the person's session meet.
const SESSION: &str = "/run/user/4243";

/// KDE's file, and the section in it.
const KDE: [&str; 4] = ["--file", "kioslaverc", "--group", "Proxy Settings"];

pub(crate) fn tests() -> Vec<Test> {
    let needs: &[&str] = &["dbus-daemon", "gsettings", "kreadconfig5", "kwriteconfig5", "named"];
    vec![
        Test {
            name: "the_desktops_proxy_settings_follow_the_pac_file_and_are_taken_back",
            needs,
            run: the_desktops_proxy_settings_follow_the_pac_file_and_are_taken_back,
        },
        Test {
            name: "a_persons_own_proxy_stays_and_status_says_so",
            needs,
            run: a_persons_own_proxy_stays_and_status_says_so,
        },
    ]
}

fn the_desktops_proxy_settings_follow_the_pac_file_and_are_taken_back() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    let _session = session(&world);
    let former = shown(&world);
    let (installation, mut connector) = start(&world, Carrier::Tun, "configure_browser = true");
    wait_until_configured(&world, &installation, &mut connector);

    installation.configure(&settings(&world, Carrier::Tun, "configure_browser = false"));
    connector.signal("HUP");
    eventually(SHORT, "a reload takes them back", || (shown(&world) == former).then_some(()));
    installation.wait_for_status(&mut connector, "`status` forgets them", SHORT, |status| {
        !status["system_changes"].to_string().contains("proxy settings")
    });
    installation.configure(&settings(&world, Carrier::Tun, "configure_browser = true"));
    connector.signal("HUP");
    wait_until_configured(&world, &installation, &mut connector);

    connector.kill();
    eventually(SHORT, "the guardian takes them back", || (shown(&world) == former).then_some(()));
    let mut connector = installation.start();
    wait_until_configured(&world, &installation, &mut connector);
    installation.stop(&mut connector);
    assert_eq!(shown(&world), former);
}

fn a_persons_own_proxy_stays_and_status_says_so() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    let _session = session(&world);
    by_person(&world, "gsettings", &["set", "org.gnome.system.proxy", "mode", "manual"]);
    by_person(&world, "kwriteconfig5", &[&KDE[..], &["--key", "ProxyType", "1"]].concat());
    let former = shown(&world);
    let (installation, mut connector) = start(&world, Carrier::Tun, "configure_browser = true");
    let status = installation.wait_for_status(&mut connector, "both are told", SHORT, |status| {
        let warnings = status["warnings"].to_string();
        ["GNOME", "KDE"].iter().all(|desktop| warnings.contains(&format!("{desktop} has a proxy already")))
    });
    assert_eq!(status["colour"], "yellow", "{status:#}");
    assert_eq!(shown(&world), former);
    installation.stop(&mut connector);
    assert_eq!(shown(&world), former);
}

#[track_caller]
fn wait_until_configured(world: &World, installation: &Installation<'_>, connector: &mut Running) {
    installation.wait_for_status(connector, "both desktops are told in `status`", SHORT, |status| {
        let changes = status["system_changes"].to_string();
        let points = |desktop| changes.contains(&format!("{desktop}'s proxy settings point at {PAC}"));
        points("GNOME") && points("KDE")
    });
    assert_eq!(shown(world), ["'auto'".to_owned(), format!("'{PAC}'"), "2".to_owned(), PAC.to_owned()]);
}

/// The message bus of a person's session.
#[track_caller]
fn session(world: &World) -> Running {
    let home = world.folder().join("home");
    fs::create_dir(&home).expect("a person's folder");
    let passwd = world.folder().join("etc/passwd");
    let text = fs::read_to_string(&passwd).expect("the laptop's users");
    let person = format!("{text}ann:x:{PERSON}:{PERSON}::{}:/bin/sh\n", home.display());
    fs::write(&passwd, person).expect("the laptop's users");
    let prepare = format!(
        "mkdir -p {SESSION} && chmod 700 {SESSION} && chown {PERSON}:{PERSON} {SESSION} {}",
        home.display()
    );
    run(world.client.command("sh").args(["-c", &prepare]), SHORT).success();
    let mut command = person_command(world, "dbus-daemon");
    command.args(["--session", "--nofork", "--nopidfile", &format!("--address=unix:path={SESSION}/bus")]);
    let bus = Running::start(&mut command, &world.log_path("bus"));
    eventually(SHORT, "the session's bus is there", || {
        let ls = run(world.client.command("ls").arg(format!("{SESSION}/bus")), SHORT);
        (ls.code == 0).then_some(())
    });
    bus
}

fn person_command(world: &World, program: &str) -> Command {
    let mut command = world.client.command_as(PERSON, program);
    command
        .env("HOME", world.folder().join("home"))
        .env("XDG_RUNTIME_DIR", SESSION)
        .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={SESSION}/bus"))
        .env_remove("XDG_CONFIG_HOME");
    command
}

#[track_caller]
fn by_person(world: &World, program: &str, arguments: &[&str]) -> String {
    run(person_command(world, program).args(arguments), SHORT).success()
}

/// GNOME's way and address, then KDE's.
#[track_caller]
fn shown(world: &World) -> [String; 4] {
    let gnome = |key| by_person(world, "gsettings", &["get", "org.gnome.system.proxy", key]);
    let kde = |key| by_person(world, "kreadconfig5", &[&KDE[..], &["--key", key]].concat());
    [gnome("mode"), gnome("autoconfig-url"), kde("ProxyType"), kde("Proxy Config Script")]
}
