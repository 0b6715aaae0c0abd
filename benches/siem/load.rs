//! Sends many events with values of a file the whole way to a SIEM, and prints what it took; for benches/siem/run.py.
//!
//! `siem_load CONFIGURATION STATE_FOLDER COUNT VALUES`, where VALUES is a JSON array of texts.
#![allow(clippy::print_stdout, reason = "it tells by printing")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use openztna::config::{Config, Sources};
use openztna::event::{Event, Events, Field, Kind};
use openztna::siem::{Settings, Siem};

/// Events that are handed in at once, and the pause after them: ten thousand a second, many times what a device has, and
/// fewer than find no room in the queue of events on a machine that does other things as well.
const BURST: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(100);
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(600);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, config, state, count, values] = arguments.as_slice() else {
        return Err("siem_load CONFIGURATION STATE_FOLDER COUNT VALUES".into());
    };
    let config = Config::load(&Sources { file: config.into(), ..Sources::default() })?;
    let values: Vec<String> = serde_json::from_slice(&std::fs::read(values)?)?;
    let (state, count): (PathBuf, usize) = (state.into(), count.parse()?);
    let events = Events::default();
    let siem = Siem::start(state.clone(), events.clone(), Settings::of(&config, &state))?;
    let start = Instant::now();
    for n in 0..count {
        events.emit(event(n, &values[n % values.len()]));
        if n % BURST == BURST - 1 {
            std::thread::sleep(PAUSE);
        }
    }
    while siem.status().sent < count as u64 || siem.status().spooled > 0 {
        if start.elapsed() > LIMIT {
            return Err(format!("not all events arrived: {:?}", siem.status()).into());
        }
        std::thread::sleep(PAUSE);
    }
    let (elapsed, status, cpu) = (start.elapsed().as_secs_f64(), siem.status(), cpu()?);
    println!(
        "{}",
        serde_json::json!({ "elapsed": elapsed, "sent": status.sent, "lost": status.lost, "cpu": cpu })
    );
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(siem.finish());
    Ok(())
}

/// An event as a flow makes it, with a value that others chose in each place that others can fill.
fn event(n: usize, value: &str) -> Event {
    Event::new(Kind::AccessRefused, format!("{n} {value}"))
        .with(Field::Application, value)
        .with(Field::DestinationAddress, "198.18.0.5")
        .with(Field::DestinationHost, value)
        .with(Field::DestinationPort, n % 65_536)
        .with(Field::Gateway, "hq")
        .with(Field::Protocol, "tcp")
        .with(Field::Reason, value)
        .with(Field::SourceAddress, "198.18.0.1")
        .with(Field::SourcePort, 40_000)
}

/// Seconds of the processor that the thread of the SIEM has had.
fn cpu() -> Result<f64, Box<dyn Error>> {
    for task in std::fs::read_dir(Path::new("/proc/self/task"))? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.trim() == "siem" {
            let times = std::fs::read_to_string(task.join("schedstat"))?;
            let nanoseconds: f64 = times.split_whitespace().next().unwrap_or_default().parse()?;
            return Ok(nanoseconds / 1e9);
        }
    }
    Err("there is no thread of the SIEM".into())
}
