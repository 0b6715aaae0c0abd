//! Chromium, told of the proxies by its command line and by the PAC file.

use std::time::Duration;

use super::{Carrier, HTTP, PAC, SOCKS, start};
use crate::process::run;
use crate::servers::{bind, web};
use crate::suite::Test;
use crate::world::World;
use crate::world::namespace::ResolvConf;

/// How long a browser may take from its start to its page on a busy machine.
const BROWSER_LIMIT: Duration = Duration::from_secs(90);

pub(crate) fn tests() -> Vec<Test> {
    vec![Test {
        name: "a_browser_reaches_the_company_by_the_proxies_and_by_the_pac_file",
        needs: &["chromium", "named", "nginx", "openssl"],
        run: a_browser_reaches_the_company_by_the_proxies_and_by_the_pac_file,
    }]
}

fn a_browser_reaches_the_company_by_the_proxies_and_by_the_pac_file() {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    bind::public(&world);
    web::corp(&world);
    web::public(&world);
    let (installation, mut connector) = start(&world, Carrier::Stack, "");
    let pac = format!("--proxy-pac-url={PAC}");
    for option in
        [format!("--proxy-server=socks5://{SOCKS}"), format!("--proxy-server=http://{HTTP}"), pac.clone()]
    {
        let page = browse(&world, &option, "http://wiki.corp.example.com/");
        assert!(page.contains(web::SECRET_PHRASE), "{option}: {page}");
    }
    let page = browse(&world, &pac, "http://public.example.net/");
    assert!(page.contains(web::PUBLIC_PHRASE), "what is not protected goes past the proxies: {page}");
    let page = browse(&world, &format!("--proxy-server=http://{HTTP}"), "http://wiki.corp.example.com:81/");
    assert!(page.contains("<h1>Access denied</h1>"), "a refusal explains itself: {page}");
    installation.stop(&mut connector);
    let asked = bind::public_queries(&world);
    assert!(!asked.contains("corp.example.com"), "a protected name was asked of the internet: {asked}");
}

/// The page as the browser has it in the end.
#[track_caller]
fn browse(world: &World, option: &str, url: &str) -> String {
    let profile = tempfile::tempdir_in(world.folder()).expect("a folder for the browser");
    let mut command = world.client.command("chromium");
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]);
    command.args([
        "--disable-background-networking",
        "--disable-component-update",
        "--virtual-time-budget=10000",
    ]);
    command.arg(format!("--user-data-dir={}", profile.path().display())).args([option, "--dump-dom", url]);
    command.env("HOME", profile.path());
    run(&mut command, BROWSER_LIMIT).success()
}
