//! A browser on the laptop that a test steers: Chromium behind `tests/dashboard/driver.mjs`.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::world::World;

/// The programs of `tests/dashboard`.
pub(crate) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dashboard");

/// What tests with a browser need; the last is what `npm ci` installs in that folder.
pub(crate) const NEEDS: &[&str] = &[
    "chromium",
    "node",
    "curl",
    "named",
    "nft",
    "nginx",
    "openssl",
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dashboard/node_modules/playwright-core/package.json"),
];

/// A browser; it is closed when this is dropped.
pub(crate) struct Browser {
    driver: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    /// Starts it on the laptop.
    #[track_caller]
    pub(crate) fn start(world: &World) -> Self {
        let mut command = world.client.command("node");
        command.arg(format!("{FOLDER}/driver.mjs")).env("HOME", world.folder());
        let mut driver =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a browser's driver");
        let orders = driver.stdin.take();
        let answers = BufReader::new(driver.stdout.take().expect("the driver's answers")).lines();
        Self { driver, orders, answers }
    }

    /// Gives an order and waits until it is done; panics with what the browser says when it cannot be.
    #[track_caller]
    pub(crate) fn order(&mut self, name: &str, arguments: &[&str]) -> Value {
        let mut order = vec![json!(name)];
        order.extend(arguments.iter().map(|argument| match argument.parse::<u32>() {
            Ok(number) => json!(number),
            Err(_) => json!(argument),
        }));
        let orders = self.orders.as_mut().expect("open until dropped");
        writeln!(orders, "{}", Value::from(order)).expect("the driver takes an order");
        let answer = self.answers.next().expect("the driver answers").expect("a line of the driver");
        let answer: Value = serde_json::from_str(&answer).expect("the driver's answer is JSON");
        assert!(answer["error"].is_null(), "{}", answer["error"]);
        answer["value"].clone()
    }

    /// The accessibility checker has nothing to say against the page as it is now.
    #[track_caller]
    pub(crate) fn is_for_everybody(&mut self) {
        let found = self.order("violations", &[]);
        assert_eq!(found, json!([]));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The end of its orders ends it; a browser that hangs is killed.
        self.orders = None;
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
