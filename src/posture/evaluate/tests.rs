//! What was seen, against what is required: every check passed, failed, unknown and out of date.

use std::path::Path;

use platform::posture::Unknown;
use platform::posture::encryption::Volume;
use platform::posture::firewall::{Firewall, Manager};
use platform::posture::software::Process;
use platform::posture::system::System;
use platform::posture::updates::Updates;

use super::*;
use crate::config::Config;
use crate::posture::evidence::Timed;
use crate::posture::{Finding, events};
use crate::status::All;

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + HOUR * 500_000
}

fn seen<T>(value: T) -> Option<Timed<T>> {
    Some(Timed { value, at: now() })
}

fn unknown<T>() -> Option<Timed<Result<T, Unknown>>> {
    seen(Err(Unknown("only root may look".to_owned())))
}

fn system(id: &str, version: Option<&str>) -> System {
    System {
        id: id.to_owned(),
        name: "Debian".to_owned(),
        version: version.map(str::to_owned),
        ..System::default()
    }
}

fn process(name: &str) -> Process {
    Process { name: name.to_owned(), program: None, unit: None }
}

fn volumes(home: Result<bool, Unknown>) -> Vec<Volume> {
    let volume = |folder: &str, is_encrypted| Volume {
        folder: folder.to_owned(),
        device: "dm-0".to_owned(),
        is_encrypted,
    };
    vec![volume("/", Ok(true)), volume("/home", home)]
}

fn updates(missing: &[&str], held: &[&str], lists: Duration) -> Updates {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Updates { missing: names(missing), held: names(held), lists_at: Some(now() - lists) }
}

/// A device with which nothing is wrong.
fn sound() -> Evidence {
    let firewall = Firewall { ipv4: vec!["filter input".to_owned()], tables: 1, ..Firewall::default() };
    let good = |seen: &str| Finding::new(Verdict::Passed, seen);
    Evidence {
        system: seen(Ok(system("debian", Some("12")))),
        firewall: seen(Ok(firewall)),
        volumes: seen(Ok(volumes(Ok(true)))),
        processes: seen(Ok(vec![process("clamd"), process("falcon-sensor")])),
        screen_lock: seen(Ok(true)),
        secure_boot: seen(Ok(true)),
        updates: seen(Ok(updates(&[], &[], HOUR))),
        edr: seen(good("State: Running")),
        custom: seen(good("all well")),
    }
}

/// Everything is required.
const STRICT: &str = "firewall_required = true\nantivirus_required = true\ndisk_encryption_required = true\n\
    required_os_updates = true\nmin_os_version = \"12\"\nrequired_security_software = [\"falcon-sensor\"]\n\
    edr_integration = true\nedr_check_command = \"/bin/true\"\ncustom_assessment_script = \"/bin/true\"";

fn rules(settings: &str, wiki: &str) -> Rules {
    let application = |name: &str, requires: &str| {
        format!(
            "[[application]]\nname = \"{name}\"\nhost = \"{name}.example.com\"\nports = \"tcp/80\"\n{requires}\n"
        )
    };
    let text = format!(
        "[device_assessment]\n{settings}\n[[gateway]]\nname = \"hq\"\n\
         public_key = \"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\"\nendpoint = \"198.51.100.7:51820\"\n\
         address = \"10.77.0.3\"\nallowed_ips = \"10.77.0.0/16\"\nprivate_key_file = \"hq.key\"\ndns = \"10.77.0.53\"\n{}{}",
        application("wiki", wiki),
        application("mail", ""),
    );
    Rules::of(&Config::parse(Path::new("c.toml"), &text).unwrap())
}

fn check(assessment: &Assessment, check: Check) -> &CheckResult {
    assessment.checks.iter().find(|result| result.check == check).unwrap()
}

#[test]
fn a_sound_device_passes_everything() {
    let assessment = evaluate(&sound(), &rules(STRICT, ""), now());
    assert_eq!(assessment.state, DeviceState::Passed);
    assert!(assessment.checks.len() == 10 && assessment.withheld.is_empty() && assessment.denial().is_none());
    assert!(
        assessment.checks.iter().all(|result| result.state == CheckState::Passed && result.reason.is_none())
    );
    assert_eq!(assessment.message(), "The device meets the security requirements");
}

