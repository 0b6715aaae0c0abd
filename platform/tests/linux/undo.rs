//! What was changed is taken back from a journal alone, and what others changed is left.

use std::fs;

use platform::{
    Family,
    netlink::{Netlink, Rule, RuleAction},
    tun::{Tun, TunConfig},
    undo::{
        Outcome, Undo,
        journal::{self, Journal, Record},
    },
};

use crate::namespace::{in_namespace, ip};

fn tun() -> Tun {
    Tun::open(&TunConfig { name_prefix: "ztna".into(), mtu: 1420, force_plain: false }).unwrap()
}

fn link(tun: &Tun) -> Undo {
    Undo::Link { name: tun.name().into(), index: tun.index() }
}

#[test]
fn rules_and_a_leaked_link_are_undone_from_the_journal_in_reverse() {
    in_namespace(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("undo.journal");
        let before = (ip(&["rule"]), ip(&["-6", "rule"]), ip(&["link"]));
        let tun = tun();
        let mut netlink = Netlink::open().unwrap();
        let mut journal = Journal::open(&path).unwrap();
        journal.append(&Record::Announce { id: 0, undo: link(&tun) }).unwrap();
        for (id, family) in [(1, Family::V4), (2, Family::V6)] {
            let rule = Rule::new(family, 5200, RuleAction::Lookup(52_000));
            journal.append(&Record::Announce { id, undo: Undo::Rule(rule.clone()) }).unwrap();
            netlink.add_rule(&rule).unwrap();
        }
        // Announced, and killed before it was made.
        let rule = Rule::new(Family::V4, 5201, RuleAction::Prohibit);
        journal.append(&Record::Announce { id: 3, undo: Undo::Rule(rule) }).unwrap();

        let restored = journal::restore(&path).unwrap();
        let outcomes: Vec<_> = restored.into_iter().map(|restored| restored.result.unwrap()).collect();
        assert_eq!(outcomes, [Outcome::AlreadyGone, Outcome::Undone, Outcome::Undone, Outcome::Undone]);
        assert_eq!((ip(&["rule"]), ip(&["-6", "rule"]), ip(&["link"])), before);
        assert!(!path.exists());
        assert!(journal::restore(&path).unwrap().is_empty());
    });
}

#[test]
fn another_link_of_the_same_name_is_left_alone() {
    in_namespace(|| {
        let ours = tun();
        let undo = link(&ours);
        drop(ours);
        wait_until_gone("ztna0");
        assert_eq!(undo.apply().unwrap(), Outcome::AlreadyGone);
        let theirs = tun();
        assert_eq!(theirs.name(), "ztna0");
        assert_eq!(undo.apply().unwrap(), Outcome::LeftAlone);
        assert!(ip(&["link"]).contains("ztna0"));
    });
}

/// A program that another test starts may hold the link's descriptor for a moment, between its fork and its exec.
fn wait_until_gone(name: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while ip(&["link"]).contains(name) {
        assert!(std::time::Instant::now() < deadline, "{name} is still there");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn what_cannot_be_undone_stays_in_the_journal() {
    in_namespace(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("undo.journal");
        let file = folder.path().join("resolv.conf");
        fs::create_dir(&file).unwrap();
        let change = format!(r#"{{"path":{file:?},"ours":"a","found":"b","original":"b"}}"#);
        let undo = Undo::ResolvConf(serde_json::from_str(&change).unwrap());
        Journal::open(&path).unwrap().append(&Record::Announce { id: 0, undo }).unwrap();
        assert!(journal::restore(&path).unwrap()[0].result.is_err());
        assert_eq!(journal::pending(&path).unwrap().len(), 1);
    });
}
