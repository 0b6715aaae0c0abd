//! The spool through ends of every kind: of the process, of the disk, of room; and through edits.

use std::collections::BTreeMap;

use super::verify::{Finding, Verdict};
use super::*;
use crate::event::{Field, Kind};

fn limits() -> Limits {
    Limits { disk: 1 << 20, segment: 4 << 10, memory: 64 << 10 }
}

fn event(n: usize) -> Event {
    Event::new(Kind::AccessAllowed, format!("event {n}")).with(Field::Application, "wiki\n\u{202e}\0")
}

fn filled(folder: &Path, count: usize, limits: Limits) -> Spool {
    let mut spool = Spool::open(folder.to_owned(), limits);
    for n in 0..count {
        spool.append(&event(n));
        if n % 3 == 0 {
            spool.flush();
        }
    }
    spool.flush();
    assert_eq!(spool.fault(), None);
    spool
}

fn numbers(spool: &mut Spool, from: u64) -> Vec<u64> {
    let mut cursor = Cursor::at(from);
    let mut numbers = Vec::new();
    loop {
        let found = spool.read(&mut cursor, 7).unwrap();
        if found.is_empty() {
            return numbers;
        }
        numbers.extend(found.iter().map(|found| found.sequence));
    }
}

fn clean(folder: &Path) -> Verdict {
    let verdict = verify(folder, &BTreeMap::new()).unwrap();
    assert_eq!(verdict.findings, []);
    verdict
}

/// The newest segment.
fn newest(folder: &Path) -> PathBuf {
    segment::list(folder).unwrap().pop().unwrap().path
}

#[test]
fn what_was_kept_is_read_as_it_was_from_any_place_and_after_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = filled(folder.path(), 100, limits());
    let kept = event(100);
    spool.append(&kept);
    spool.flush();
    assert!(spool.segments.len() > 3, "{:?}", spool.segments.len());
    for from in [1, 2, 57, 101] {
        assert_eq!(numbers(&mut spool, from), (from..=101).collect::<Vec<_>>());
    }
    drop(spool); // as a kill: nothing is done at its end
    let mut spool = Spool::open(folder.path().to_owned(), limits());
    let mut cursor = Cursor::at(101);
    let found = spool.read(&mut cursor, 10).unwrap();
    assert_eq!((found[0].event.id, &found[0].event.message), (kept.id, &kept.message));
    assert_eq!(found[0].event.fields, kept.fields);
    assert_eq!(spool.append(&event(102)).0, 102);
    spool.flush();
    assert_eq!(numbers(&mut spool, 1), (1..=102).collect::<Vec<_>>());
    assert_eq!((spool.take_damage(), clean(folder.path()).events), (None, 102));
}

#[test]
fn a_torn_end_is_cut_wherever_it_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path(), 12, Limits::default()));
    let path = newest(folder.path());
    let whole = std::fs::read(&path).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|octet| *octet == b'\n').unwrap() + 1;
    for end in [last, last + 1, last + 64, last + 65, (last + whole.len()) / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..end]).unwrap();
        let mut spool = Spool::open(folder.path().to_owned(), Limits::default());
        assert_eq!(spool.append(&event(0)).0, 12, "cut at {end}");
        spool.flush();
        assert_eq!(numbers(&mut spool, 1), (1..=12).collect::<Vec<_>>());
        assert_eq!(spool.take_damage(), None);
        clean(folder.path());
    }
    // not even a header
    std::fs::write(&path, "openztna-ev").unwrap();
    let mut spool = Spool::open(folder.path().to_owned(), Limits::default());
    assert_eq!((spool.append(&event(0)).0, spool.fault()), (1, None));
}

#[test]
fn what_the_siem_has_is_remembered_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = filled(folder.path(), 50, limits());
    assert_eq!((spool.confirmed(), spool.backlog()), (1, 50));
    spool.confirm(31);
    spool.confirm(20);
    spool.tick();
    drop(spool);
    let mut spool = Spool::open(folder.path().to_owned(), limits());
    assert_eq!((spool.confirmed(), spool.backlog()), (31, 20));
    let from = spool.confirmed();
    assert_eq!(numbers(&mut spool, from), (31..=50).collect::<Vec<_>>());
    spool.confirm(1_000);
    assert_eq!((spool.confirmed(), spool.backlog()), (51, 0), "never more than there is");
}