/// Each case spoils one thing of a sound device: the check that notices, its reason, and its fix.
#[test]
fn whatever_is_wrong_is_named_with_its_fix() {
    type Spoil = fn(&mut Evidence);
    let off = |managers: &[Manager]| Firewall { managers: managers.to_vec(), ..Firewall::default() };
    assert_eq!(off(&[Manager::Ufw]).managers.len(), 1);
    let failed = CheckState::Failed;
    let cases: [(Spoil, Check, CheckState, &str, &str); 21] = [
        (
            |e| e.firewall = seen(Ok(Firewall::default())),
            Check::Firewall,
            failed,
            "Firewall is off",
            "sudo apt install ufw && sudo ufw enable",
        ),
        (
            |e| {
                e.firewall =
                    seen(Ok(Firewall { managers: vec![Manager::Ufw], tables: 2, ..Firewall::default() }))
            },
            Check::Firewall,
            failed,
            "Firewall is off",
            "`sudo ufw enable`",
        ),
        (
            |e| e.firewall = seen(Ok(Firewall { managers: vec![Manager::Firewalld], ..Firewall::default() })),
            Check::Firewall,
            failed,
            "Firewall is off",
            "enable --now firewalld",
        ),
        (
            |e| e.firewall = unknown(),
            Check::Firewall,
            CheckState::Unknown,
            "only root may look",
            "IT support",
        ),
        (
            |e| e.processes = seen(Ok(vec![process("falcon"), process("sshd")])),
            Check::Antivirus,
            failed,
            "No antivirus is running",
            "clamav-daemon",
        ),
        (|e| e.processes = unknown(), Check::Antivirus, CheckState::Unknown, "only root", "IT support"),
        (
            |e| e.volumes = seen(Ok(volumes(Ok(false)))),
            Check::DiskEncryption,
            failed,
            "Disk encryption is off",
            "under /home",
        ),
        (
            |e| e.volumes = seen(Ok(volumes(Err(Unknown("zfs".to_owned()))))),
            Check::DiskEncryption,
            CheckState::Unknown,
            "cannot be seen",
            "IT support",
        ),
        (|e| e.volumes = unknown(), Check::DiskEncryption, CheckState::Unknown, "only root", "IT support"),
        (
            |e| e.updates = seen(Ok(updates(&["openssl"], &[], HOUR))),
            Check::OsUpdates,
            failed,
            "A security update is missing",
            "sudo apt update && sudo apt full-upgrade",
        ),
        (
            |e| e.updates = seen(Ok(updates(&["linux", "openssl"], &["linux"], HOUR))),
            Check::OsUpdates,
            failed,
            "2 security updates are missing",
            "sudo apt-mark unhold linux",
        ),
        (
            |e| e.updates = seen(Ok(updates(&[], &[], HOUR * 24 * 8))),
            Check::OsUpdates,
            CheckState::Unknown,
            "more than a week",
            "`sudo apt update`",
        ),
        (
            |e| e.updates = seen(Ok(Updates { lists_at: None, ..updates(&[], &[], HOUR) })),
            Check::OsUpdates,
            CheckState::Unknown,
            "never looked",
            "`sudo apt update`",
        ),
        (|e| e.updates = unknown(), Check::OsUpdates, CheckState::Unknown, "only root", "IT support"),
        (
            |e| e.system = seen(Ok(system("debian", Some("11")))),
            Check::OsVersion,
            failed,
            "Debian is too old: at least version 12",
            "Upgrade this device to Debian 12",
        ),
        (
            |e| e.system = seen(Ok(system("debian", None))),
            Check::OsVersion,
            CheckState::Unknown,
            "does not tell its version",
            "IT support",
        ),
        (|e| e.system = unknown(), Check::OsVersion, CheckState::Unknown, "only root", "IT support"),
        (
            |e| e.processes = seen(Ok(vec![process("clamd")])),
            Check::SecuritySoftware,
            failed,
            "not running: falcon-sensor",
            "Start falcon-sensor",
        ),
        (
            |e| {
                e.edr = seen(
                    Finding::new(Verdict::Failed, "State: Stopped")
                        .because("it is not running")
                        .fix("start it"),
                )
            },
            Check::Edr,
            failed,
            "it is not running",
            "start it",
        ),
        (
            |e| e.custom = seen(Finding::new(Verdict::Failed, "no").because("USB is on").fix("turn it off")),
            Check::Custom,
            failed,
            "USB is on",
            "turn it off",
        ),
        (|e| e.edr = None, Check::Edr, CheckState::Unknown, "not looked at yet", "Re-assess"),
    ];
    for (spoil, which, state, reason, fix) in cases {
        let mut evidence = sound();
        spoil(&mut evidence);
        let assessment = evaluate(&evidence, &rules(STRICT, ""), now());
        let result = check(&assessment, which);
        assert_eq!(result.state, state, "{result:?}");
        assert!(result.reason.as_deref().unwrap().contains(reason), "{result:?}");
        assert!(result.fix.as_deref().unwrap().contains(fix), "{result:?}");
        assert_eq!(assessment.withheld.len(), 2, "unknown counts as failed: {result:?}");
        assert!(assessment.denial().is_some() && assessment.withheld[&0].reason.contains(reason));
    }
}

