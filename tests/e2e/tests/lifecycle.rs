//! Start and stop: keys, the single instance, `down` and `up`, what is left at the end.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::connector::{
    BY_ADDRESS, BY_NAME, CONNECT_LIMIT, Installation, STOP_LIMIT, Settings, eventually_fetch,
};
use crate::servers::{bind, web};
use crate::snapshot::{Snapshot, assert_restored};
use crate::suite::Test;
use crate::world::namespace::ResolvConf;
use crate::world::{CORP_WEB, SHORT, World};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "a_graceful_stop_leaves_nothing_behind",
            needs: &["curl", "named", "nginx", "openssl"],
            run: a_graceful_stop_leaves_nothing_behind,
        },
        Test {
            name: "down_leaves_the_system_alone_and_up_connects_again",
            needs: &["curl", "named", "nginx", "openssl"],
            run: down_leaves_the_system_alone_and_up_connects_again,
        },
        Test { name: "a_second_instance_is_refused", needs: &[], run: a_second_instance_is_refused },
        Test {
            name: "a_key_is_made_at_the_first_start_and_shown",
            needs: &["curl", "nginx", "openssl"],
            run: a_key_is_made_at_the_first_start_and_shown,
        },
        Test {
            name: "status_tells_what_was_proven_and_changed",
            needs: &["curl", "named", "nginx", "openssl"],
            run: status_tells_what_was_proven_and_changed,
        },
        Test {
            name: "without_a_running_service_the_commands_say_so",
            needs: &[],
            run: without_a_running_service_the_commands_say_so,
        },
        Test {
            name: "a_laptop_without_ipv6_is_no_obstacle",
            needs: &["curl", "named", "nginx", "openssl"],
            run: a_laptop_without_ipv6_is_no_obstacle,
        },
        Test {
            name: "a_wrong_configuration_is_explained",
            needs: &[],
            run: a_wrong_configuration_is_explained,
        },
    ]
}

fn a_graceful_stop_leaves_nothing_behind() {
    for resolv_conf in [ResolvConf::File, ResolvConf::Symlink, ResolvConf::BindMount] {
        for signal in ["TERM", "INT"] {
            let world = World::new(resolv_conf);
            bind::corp(&world);
            web::corp(&world);
            let before = Snapshot::take(&world);
            let installation =
                Installation::new(&world, &Settings::new(&world, &[BY_NAME, BY_ADDRESS].concat()));
            let mut connector = installation.start();
            eventually_fetch(&world, "http://wiki.corp.example.com/");
            assert!(
                Snapshot::take(&world).differences(&before).is_some(),
                "a connected system looks different"
            );
            connector.signal(signal);
            let status = connector.wait(STOP_LIMIT);
            assert!(status.success(), "{resolv_conf:?} {signal}: {status}");
            assert_restored(&world, &before, STOP_LIMIT);
        }
    }
}

fn down_leaves_the_system_alone_and_up_connects_again() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    bind::public(&world);
    web::corp(&world);
    web::public(&world);
    let installation = Installation::new(&world, &Settings::new(&world, BY_NAME));
    let mut connector = installation.start();
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    let down = installation.run(&["down"]);
    assert_eq!(down.code, 0, "{}{}", down.stdout, down.stderr);
    let status = installation.wait_for_state(&mut connector, "disconnected", SHORT);
    assert_eq!(status["colour"], "gray", "{status:#}");
    eventually_fetch(&world, "http://public.example.net/");
    let refused = world.on_client("curl", &["-sS", "-m", "5", "http://wiki.corp.example.com/"]);
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    let up = installation.run(&["up"]);
    assert_eq!(up.code, 0, "{}{}", up.stdout, up.stderr);
    installation.wait_for_state(&mut connector, "connected", CONNECT_LIMIT);
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    installation.stop(&mut connector);
}

fn a_second_instance_is_refused() {
    let world = World::new(ResolvConf::File);
    let installation = Installation::new(&world, &Settings::new(&world, BY_ADDRESS));
    let mut connector = installation.start();
    let config = installation.config_path().display().to_string();
    let during = Snapshot::take(&world);
    let second = installation.run(&["run", "--config", &config]);
    assert_eq!(second.code, 6, "the documented exit code\n{}{}", second.stdout, second.stderr);
    assert!(second.stderr.contains("hint:"), "{}", second.stderr);
    assert!(
        second.stderr.contains(&connector.id().to_string()),
        "it names the other process: {}",
        second.stderr
    );
    assert!(Snapshot::take(&world).differences(&during).is_none(), "the first is not disturbed");
    assert!(installation.status().is_some(), "the first still answers");
    installation.stop(&mut connector);
}

