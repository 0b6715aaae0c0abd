//! Whether what people keep on this device is encrypted on the disk, followed from mounts down to dm-crypt.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Fact, Unknown, read};

/// Where the system and people's files are.
const FOLDERS: [&str; 2] = ["/", "/home"];
/// Devices below each other: partition, RAID, LVM, encryption and some more.
const DEEPEST: usize = 16;

/// A file system and whether it is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Where it is mounted.
    pub folder: String,
    /// The device, or the kind of file system where there is none.
    pub device: String,
    /// Whether nothing of it is on a disk in the clear.
    pub is_encrypted: Fact<bool>,
}

/// The file systems of the system and of people's folders, each once.
///
/// # Errors
/// The system does not tell its mounts.
pub fn volumes(root: &Path) -> Fact<Vec<Volume>> {
    let text = read(&root.join("proc/self/mountinfo"))?;
    let mounts: Vec<Mount> = text.lines().filter_map(mount).collect();
    let mut volumes: Vec<Volume> = Vec::new();
    for folder in FOLDERS {
        let Some(mount) = covering(&mounts, folder) else {
            return Err(Unknown::new(format!("nothing is mounted at `{folder}`")));
        };
        if !volumes.iter().any(|volume| volume.folder == mount.folder) {
            volumes.push(volume(root, mount));
        }
    }
    Ok(volumes)
}

/// A line of mountinfo (proc_pid_mountinfo(5)).
struct Mount {
    number: String,
    folder: String,
    kind: String,
    source: String,
}

fn mount(line: &str) -> Option<Mount> {
    let (own, kind) = line.split_once(" - ")?;
    let mut own = own.split(' ');
    let mut kind = kind.split(' ');
    let (number, folder) = (own.nth(2)?.to_owned(), own.nth(1)?);
    Some(Mount {
        number,
        folder: unescape(folder),
        kind: kind.next()?.to_owned(),
        source: unescape(kind.next()?),
    })
}

/// Blanks in paths are written in octal digits.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// The mount in which a folder lies; of several at one place the last is on top.
fn covering<'a>(mounts: &'a [Mount], folder: &str) -> Option<&'a Mount> {
    mounts
        .iter()
        .filter(|mount| Path::new(folder).starts_with(&mount.folder))
        .max_by_key(|mount| mount.folder.len())
}

fn volume(root: &Path, mount: &Mount) -> Volume {
    let of_kind =
        |is_encrypted| Volume { folder: mount.folder.clone(), device: mount.kind.clone(), is_encrypted };
    match mount.kind.as_str() {
        "tmpfs" | "ramfs" | "rootfs" | "ecryptfs" => return of_kind(Ok(true)), // in memory, or encrypted by itself
        "zfs" | "bcachefs" => {
            return of_kind(Err(Unknown::new(format!(
                "encryption by {} itself is not looked at",
                mount.kind
            ))));
        }
        _ => {}
    }
    let Some(device) = block_device(root, mount) else {
        return of_kind(Err(Unknown::new(format!(
            "`{}` is no disk of this device that can be followed",
            mount.kind
        ))));
    };
    let name = device.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Volume { folder: mount.folder.clone(), device: name, is_encrypted: is_encrypted(&device, 0) }
}

/// The folder of the device in sysfs. File systems over several devices (btrfs) have no number there, but a name.
fn block_device(root: &Path, mount: &Mount) -> Option<PathBuf> {
    let by_number = fs::canonicalize(root.join("sys/dev/block").join(&mount.number)).ok();
    by_number.or_else(|| {
        let source = mount.source.strip_prefix("/dev/")?;
        let node = fs::canonicalize(root.join("dev").join(source)).ok()?;
        fs::canonicalize(root.join("sys/class/block").join(node.file_name()?)).ok()
    })
}

