//! The desktop's proxy settings, with the desktops' own programs on a message bus of the test's own.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use platform::{
    desktop_proxy::{Desktop, DesktopProxyChange, Planned, SessionUser, plan},
    undo::{Outcome, Undo},
};

const PAC: &str = "http://127.0.0.1:8086/proxy.pac";
const LIMIT: Duration = Duration::from_secs(20);
const REQUIRE_ROOT: &str = "OPENZTNA_REQUIRE_ROOT_TESTS";

/// A session: a folder for everything of it, and its bus.
struct Session {
    folder: tempfile::TempDir,
    user: SessionUser,
    bus: Child,
}

impl Session {
    /// Starts one, where the programs are there.
    fn start(programs: &[&str]) -> Option<Self> {
        let missing = programs.iter().find(|name| !is_there(name));
        if let Some(missing) = missing {
            assert!(std::env::var_os(REQUIRE_ROOT).is_none(), "{missing} is missing");
            eprintln!("skipped: {missing} is missing");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("bus");
        let bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork"])
            .arg(format!("--address=unix:path={}", socket.display()))
            .env("HOME", folder.path())
            .env("XDG_RUNTIME_DIR", folder.path())
            .env_remove("XDG_CONFIG_HOME")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the bus", || socket.exists());
        let user = SessionUser {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            home: folder.path().to_owned(),
            bus: format!("unix:path={}", socket.display()),
            runtime_dir: folder.path().to_owned(),
            config_home: None,
        };
        Some(Self { folder, user, bus })
    }

    fn end(&mut self) {
        self.bus.kill().unwrap();
        self.bus.wait().unwrap();
        fs::remove_file(self.folder.path().join("bus")).unwrap();
    }

    fn run(&self, program: &str, words: &[&str]) -> String {
        let output = Command::new(program)
            .args(words)
            .env("HOME", &self.user.home)
            .env("XDG_RUNTIME_DIR", &self.user.runtime_dir)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.user.bus)
            .env_remove("XDG_CONFIG_HOME")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn gnome(&self, words: &[&str]) -> String {
        let words = [&[words[0], "org.gnome.system.proxy"], &words[1..]].concat();
        self.run("gsettings", &words)
    }

    fn change(&self, desktop: Desktop) -> DesktopProxyChange {
        match plan(&self.user, desktop, PAC).unwrap() {
            Planned::Change(change) => change,
            other @ (Planned::AsWanted | Planned::TakenByOther | Planned::NotThere) => panic!("{other:?}"),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.bus.kill();
        let _ = self.bus.wait();
    }
}

fn is_there(program: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/bin"].iter().any(|folder| Path::new(folder).join(program).exists())
}

fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < LIMIT, "{what} did not come");
        thread::sleep(Duration::from_millis(10));
    }
}

fn gnome_session() -> Option<Session> {
    Session::start(&["dbus-daemon", "dbus-run-session", "gsettings"])
}

fn undo(change: &DesktopProxyChange) -> Outcome {
    Undo::DesktopProxy(change.clone()).apply().unwrap()
}

#[test]
fn gnome_follows_the_pac_file_until_it_is_undone() {
    let Some(session) = gnome_session() else { return };
    let change = session.change(Desktop::Gnome);
    assert_eq!(undo(&change), Outcome::AlreadyGone, "announced, and killed before it was made");
    change.apply().unwrap();
    assert_eq!(session.gnome(&["get", "mode"]), "'auto'");
    assert_eq!(session.gnome(&["get", "autoconfig-url"]), format!("'{PAC}'"));
    assert_eq!(plan(&session.user, Desktop::Gnome, PAC).unwrap(), Planned::AsWanted);
    let text = serde_json::to_string(&Undo::DesktopProxy(change.clone())).unwrap();
    let read: Undo = serde_json::from_str(&text).unwrap();
    assert_eq!(read.apply().unwrap(), Outcome::Undone);
    assert_eq!(session.gnome(&["get", "mode"]), "'none'");
    assert_eq!(session.gnome(&["get", "autoconfig-url"]), "''");
    assert_eq!(undo(&change), Outcome::AlreadyGone);
}

#[test]
fn gnome_gets_back_what_the_person_had() {
    let Some(session) = gnome_session() else { return };
    let theirs = "http://intranet.example/old.pac";
    session.gnome(&["set", "autoconfig-url", theirs]);
    let change = session.change(Desktop::Gnome);
    change.apply().unwrap();
    assert_eq!(undo(&change), Outcome::Undone);
    assert_eq!(session.gnome(&["get", "autoconfig-url"]), format!("'{theirs}'"));
    assert_eq!(session.gnome(&["get", "mode"]), "'none'");
}

#[test]
fn gnome_keeps_another_proxy() {
    let Some(session) = gnome_session() else { return };
    session.gnome(&["set", "mode", "manual"]);
    assert_eq!(plan(&session.user, Desktop::Gnome, PAC).unwrap(), Planned::TakenByOther);
    session.gnome(&["set", "mode", "none"]);
    let change = session.change(Desktop::Gnome);
    change.apply().unwrap();
    session.gnome(&["set", "mode", "manual"]);
    assert_eq!(undo(&change), Outcome::Undone);
    assert_eq!(session.gnome(&["get", "mode"]), "'manual'");
    assert_eq!(session.gnome(&["get", "autoconfig-url"]), "''");
    session.gnome(&["set", "mode", "auto"]);
    session.gnome(&["set", "autoconfig-url", "http://other.example/x.pac"]);
    assert_eq!(plan(&session.user, Desktop::Gnome, PAC).unwrap(), Planned::TakenByOther);
    assert_eq!(undo(&change), Outcome::LeftAlone);
    assert_eq!(session.gnome(&["get", "mode"]), "'auto'");
}

#[test]
fn gnome_is_undone_after_the_session_has_ended() {
    let Some(mut session) = gnome_session() else { return };
    let change = session.change(Desktop::Gnome);
    change.apply().unwrap();
    session.end();
    assert_eq!(undo(&change), Outcome::Undone);
    assert_eq!(undo(&change), Outcome::AlreadyGone);
}

#[test]
fn kde_follows_the_pac_file_until_it_is_undone() {
    let Some(session) = Session::start(&["dbus-daemon", "kwriteconfig5"]) else { return };
    let file = session.folder.path().join(".config/kioslaverc");
    let (section, proxy) = (["--group", "Proxy Settings"], ["--key", "httpProxy", "http://a.example 3128"]);
    let write = |words: &[&str]| {
        let words = [&["--file", "kioslaverc"], &section[..], words].concat();
        session.run("kwriteconfig5", &words);
    };
    write(&proxy);
    let before = fs::read_to_string(&file).unwrap();
    let change = session.change(Desktop::Kde);
    change.apply().unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("ProxyType=2") && text.contains(&format!("Proxy Config Script={PAC}")), "{text}");
    assert_eq!(plan(&session.user, Desktop::Kde, PAC).unwrap(), Planned::AsWanted);
    assert_eq!(undo(&change), Outcome::Undone);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    assert_eq!(undo(&change), Outcome::AlreadyGone);
    // A proxy of the person's own stays.
    write(&["--key", "ProxyType", "1"]);
    assert_eq!(plan(&session.user, Desktop::Kde, PAC).unwrap(), Planned::TakenByOther);
}
