//! Thousands of flows at once, and many new ones a second.

use std::time::Duration;

use serde_json::Value;

use super::programs::PYTHON;
use super::{Carrier, start};
use crate::process::{Running, run};
use crate::servers::{START_LIMIT, bind};
use crate::suite::Test;
use crate::world::namespace::ResolvConf;
use crate::world::{CORP_HOST, World};

/// Flows at once where `OPENZTNA_E2E_FLOWS` says nothing: the bar's 10,000 need more descriptors than CI gives.
const FLOWS: &str = "1000";

/// Octets that each flow carries both ways where `OPENZTNA_E2E_FLOW_OCTETS` says nothing; the bar has a MiB.
const OCTETS: &str = "65536";

/// New flows in the second part where `OPENZTNA_E2E_NEW_FLOWS` says nothing; the bar has 1,000 a second for 30 s.
const NEW_FLOWS: &str = "1000";

/// How long it may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test {
            name: "thousands_of_flows_take_little_memory_in_a_private_namespace",
            needs: &["named", "python3"],
            run: || thousands_of_flows_take_little_memory(Carrier::Namespace),
        },
        Test {
            name: "thousands_of_flows_take_little_memory_over_the_stack_in_user_space",
            needs: &["named", "python3"],
            run: || thousands_of_flows_take_little_memory(Carrier::Stack),
        },
    ]
}

fn thousands_of_flows_take_little_memory(carrier: Carrier) {
    let world = World::new(ResolvConf::File);
    bind::corp(&world);
    world.start_once("many-echo", || {
        let mut command = world.corp.command(PYTHON);
        let running = Running::start(command.args(["-c", ECHO, CORP_HOST]), &world.log_path("many-echo"));
        world.corp.wait_tcp(&format!("{CORP_HOST}:7200"), START_LIMIT);
        running
    });
    let (installation, mut connector) = start(&world, carrier, "");
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let mut client = world.client.command(PYTHON);
    client.args(["-c", CLIENT, &connector.id().to_string()]);
    client.arg(setting("OPENZTNA_E2E_FLOWS", FLOWS));
    client.arg(setting("OPENZTNA_E2E_FLOW_OCTETS", OCTETS));
    client.arg(setting("OPENZTNA_E2E_NEW_FLOWS", NEW_FLOWS));
    let figures = run(&mut client, LIMIT).success();
    println!("flows: {figures}");
    let figures: Value = serde_json::from_str(&figures).expect("figures");
    let kib = |name: &str| figures[name].as_f64().unwrap_or(f64::MAX);
    assert_eq!(figures["errors"], 0, "{figures}");
    assert!(kib("open_kib_each") < 40.0, "opened and unused: {figures}");
    assert!(kib("carried_kib_each") < 160.0, "after they have carried: {figures}");
    installation.stop(&mut connector);
}

const ECHO: &str = r#"
import asyncio, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
async def serve(reader, writer):
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()
async def main():
    async with await asyncio.start_server(serve, sys.argv[1], 7200, backlog=4096):
        await asyncio.Future()
asyncio.run(main())
"#;

const CLIENT: &str = r#"
import asyncio, json, resource, sys, time
pid, flows, octets, fresh = (int(word) for word in sys.argv[1:5])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
host = b"host.eng.corp.example.com"
request = b"\x05\x01\x00\x05\x01\x00\x03" + bytes([len(host)]) + host + (7200).to_bytes(2, "big")
errors = 0

def resident():
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1])

async def open_flow():
    reader, writer = await asyncio.open_connection("127.0.0.1", 1080)
    writer.write(request)
    reply = await asyncio.wait_for(reader.readexactly(12), 30)
    assert reply[3] == 0, reply
    return reader, writer

async def carry(flow, count):
    reader, writer = flow
    sent = bytes(range(256)) * (count // 256 + 1)
    async def send():
        for start in range(0, count, 16384):
            writer.write(sent[start:min(count, start + 16384)])
            await writer.drain()
    sending = asyncio.create_task(send())
    assert await asyncio.wait_for(reader.readexactly(count), 120) == sent[:count]
    await sending

async def at_most(limit, jobs):
    global errors
    room = asyncio.Semaphore(limit)
    async def one(job):
        global errors
        async with room:
            try:
                return await job
            except Exception as error:
                errors += 1
                print(repr(error), file=sys.stderr)
    return [done for done in await asyncio.gather(*(one(job) for job in jobs)) if done]

async def once(at):
    await asyncio.sleep(max(0, at - time.monotonic()))
    reader, writer = await open_flow()
    writer.write(b"ping")
    assert await asyncio.wait_for(reader.readexactly(4), 30) == b"ping"
    writer.close()

async def main():
    warm = await at_most(20, [open_flow() for _ in range(20)])
    before = resident()
    opened = await at_most(200, [open_flow() for _ in range(flows)])
    await asyncio.sleep(1)
    idle = resident()
    await at_most(50, [carry(flow, octets) for flow in opened])
    await asyncio.sleep(1)
    carried = resident()
    for _, writer in opened + warm:
        writer.close()
    del opened
    start = time.monotonic()
    await at_most(4000, [once(start + i / 1000) for i in range(fresh)])
    took = time.monotonic() - start
    print(json.dumps({
        "flows": flows, "octets": octets, "errors": errors, "before_kib": before,
        "open_kib_each": round((idle - before) / flows, 1), "carried_kib_each": round((carried - before) / flows, 1),
        "new_flows": fresh, "new_flows_seconds": round(took, 2),
    }))
asyncio.run(main())
"#;