/// Whether all that a device is made of is encrypted.
fn is_encrypted(device: &Path, depth: usize) -> Fact<bool> {
    if depth > DEEPEST {
        return Err(Unknown::new(format!("the devices below `{}` are too many", device.display())));
    }
    let uuid = fs::read_to_string(device.join("dm/uuid")).unwrap_or_default();
    if is_crypt(uuid.trim()) {
        return Ok(true);
    }
    let below: Vec<PathBuf> = fs::read_dir(device.join("slaves"))
        .map(|entries| entries.filter_map(|entry| fs::canonicalize(entry.ok()?.path()).ok()).collect())
        .unwrap_or_default();
    if !below.is_empty() {
        for device in below {
            if !is_encrypted(&device, depth + 1)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    match device.parent() {
        Some(disk) if device.join("partition").exists() => is_encrypted(disk, depth + 1),
        Some(_) | None => Ok(false),
    }
}

/// dm-crypt writes the format after `CRYPT-`; cryptsetup uses the same mark for devices that only check what they hold.
fn is_crypt(uuid: &str) -> bool {
    uuid.strip_prefix("CRYPT-")
        .is_some_and(|kind| !kind.starts_with("VERITY-") && !kind.starts_with("INTEGRITY-"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(mounts: &str) -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            tree.write("proc/self/mountinfo", mounts);
            fs::create_dir_all(tree.path("sys/dev/block")).unwrap();
            tree
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn write(&self, path: &str, text: &str) {
            fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
            fs::write(self.path(path), text).unwrap();
        }

        /// A device of a number, with what it is made of.
        fn device(&self, number: &str, name: &str, uuid: &str, below: &[&str]) {
            let folder = format!("sys/devices/{name}");
            fs::create_dir_all(self.path(&folder).join("slaves")).unwrap();
            if !uuid.is_empty() {
                self.write(&format!("{folder}/dm/uuid"), uuid);
            }
            for other in below {
                let other_name = other.rsplit('/').next().unwrap();
                symlink(
                    self.path(&format!("sys/devices/{other}")),
                    self.path(&format!("{folder}/slaves/{other_name}")),
                )
                .unwrap();
            }
            symlink(self.path(&folder), self.path(&format!("sys/dev/block/{number}"))).unwrap();
        }

        fn partition(&self, number: &str, name: &str) {
            self.device(number, name, "", &[]);
            self.write(&format!("sys/devices/{name}/partition"), "1\n");
        }

        fn seen(&self) -> Vec<(String, Fact<bool>)> {
            volumes(self.0.path())
                .unwrap()
                .into_iter()
                .map(|volume| (volume.folder, volume.is_encrypted))
                .collect()
        }
    }

    const ONE: &str = "27 1 254:0 / / rw,relatime - ext4 /dev/dm-0 rw\n";
    const TWO: &str =
        "27 1 254:0 / / rw - ext4 /dev/dm-0 rw\n30 27 8:2 / /home rw shared:1 - ext4 /dev/sda2 rw\n";

    #[test]
    fn luks_is_found_below_lvm_and_below_a_partition_table() {
        let tree = Tree::new(ONE);
        tree.device("8:0", "sda", "", &[]);
        tree.partition("8:1", "sda/sda1");
        tree.device("254:1", "dm-1", "CRYPT-LUKS2-0123-cryptroot\n", &["sda/sda1"]);
        tree.device("254:0", "dm-0", "LVM-abc\n", &["dm-1"]);
        assert_eq!(tree.seen(), [("/".to_owned(), Ok(true))]);
    }

    #[test]
    fn a_home_in_the_clear_beside_an_encrypted_system_is_seen() {
        let tree = Tree::new(TWO);
        tree.device("8:0", "sda", "", &[]);
        tree.partition("8:2", "sda/sda2");
        tree.device("254:0", "dm-0", "CRYPT-LUKS1-0-x", &[]);
        assert_eq!(tree.seen(), [("/".to_owned(), Ok(true)), ("/home".to_owned(), Ok(false))]);
    }

    #[test]
    fn a_group_of_disks_is_as_safe_as_its_weakest_and_checksums_are_no_encryption() {
        let tree = Tree::new(ONE);
        tree.device("8:0", "sda", "", &[]);
        tree.device("254:1", "dm-1", "CRYPT-LUKS2-0-x", &[]);
        tree.device("254:0", "dm-0", "LVM-abc", &["dm-1", "sda"]);
        assert_eq!(tree.seen(), [("/".to_owned(), Ok(false))]);
        let tree = Tree::new(ONE);
        tree.device("8:0", "sda", "", &[]);
        tree.device("254:0", "dm-0", "CRYPT-VERITY-0-root", &["sda"]);
        assert_eq!(tree.seen(), [("/".to_owned(), Ok(false))]);
    }

    #[test]
    fn btrfs_is_followed_by_its_name_and_what_is_no_disk_is_not_known() {
        let tree = Tree::new("27 1 0:31 /@ / rw - btrfs /dev/mapper/root rw\n");
        tree.device("254:0", "dm-0", "CRYPT-LUKS2-0-root", &[]);
        tree.write("dev/dm-0", "");
        fs::create_dir_all(tree.path("dev/mapper")).unwrap();
        symlink(tree.path("dev/dm-0"), tree.path("dev/mapper/root")).unwrap();
        fs::create_dir_all(tree.path("sys/class/block")).unwrap();
        symlink(tree.path("sys/devices/dm-0"), tree.path("sys/class/block/dm-0")).unwrap();
        assert_eq!(tree.seen(), [("/".to_owned(), Ok(true))]);
        let tree =
            Tree::new("27 1 0:31 / / rw - overlay overlay rw\n30 27 0:40 / /home rw - tmpfs tmpfs rw\n");
        let seen = tree.seen();
        assert!(seen[0].1.is_err() && seen[1].1 == Ok(true), "{seen:?}");
    }

    #[test]
    fn what_is_mounted_over_counts_and_devices_in_a_circle_end() {
        let tree = Tree::new(&format!(
            "{ONE}31 27 254:1 / /home rw - ext4 a rw\n32 27 254:2 / /home rw - ext4 b rw\n"
        ));
        tree.device("254:0", "dm-0", "CRYPT-LUKS2-0-x", &[]);
        tree.device("254:1", "dm-1", "", &[]);
        tree.device("254:2", "dm-2", "CRYPT-PLAIN-x", &[]);
        assert_eq!(tree.seen()[1], ("/home".to_owned(), Ok(true)));
        let tree = Tree::new(ONE);
        tree.device("254:0", "dm-0", "LVM-x", &[]);
        symlink(tree.path("sys/devices/dm-0"), tree.path("sys/devices/dm-0/slaves/dm-0")).unwrap();
        assert!(tree.seen()[0].1.is_err());
    }
}
