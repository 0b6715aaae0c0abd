//! What a person can do, in words and for the system at hand.

use platform::posture::firewall::Manager;
use platform::posture::system::Packaging;
use platform::posture::updates::Updates;

/// Packages that are named in one sentence.
const MOST_NAMED: usize = 5;

/// To turn a firewall on.
pub(super) fn firewall(managers: &[Manager], packaging: Packaging) -> String {
    let command = match (managers.first(), packaging) {
        (Some(Manager::Ufw), _) => "sudo ufw enable",
        (Some(Manager::Firewalld), _) => "sudo systemctl enable --now firewalld",
        (None | Some(Manager::Nftables), Packaging::Apt) => "sudo apt install ufw && sudo ufw enable",
        (None | Some(Manager::Nftables), Packaging::Dnf) => {
            "sudo dnf install firewalld && sudo systemctl enable --now firewalld"
        }
        (Some(Manager::Nftables), Packaging::Other) => "sudo systemctl enable --now nftables",
        (None, Packaging::Other) => {
            return "Turn on a firewall that refuses incoming connections by default, such as firewalld or ufw.".to_owned();
        }
    };
    format!("Turn on the firewall: open a terminal and run `{command}`.")
}

/// To start an antivirus.
pub(super) fn antivirus(packaging: Packaging) -> String {
    let install = match packaging {
        Packaging::Apt => "sudo apt install clamav-daemon && sudo systemctl enable --now clamav-daemon",
        Packaging::Dnf => "sudo dnf install clamd && sudo systemctl enable --now clamd@scan",
        Packaging::Other => {
            return "Start your antivirus, or ask your IT support which one to install.".to_owned();
        }
    };
    format!("Start your antivirus. If there is none, ask your IT support, or run `{install}` in a terminal.")
}

/// To encrypt what is not.
pub(super) fn disk_encryption(open: &[&str]) -> String {
    let places = open.join(" and ");
    format!(
        "Ask your IT support to encrypt the disk under {places} (LUKS). A system disk is usually encrypted when the system \
         is installed, so save your files first."
    )
}

/// To install what is missing.
pub(super) fn updates(updates: &Updates, packaging: Packaging) -> String {
    let held = match updates.held.as_slice() {
        [] => String::new(),
        held => format!(
            " Held back on purpose: {}; `sudo apt-mark unhold {}` lets go of them.",
            list(held),
            held.join(" ")
        ),
    };
    let install = match packaging {
        Packaging::Apt => "sudo apt update && sudo apt full-upgrade",
        Packaging::Dnf => "sudo dnf upgrade --security --refresh",
        Packaging::Other => return format!("Install the updates that your system offers.{held}"),
    };
    format!(
        "Install the updates: open a terminal and run `{install}`, then restart if you are asked to.{held}"
    )
}

/// To fetch new lists of packages.
pub(super) fn package_lists(packaging: Packaging) -> String {
    let fetch = match packaging {
        Packaging::Apt => "sudo apt update",
        Packaging::Dnf => "sudo dnf makecache",
        Packaging::Other => return "Let your system look for updates, then re-assess the device.".to_owned(),
    };
    format!("Look for updates: open a terminal and run `{fetch}`, then re-assess the device.")
}

/// The first few, and that there are more.
pub(super) fn list(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(MOST_NAMED).map(String::as_str).collect();
    match names.len() > MOST_NAMED {
        true => format!("{} and {} more", shown.join(", "), names.len() - MOST_NAMED),
        false => shown.join(", "),
    }
}
