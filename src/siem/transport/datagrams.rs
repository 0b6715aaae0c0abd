//! Syslog over UDP (RFC 5426): a datagram each, and nobody says whether it arrived.

use tokio::net::UdpSocket;

use crate::siem::format::{Context, Numbered};
use crate::siem::problem::Problem;
use crate::siem::syslog;

pub(in crate::siem) struct Datagrams {
    socket: UdpSocket,
    context: Context,
    hostname: String,
    sent: Option<u64>,
}

impl Datagrams {
    pub(super) fn new(socket: UdpSocket, context: Context) -> Self {
        let hostname = syslog::host_name(&context.hostname);
        Self { socket, context, hostname, sent: None }
    }

    pub(super) async fn send(&mut self, events: &[Numbered]) -> Result<(), Problem> {
        let mut message = String::new();
        for numbered in events {
            message.clear();
            syslog::write_header(&numbered.event, numbered.sequence, &self.hostname, &mut message);
            self.context.write(numbered, &mut message);
            let sent = self.socket.send(message.as_bytes()).await;
            sent.map_err(|error| Problem::new(format!("failed to send datagrams to the SIEM: {error}")))?;
            self.sent = Some(numbered.sequence + 1);
        }
        Ok(())
    }

    /// What was sent: more is never known.
    pub(super) fn confirmed(&self) -> Option<u64> {
        self.sent
    }
}
