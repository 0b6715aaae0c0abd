//! A table of ours in the kernel's firewall, which hides peers behind the gateway's addresses; by the program nft(8).

use std::{fmt::Write, io, path::PathBuf, process::Command, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Error, Family, IpPrefix, process, undo::Outcome};

/// How long nft may take; it needs 10 ms.
const LIMIT: Duration = Duration::from_secs(5);

/// Said wherever the program is not found.
const HINT_INSTALL: &str = "install nftables, or use egress = \"userspace\"";

/// A table of the family `inet`, by its name: ours alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallTable {
    /// Its name: letters, digits and underscores.
    pub name: String,
}

/// What the table is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masquerade {
    /// The link that peers' packets come out of.
    pub link: String,
    /// The peers' addresses: what comes from them leaves with an address of this device.
    pub sources: Vec<IpPrefix>,
    /// The device forwarded nothing before: what neither comes from peers nor answers them is still not forwarded.
    pub nothing_else: bool,
}

impl FirewallTable {
    /// Makes the table, in the place of one of the same name; announce it to the guardian first.
    ///
    /// # Errors
    /// No program nft, no right, or a kernel without nf_tables or NAT.
    pub fn write(&self, masquerade: &Masquerade) -> Result<(), Error> {
        self.load(&self.text(masquerade)).map_err(|source| self.failed("make", source))
    }

    /// Takes it away.
    pub(crate) fn undo(&self) -> Result<Outcome, Error> {
        let listed = run(&["-t", "list", "tables"], "").map_err(|source| self.failed("find", source))?;
        let wanted = format!("table inet {}", self.name);
        if !listed.lines().any(|line| line.trim_end() == wanted) {
            return Ok(Outcome::AlreadyGone);
        }
        self.load(&self.removal()).map_err(|source| self.failed("remove", source))?;
        Ok(Outcome::Undone)
    }

    /// One transaction: there is no moment without the table, nor one with half of it.
    fn text(&self, masquerade: &Masquerade) -> String {
        let Masquerade { link, sources, nothing_else } = masquerade;
        let mut rules = String::new();
        for (family, word) in [(Family::V4, "ip"), (Family::V6, "ip6")] {
            let mut own: Vec<String> = sources
                .iter()
                .filter(|source| Family::of(source.address()) == family)
                .map(ToString::to_string)
                .collect();
            own.sort_unstable();
            own.dedup();
            for source in own {
                // Writing to a String cannot fail.
                let _ = writeln!(rules, "    oifname != \"{link}\" {word} saddr {source} masquerade");
            }
        }
        let rest = if *nothing_else { format!("    iifname != \"{link}\" drop\n") } else { String::new() };
        format!(
            "{removal}table inet {name} {{\n\
             \x20 chain forward {{\n\
             \x20   type filter hook forward priority filter; policy accept;\n\
             \x20   oifname \"{link}\" ct state established,related accept\n\
             \x20   oifname \"{link}\" drop\n\
             {rest}\x20 }}\n\
             \x20 chain postrouting {{\n\
             \x20   type nat hook postrouting priority srcnat; policy accept;\n\
             {rules}\x20 }}\n\
             }}\n",
            removal = self.removal(),
            name = self.name,
        )
    }

    /// Also where there is none.
    fn removal(&self) -> String {
        format!("table inet {name}\ndelete table inet {name}\n", name = self.name)
    }

    fn load(&self, text: &str) -> io::Result<()> {
        run(&["-f", "-"], text).map(drop)
    }

    fn failed(&self, verb: &'static str, source: io::Error) -> Error {
        let hint = (source.kind() == io::ErrorKind::NotFound).then_some(HINT_INSTALL);
        let error = Error::system(verb, "firewall table", &self.name, source);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

fn run(words: &[&str], input: &str) -> io::Result<String> {
    let program: PathBuf = process::find("nft").ok_or(io::ErrorKind::NotFound)?;
    let mut command = Command::new(program);
    command.args(words).env_clear();
    process::run(&mut command, input, LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_hidden_by_family_and_the_rest_is_left_or_stopped() {
        let table = FirewallTable { name: "openztna_test".to_owned() };
        let sources = ["10.7.0.0/24", "fd00::/64", "10.7.0.0/24"].map(|text| text.parse().unwrap()).to_vec();
        let masquerade = Masquerade { link: "ztnagw0".to_owned(), sources, nothing_else: false };
        let text = table.text(&masquerade);
        assert_eq!(text.matches("ip saddr 10.7.0.0/24 masquerade").count(), 1, "{text}");
        assert_eq!(text.matches("ip6 saddr fd00::/64 masquerade").count(), 1, "{text}");
        assert!(!text.contains("iifname"), "{text}");
        let alone = table.text(&Masquerade { nothing_else: true, ..masquerade });
        assert!(alone.contains("iifname != \"ztnagw0\" drop"), "{alone}");
        assert!(text.starts_with("table inet openztna_test\ndelete table inet openztna_test\n"), "{text}");
    }
}
