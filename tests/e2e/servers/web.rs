//! nginx: the company's web server (HTTP/1.1, HTTP/2 over TLS, large files) and the internet's.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::{Running, run};
use crate::servers::START_LIMIT;
use crate::world::namespace::Namespace;
use crate::world::{CORP_WEB, PUBLIC_WEB, SHORT, World};

/// What every page of the company says: never to be seen outside the tunnel in clear.
pub(crate) const SECRET_PHRASE: &str = "quarterly figures of the company";

/// What the internet's page says.
pub(crate) const PUBLIC_PHRASE: &str = "hello from the internet";

/// Starts the company's server on all addresses, ports 80, 443 (TLS) and 8080.
///
/// A page names the address at which the request arrived: `<phrase> at 10.77.16.1`.
#[track_caller]
pub(crate) fn corp(world: &World) {
    world.start_once("nginx-corp", || {
        let page = format!("{SECRET_PHRASE} at $server_addr for $host over $server_protocol");
        certificate(world.folder());
        let listen = "listen 80; listen [::]:80; listen 8080; listen 443 ssl http2;";
        start(world, &world.corp, "nginx-corp", listen, &page, CORP_WEB)
    });
}

/// Starts the internet's server at `PUBLIC_WEB:80`.
#[track_caller]
pub(crate) fn public(world: &World) {
    world.start_once("nginx-public", || {
        certificate(world.folder());
        start(world, &world.wan, "nginx-public", "listen 80;", PUBLIC_PHRASE, PUBLIC_WEB)
    });
}

/// The certificate that the company's server shows.
pub(crate) fn certificate_path(world: &World) -> String {
    world.folder().join("web.crt").to_string_lossy().into_owned()
}

#[track_caller]
fn start(world: &World, host: &Namespace, name: &str, listen: &str, page: &str, address: &str) -> Running {
    let folder = world.folder();
    let file = folder.join(format!("{name}.conf"));
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{name}-{kind};\n", folder.display()))
        .concat();
    let folder = folder.display();
    let configuration = format!(
        "daemon off; user root; pid {folder}/{name}.pid; error_log stderr;\nevents {{ }}\nhttp {{\naccess_log off;\n\
         {temporary}ssl_certificate {folder}/web.crt; ssl_certificate_key {folder}/web.key;\n\
         server {{ {listen} server_name _;\nlocation / {{ default_type text/plain; return 200 \"{page}\\n\"; }} }} }}\n"
    );
    fs::write(&file, configuration).expect("nginx.conf");
    let mut command = host.command("nginx");
    let running = Running::start(command.arg("-e").arg("stderr").arg("-c").arg(&file), &world.log_path(name));
    host.wait_tcp(&format!("{address}:80"), START_LIMIT);
    running
}

/// Makes a key and a self-signed certificate for the company's names, once per world.
#[track_caller]
fn certificate(folder: &Path) {
    if folder.join("web.crt").exists() {
        return;
    }
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]);
    command.args(["-subj", "/CN=corp.example.com", "-addext"]);
    command.arg("subjectAltName=DNS:*.corp.example.com,DNS:*.eng.corp.example.com");
    command.arg("-keyout").arg(folder.join("web.key")).arg("-out").arg(folder.join("web.crt"));
    run(&mut command, SHORT).success();
}
