//! Which programs and services run, so that protection can be told by its process.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Fact, Unknown};

/// Users up to this number are the system's own (`SYS_UID_MAX` of login.defs(5)): a person can start a program of any
/// name, and it says nothing.
const LAST_SYSTEM_USER: u32 = 999;

/// A process of a system account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// As the kernel calls it; at most 15 octets.
    pub name: String,
    /// File name of its program, where it may be read.
    pub program: Option<String>,
    /// The system's service that it belongs to, such as `clamav-daemon.service`.
    pub unit: Option<String>,
}

/// The running processes of system accounts, sorted, each kind once. Those whose program another user could have
/// written do not count, and neither do dead or stopped ones.
///
/// # Errors
/// The system shows no processes.
pub fn processes(root: &Path) -> Fact<Vec<Process>> {
    let folder = root.join("proc");
    let entries = fs::read_dir(&folder).map_err(|error| {
        Unknown::new(format!("failed to list processes: `{}`: {error}", folder.display()))
    })?;
    let is_number =
        |entry: &fs::DirEntry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit());
    let mut processes: Vec<Process> =
        entries.filter_map(Result::ok).filter(is_number).filter_map(|entry| process(&entry.path())).collect();
    processes.sort();
    processes.dedup();
    Ok(processes)
}

/// One that ends meanwhile is none.
fn process(folder: &Path) -> Option<Process> {
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let real_user: u32 = field("Uid:")?.split_whitespace().next()?.parse().ok()?;
    let is_idle = field("State:").is_none_or(|state| state.starts_with(['Z', 'X', 'T']));
    let program = folder.join("exe");
    if is_idle || real_user > LAST_SYSTEM_USER || is_of_a_person(&program) {
        return None;
    }
    Some(Process {
        name: field("Name:")?.to_owned(),
        program: fs::read_link(&program)
            .ok()
            .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())),
        unit: fs::read_to_string(folder.join("cgroup")).ok().and_then(|text| unit(&text)),
    })
}

/// Whether somebody who is no administrator could have written it. Without rights this cannot be seen.
fn is_of_a_person(program: &Path) -> bool {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    fs::metadata(program)
        .is_ok_and(|file| file.uid() > LAST_SYSTEM_USER || file.mode() & WRITABLE_BY_OTHERS != 0)
}

/// The system's service in the lines of cgroup(7); a person's own services are in another slice.
fn unit(text: &str) -> Option<String> {
    let path = |line: &'_ str| {
        line.splitn(3, ':').nth(2).and_then(|path| path.strip_prefix("/system.slice/")).map(str::to_owned)
    };
    let path = text.lines().find_map(path)?;
    path.split('/').find(|part| part.ends_with(".service")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(processes: &[(u32, &str, &str, u32, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (pid, name, state, uid, cgroup) in processes {
            let folder = root.path().join(format!("proc/{pid}"));
            fs::create_dir_all(&folder).unwrap();
            let status = format!("Name:\t{name}\nState:\t{state}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n");
            fs::write(folder.join("status"), status).unwrap();
            fs::write(folder.join("cgroup"), cgroup).unwrap();
        }
        root
    }

    #[test]
    fn only_working_processes_of_system_accounts_count() {
        let root = tree(&[
            (7, "clamd", "S (sleeping)", 110, "0::/system.slice/clamav-daemon.service\n"),
            (8, "clamd", "S (sleeping)", 1000, "0::/user.slice/user-1000.slice/app.slice/clamd.service\n"),
            (9, "mdatp", "Z (zombie)", 0, "0::/\n"),
            (12, "falcon-sensor", "T (stopped)", 0, "0::/\n"),
            (10, "nobodys", "S (sleeping)", 65_534, "0::/\n"),
            (11, "sshd", "S (sleeping)", 0, "1:name=systemd:/system.slice/ssh.service\n0::/x\n"),
        ]);
        let seen = processes(root.path()).unwrap();
        let names: Vec<(&str, Option<&str>)> =
            seen.iter().map(|process| (process.name.as_str(), process.unit.as_deref())).collect();
        assert_eq!(names, [("clamd", Some("clamav-daemon.service")), ("sshd", Some("ssh.service"))]);
    }

    #[test]
    fn a_program_that_others_can_write_proves_nothing() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let root = tree(&[(7, "clamd", "R (running)", 0, "")]);
        let program = root.path().join("clamd");
        fs::write(&program, "").unwrap();
        symlink(&program, root.path().join("proc/7/exe")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(processes(root.path()).unwrap(), []);
    }

    #[test]
    fn this_machine_shows_processes() {
        assert!(processes(Path::new("/")).is_ok());
        assert!(processes(Path::new("/no-such-folder")).is_err());
    }
}
