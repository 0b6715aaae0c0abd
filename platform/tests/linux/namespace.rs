//! A fresh network namespace per test: it belongs to one thread and is gone with it.

use std::process::Command;

use rustix::thread::UnshareFlags;

/// Turns a skip into a failure, as continuous integration wants it.
const REQUIRE_ROOT: &str = "OPENZTNA_REQUIRE_ROOT_TESTS";

/// Runs `body` on a thread of its own in a fresh network namespace with `lo` up, or says why not.
pub(crate) fn in_namespace(body: impl FnOnce() + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os(REQUIRE_ROOT).is_none(), "root tests are required, and this is not root");
        eprintln!("skipped: needs root");
        return;
    }
    let thread = std::thread::spawn(|| {
        // SAFETY: a network namespace is no resource that other threads of this process share with this one.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }.unwrap();
        ip(&["link", "set", "lo", "up"]);
        body();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// The output of `ip` in the calling thread's namespace.
pub(crate) fn ip(arguments: &[&str]) -> String {
    run("ip", arguments)
}

/// The output of a program in the calling thread's namespace.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