#[test]
fn what_was_seen_long_ago_counts_no_more() {
    let rules = rules("firewall_required = true\ninterval = 300", "");
    let at = |minutes: u64| evaluate(&sound(), &rules, now() + Duration::from_secs(minutes * 60));
    assert_eq!(at(10).state, DeviceState::Passed);
    let late = at(12);
    assert_eq!((late.state, check(&late, Check::Firewall).state), (DeviceState::Failed, CheckState::Unknown));
    assert!(late.denial().unwrap().message.ends_with(": Firewall: What was seen is out of date"));
    assert_eq!(
        evaluate(&sound(), &rules, now() - HOUR).state,
        DeviceState::Passed,
        "a clock that was set back"
    );
}

#[test]
fn before_the_first_look_nothing_is_let_through_and_nothing_is_claimed() {
    let assessment = evaluate(&Evidence::default(), &rules("firewall_required = true", ""), now());
    assert_eq!((assessment.state, assessment.withheld.len()), (DeviceState::Unknown, 2));
    assert_eq!(assessment.denial().unwrap().message, "Device is being assessed");
}

#[test]
fn checks_of_one_application_leave_the_others_alone() {
    let mut evidence = sound();
    evidence.firewall = seen(Ok(Firewall::default()));
    let assessment = evaluate(&evidence, &rules("", "requires = [\"firewall\", \"disk_encryption\"]"), now());
    assert_eq!(assessment.withheld.keys().copied().collect::<Vec<_>>(), [0]);
    assert_eq!(assessment.withheld[&0].reason, "Firewall is off");
    assert!(assessment.denial().is_none() && assessment.state == DeviceState::Failed);
    assert_eq!(assessment.message(), "Firewall is off: 1 application is blocked");
    assert_eq!(check(&assessment, Check::Firewall).covers, Covers::Applications(vec!["wiki".to_owned()]));
    let both = evaluate(&evidence, &rules("firewall_required = true", "requires = [\"firewall\"]"), now());
    assert_eq!(check(&both, Check::Firewall).covers, Covers::All(All::All));
    assert_eq!(both.message(), "Firewall is off: 2 applications are blocked");
    let denial = both.denial().unwrap();
    assert_eq!(denial.message, "Device does not meet security requirements: Firewall is off");
    assert!(denial.hint.unwrap().contains("ufw enable"));
}

#[test]
fn several_reasons_are_all_said() {
    let mut evidence = sound();
    evidence.firewall = seen(Ok(Firewall::default()));
    evidence.volumes = seen(Ok(volumes(Ok(false))));
    let assessment = evaluate(&evidence, &rules(STRICT, ""), now());
    assert_eq!(assessment.withheld[&1].reason, "Firewall is off; Disk encryption is off");
}

#[test]
fn without_requirements_everything_is_only_shown_and_off_is_off() {
    let nothing = evaluate(&Evidence::default(), &rules("", ""), now());
    assert_eq!((nothing.state, nothing.withheld.len(), nothing.checks.len()), (DeviceState::Passed, 0, 7));
    assert_eq!(nothing.message(), "Nothing is required of this device");
    let off = evaluate(&Evidence::default(), &rules("enabled = false\nfirewall_required = true", ""), now());
    assert_eq!((off.state, off.withheld.len(), off.checks.len()), (DeviceState::Off, 0, 0));
    assert_eq!(Assessment::default().state, DeviceState::Off);
}

#[test]
fn the_report_is_as_the_api_says() {
    let report = evaluate(&sound(), &rules(STRICT, ""), now()).report();
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["checks"][0]["id"], "firewall");
    assert_eq!(json["checks"][0]["covers"], "all");
    assert_eq!(json["state"], "passed");
    assert!(json["assessed_at"].as_str().unwrap().ends_with(".000Z"), "{json}");
    assert_eq!(serde_json::from_value::<DeviceReport>(json).unwrap(), report);
}

#[test]
fn changes_become_events_once() {
    let rules = rules("firewall_required = true", "");
    let (mut evidence, good) = (sound(), evaluate(&sound(), &rules, now()));
    evidence.firewall = seen(Ok(Firewall::default()));
    let bad = evaluate(&evidence, &rules, now());
    let told = |before: &Assessment, now: &Assessment| -> Vec<u16> {
        events(before, now).iter().map(|event| event.kind.id()).collect()
    };
    assert_eq!(told(&good, &bad), [202, 201]);
    assert_eq!(told(&bad, &good), [202, 200]);
    assert_eq!(told(&bad, &bad), [0u16; 0]);
    let start = evaluate(&Evidence::default(), &rules, now());
    assert_eq!(told(&start, &good), [200], "the first look is no change");
    let events = events(&good, &bad);
    assert_eq!(events[0].field(crate::event::Field::Check), Some("firewall"));
    assert!(events[0].field(crate::event::Field::Fix).unwrap().contains("ufw"));
}