#[test]
fn the_oldest_go_when_the_spool_is_full_and_are_counted_unless_the_siem_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { disk: 16 << 10, ..limits() };
    let mut spool = filled(folder.path(), 10, limits);
    spool.confirm(6);
    for n in 0..200 {
        spool.append(&event(n));
        spool.flush();
    }
    let kept = numbers(&mut spool, 1);
    let lost = spool.take_lost();
    assert_eq!(lost + kept.len() as u64, 205, "all but the five that the SIEM has");
    assert_eq!(kept, (211 - kept.len() as u64..=210).collect::<Vec<_>>());
    assert!(spool.segments.iter().map(|segment| segment.octets).sum::<u64>() <= limits.disk);
    assert_eq!((spool.backlog(), spool.take_lost(), spool.take_damage()), (kept.len() as u64, 0, None));
    clean(folder.path());
}

#[test]
fn a_disk_that_takes_nothing_leaves_events_in_bounded_memory_until_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("events");
    std::fs::write(&place, "a file is no folder").unwrap();
    let mut spool = Spool::open(place.clone(), limits());
    for n in 0..20 {
        spool.append(&event(n));
        spool.flush();
    }
    assert!(spool.fault().is_some());
    assert_eq!(numbers(&mut spool, 1), (1..=20).collect::<Vec<_>>());
    spool.confirm(11);
    for n in 20..1_000 {
        spool.append(&event(n));
        spool.flush();
    }
    assert!(spool.waiting_octets <= limits().memory);
    let lost = spool.take_lost();
    let kept = numbers(&mut spool, 1);
    assert_eq!(lost + kept.len() as u64, 990);
    std::fs::remove_file(&place).unwrap();
    spool.tick();
    assert_eq!((spool.fault(), spool.waiting.len()), (None, 0));
    assert_eq!(numbers(&mut spool, 1), kept);
    spool.append(&event(0));
    spool.flush();
    assert_eq!(clean(&place).range, Some((kept[0], 1_001)));
}

#[test]
fn edits_cuts_and_removals_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = filled(folder.path(), 60, limits());
    let (_, head) = spool.append(&event(60));
    spool.flush();
    let heads = BTreeMap::from([(61, head)]);
    assert_eq!(verify(folder.path(), &heads).unwrap().proven, 1);
    drop(spool);
    let segments = segment::list(folder.path()).unwrap();
    let middle = &segments[1];
    let text = std::fs::read_to_string(&middle.path).unwrap();
    let found = |text: &str| {
        std::fs::write(&middle.path, text).unwrap();
        let mut spool = Spool::open(folder.path().to_owned(), limits());
        let read = numbers(&mut spool, 1).len();
        (
            verify(folder.path(), &heads).unwrap().findings,
            spool.take_damage().map(|damage| damage.first),
            read,
        )
    };
    let edited = middle.first + 2;
    let message = format!("event {}", edited - 1);
    let of_edit = found(&text.replace(&message, "event 0!"));
    assert_eq!(of_edit, (vec![Finding::Edited(edited)], Some(edited), 61), "it is sent all the same");
    let lines: Vec<&str> = text.lines().collect();
    let without = [&lines[..3], &lines[4..], &[""]].concat().join("\n");
    assert_eq!(found(&without), (vec![Finding::Gap(edited, edited)], Some(edited), 60));
    let garbage = text.replace(lines[3], "\u{1f980} garbage");
    let (findings, damage, read) = found(&garbage);
    assert_eq!((&findings[0], damage, read), (&Finding::NotALine(edited), Some(edited), 60));
    let forged = text.replace(&format!("{{\"n\":{edited},"), "{\"n\":18446744073709551615,");
    assert_eq!(found(&forged).2, 60, "a forged number hides nothing else");
    std::fs::remove_file(&middle.path).unwrap();
    let verdict = verify(folder.path(), &heads).unwrap();
    assert_eq!(verdict.findings, [Finding::Gap(middle.first, segments[2].first - 1)]);
    std::fs::remove_file(newest(folder.path())).unwrap();
    assert!(verify(folder.path(), &heads).unwrap().findings.contains(&Finding::Cut(61)));
}

#[test]
fn a_whole_chain_that_was_made_anew_differs_from_the_heads() {
    let folder = tempfile::tempdir().unwrap();
    let (_, head) = filled(folder.path(), 10, limits()).append(&event(0));
    std::fs::remove_dir_all(folder.path()).unwrap();
    drop(filled(folder.path(), 30, limits()));
    let verdict = verify(folder.path(), &BTreeMap::from([(11, head)])).unwrap();
    assert_eq!(verdict.findings, [Finding::HeadDiffers(11)]);
}

#[test]
fn a_spool_that_was_cut_below_what_was_sent_goes_on_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = filled(folder.path(), 50, limits());
    spool.confirm(51);
    spool.tick();
    drop(spool);
    for segment in segment::list(folder.path()).unwrap() {
        std::fs::remove_file(segment.path).unwrap();
    }
    let mut spool = Spool::open(folder.path().to_owned(), limits());
    assert!(spool.take_damage().is_some());
    assert_eq!(spool.append(&event(0)).0, 51, "no number is given twice");
}
