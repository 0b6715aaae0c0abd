//! The file with the system's servers in the shapes it has in the wild: link, bind mount, immutable, read-only, missing.

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use platform::{
    dns_config::{Applied, Check, ResolvConf},
    undo::Outcome,
};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount_bind, mount_change, mount_remount},
    thread::UnshareFlags,
};

use crate::namespace::{in_namespace, run};

const ORIGINAL: &str = "# by dhcp\nsearch corp.example.com lab\nnameserver 192.0.2.53\noptions edns0\n";

fn resolver() -> [IpAddr; 1] {
    [IpAddr::from([100, 100, 0, 1])]
}

fn plan(path: &Path) -> ResolvConf {
    ResolvConf::plan(path, &resolver()).unwrap()
}

/// The whole life of a rewrite, whatever the file is.
fn rewrite_and_undo(path: &Path) {
    let conf = plan(path);
    assert_eq!(conf.servers(), ["192.0.2.53:53".parse().unwrap()]);
    assert_eq!(conf.apply().unwrap(), Applied::Written);
    assert_eq!(conf.check(&resolver()), Check::Ours);
    assert_eq!(conf.apply().unwrap(), Applied::AlreadyOurs);
    let text = fs::read_to_string(path).unwrap();
    assert!(
        text.contains("\nnameserver 100.100.0.1\n") && !text.contains("\nnameserver 192.0.2.53"),
        "{text}"
    );
    assert!(text.contains("\nsearch corp.example.com lab\n") && text.contains("\noptions edns0\n"), "{text}");
    assert_eq!(conf.change().undo().unwrap(), Outcome::Undone);
    assert_eq!(fs::read_to_string(path).unwrap(), ORIGINAL);
}

fn folder_with(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resolv.conf");
    fs::write(&path, text).unwrap();
    (folder, path)
}

/// Mounts of the calling thread's own; to be called in a thread that ends with the test.
fn private_mounts() {
    // SAFETY: only this thread gets its own view of the mounts, and no other thread works with its paths.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS | UnshareFlags::FS) }.unwrap();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
}

#[test]
fn plain_file_is_rewritten_and_put_back() {
    let (_folder, path) = folder_with(ORIGINAL);
    rewrite_and_undo(&path);
}

#[test]
fn symbolic_link_stays_one() {
    let (folder, target) = folder_with(ORIGINAL);
    let link = folder.path().join("link");
    symlink("resolv.conf", &link).unwrap();
    rewrite_and_undo(&link);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::symlink_metadata(&target).unwrap().is_file());
}

#[test]
fn dangling_link_gets_its_target_for_as_long_as_we_run() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    symlink("target", &link).unwrap();
    let conf = plan(&link);
    assert!(conf.servers().is_empty());
    assert_eq!(conf.apply().unwrap(), Applied::Written);
    assert_eq!(conf.check(&resolver()), Check::Ours);
    assert_eq!(conf.change().undo().unwrap(), Outcome::Undone);
    assert!(!folder.path().join("target").exists());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn change_by_another_is_seen_and_kept() {
    let (_folder, path) = folder_with(ORIGINAL);
    let conf = plan(&path);
    fs::write(&path, "nameserver 198.51.100.1\n").unwrap();
    assert_eq!(conf.apply().unwrap(), Applied::ChangedMeanwhile);
    let conf = plan(&path);
    conf.apply().unwrap();
    fs::write(&path, "nameserver 100.100.0.1\nnameserver 198.51.100.2\n").unwrap();
    let new = vec!["198.51.100.2:53".parse().unwrap()];
    assert_eq!(conf.check(&resolver()), Check::ChangedByOther(new));
    assert_eq!(conf.change().undo().unwrap(), Outcome::LeftAlone);
    fs::remove_file(&path).unwrap();
    assert_eq!(conf.check(&resolver()), Check::Gone);
}

#[test]
fn file_of_an_instance_whose_journal_is_lost_is_recovered() {
    let (_folder, path) = folder_with(ORIGINAL);
    plan(&path).apply().unwrap();
    let other: [IpAddr; 1] = [IpAddr::from([100, 101, 0, 1])];
    let conf = ResolvConf::plan(&path, &other).unwrap();
    assert_eq!(conf.servers(), ["192.0.2.53:53".parse().unwrap()]);
    assert_eq!(conf.apply().unwrap(), Applied::Written);
    assert_eq!(conf.change().undo().unwrap(), Outcome::Undone);
    assert_eq!(fs::read_to_string(&path).unwrap(), ORIGINAL);
}

#[test]
fn bind_mount_is_written_in_place() {
    in_namespace(|| {
        private_mounts();
        let (_source_folder, source) = folder_with(ORIGINAL);
        let (folder, path) = folder_with("below the mount\n");
        mount_bind(&source, &path).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "").unwrap();
        assert_eq!(fs::rename(&elsewhere, &path).unwrap_err().raw_os_error(), Some(16), "EBUSY");
        rewrite_and_undo(&path);
        assert_eq!(fs::read_to_string(&source).unwrap(), ORIGINAL);
    });
}

#[test]
fn read_only_file_is_a_clear_error_and_unchanged() {
    in_namespace(|| {
        private_mounts();
        let (_folder, path) = folder_with(ORIGINAL);
        mount_bind(&path, &path).unwrap();
        mount_remount(&path, MountFlags::BIND | MountFlags::RDONLY, c"").unwrap();
        let error = plan(&path).apply().unwrap_err();
        assert_eq!(error.to_string(), format!("failed to write DNS settings: `{}`", path.display()));
        assert!(error.hint().unwrap().contains("read-only"), "{error:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), ORIGINAL);
    });
}

#[test]
fn immutable_file_is_a_clear_error_with_a_hint() {
    in_namespace(|| {
        let (_folder, path) = folder_with(ORIGINAL);
        let name = path.to_str().unwrap().to_owned();
        run("chattr", &["+i", &name]);
        let result = plan(&path).apply();
        run("chattr", &["-i", &name]);
        assert!(result.unwrap_err().hint().unwrap().contains("chattr -i"));
        assert_eq!(fs::read_to_string(&path).unwrap(), ORIGINAL);
    });
}