fn a_key_is_made_at_the_first_start_and_shown() {
    let world = World::new(ResolvConf::File);
    web::corp(&world);
    let installation = Installation::new(&world, &Settings::new(&world, BY_ADDRESS));
    let key_file = installation.folder().join("hq.key");
    fs::remove_file(&key_file).expect("the key file of the installation");
    let mut connector = installation.launch();
    let status =
        installation.wait_for_status(&mut connector, "status shows our public key", SHORT, |status| {
            status["gateways"][0]["public_key"].as_str().is_some_and(|key| key.len() == 44)
        });
    let mode = fs::metadata(&key_file).expect("a key file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let text = fs::read_to_string(&key_file).expect("a key file");
    assert_eq!(text.trim().len(), 44, "base64 as `wg genkey` prints it");
    assert_ne!(status["state"], "connected", "the gateway does not know the key yet");
    world.admit(status["gateways"][0]["public_key"].as_str().unwrap_or_default());
    eventually_fetch(&world, &format!("http://{CORP_WEB}/"));
    installation.stop(&mut connector);
}

fn status_tells_what_was_proven_and_changed() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    web::corp(&world);
    let installation = Installation::new(&world, &Settings::new(&world, BY_NAME));
    let mut connector = installation.start();
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    let status = installation.wait_for_status(&mut connector, "the flow is in the status", SHORT, |status| {
        status["gateways"][0]["bytes_received"].as_u64().is_some_and(|bytes| bytes > 0)
    });
    assert_eq!(status["colour"], "green", "{status:#}");
    let gateway = &status["gateways"][0];
    assert_eq!(gateway["public_key"], world.client_keys.public.as_str());
    assert!(gateway["last_proven_at"].is_string() && gateway["handshake_age_s"].is_number(), "{gateway:#}");
    let changes = status["system_changes"].as_array().expect("changes in the status");
    assert!(changes.iter().any(|change| change.to_string().contains("resolv.conf")), "{status:#}");
    let text = installation.run(&["status"]).success();
    assert!(text.contains("hq") && text.contains("wiki") && !text.contains('\u{1b}'), "{text}");
    // Names and addresses of the company do not belong in a log above DEBUG.
    let log: String =
        connector.log().lines().filter(|line| !line.contains("DEBUG") && !line.contains("TRACE")).collect();
    assert!(!log.contains("wiki.corp.example.com") && !log.contains("10.77.0.80"), "{log}");
    assert!(!connector.log().contains(&world.client_keys.private), "a private key in the log");
    installation.stop(&mut connector);
}

fn without_a_running_service_the_commands_say_so() {
    let world = World::new(ResolvConf::File);
    let before = Snapshot::take(&world);
    let installation = Installation::new(&world, &Settings::new(&world, BY_ADDRESS));
    for arguments in [&["status"][..], &["status", "--json"], &["up"], &["down"]] {
        let finished = installation.run(arguments);
        assert_eq!(finished.code, 4, "{arguments:?}: {}{}", finished.stdout, finished.stderr);
        assert!(finished.stderr.contains("hint:"), "{arguments:?}: {}", finished.stderr);
    }
    let restored = installation.run(&["restore"]);
    assert_eq!(restored.code, 0, "nothing to restore is no error: {}", restored.stderr);
    let config = installation.config_path().display().to_string();
    for arguments in
        [&["config", "validate", "--config", &config][..], &["--validate-config", "--config", &config]]
    {
        let valid = installation.run(arguments);
        assert_eq!(valid.code, 0, "{arguments:?}: {}{}", valid.stdout, valid.stderr);
    }
    assert!(Snapshot::take(&world).differences(&before).is_none());
}

fn a_laptop_without_ipv6_is_no_obstacle() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    web::corp(&world);
    let script = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6";
    world.on_client("sh", &["-c", script]).success();
    let before = Snapshot::take(&world);
    let installation = Installation::new(&world, &Settings::new(&world, &[BY_NAME, BY_ADDRESS].concat()));
    let mut connector = installation.start();
    eventually_fetch(&world, "http://wiki.corp.example.com/");
    eventually_fetch(&world, "http://h000.eng.corp.example.com/");
    installation.stop(&mut connector);
    assert_restored(&world, &before, STOP_LIMIT);
}

fn a_wrong_configuration_is_explained() {
    let world = World::new(ResolvConf::File);
    let before = Snapshot::take(&world);
    let mut settings = Settings::new(&world, BY_ADDRESS);
    settings.before = "[tunneling]\nallowed_user = [\"nobody\"]\n".to_owned();
    let installation = Installation::new(&world, &settings);
    let config = installation.config_path().display().to_string();
    for arguments in [&["run", "--config", &config][..], &["config", "validate", "--config", &config]] {
        let finished = installation.run(arguments);
        assert_eq!(finished.code, 3, "{arguments:?}: {}{}", finished.stdout, finished.stderr);
        let text = format!("{}{}", finished.stdout, finished.stderr);
        assert!(text.contains("allowed_users") && text.contains("client-connector.toml:4"), "{text}");
    }
    assert!(Snapshot::take(&world).differences(&before).is_none());
}
