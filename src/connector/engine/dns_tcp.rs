//! DNS over TCP (RFC 7766): programs that ask the resolver, and questions to servers inside tunnels.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use dns::tcp_frame::{FrameDecoder, frame_length};
use dns::{Client, Outcome, Resolver, Transmit, Transport};
use netstack::Datapath;
use netstack::datapath::TcpEvent;
use netstack::tcp::FlowId;

use super::wall;

/// Bytes of answers that may wait for a program that does not read (RFC 7766, section 6.2.1.1: answers may be many).
const MOST_WAITING: usize = 256 * 1024;

/// All connections.
#[derive(Default)]
pub(super) struct DnsTcp {
    programs: BTreeMap<FlowId, Program>,
    by_number: BTreeMap<u32, FlowId>,
    questions: BTreeMap<FlowId, Question>,
    next_number: u32,
}

/// A program that asks us.
struct Program {
    number: u32,
    local: SocketAddr,
    remote: SocketAddr,
    decoder: FrameDecoder,
    waiting: Vec<u8>,
    /// It will send no more; closed once its answers are written.
    is_finished: bool,
    unanswered: usize,
}

/// A question of ours to a server.
struct Question {
    query: u64,
    server: SocketAddr,
    payload: Vec<u8>,
    decoder: FrameDecoder,
}

impl DnsTcp {
    /// Opens a connection for one question; false when that cannot be done.
    pub(super) fn ask(
        &mut self,
        datapath: &mut Datapath,
        gateway: u32,
        transmit: &Transmit,
        now: Instant,
    ) -> bool {
        let Some(length) = frame_length(&transmit.payload) else { return false };
        let Some(flow) = datapath.connect_tcp(gateway, transmit.server, now) else { return false };
        let payload = [&length, transmit.payload.as_slice()].concat();
        let question = Question {
            query: transmit.query,
            server: transmit.server,
            payload,
            decoder: FrameDecoder::new(),
        };
        self.questions.insert(flow, question);
        true
    }

    /// Writes an answer to the program of that number, if it is still there.
    pub(super) fn answer(&mut self, datapath: &mut Datapath, number: u32, answer: &[u8], now: Instant) {
        let Some(flow) = self.by_number.get(&number).copied() else { return };
        let (Some(program), Some(length)) = (self.programs.get_mut(&flow), frame_length(answer)) else {
            return;
        };
        program.unanswered = program.unanswered.saturating_sub(1);
        if program.waiting.len() + answer.len() > MOST_WAITING {
            datapath.abort_tcp(flow, now);
            return self.forget(flow);
        }
        program.waiting.extend_from_slice(&length);
        program.waiting.extend_from_slice(answer);
        self.write(datapath, flow, now);
    }

    /// Takes note of what happened on a connection.
    pub(super) fn handle_event(
        &mut self,
        datapath: &mut Datapath,
        resolver: &mut Resolver,
        event: TcpEvent,
        now: Instant,
    ) {
        match event {
            TcpEvent::Accepted { flow, local, remote } => self.accept(flow, local, remote),
            TcpEvent::Connected(flow) => self.send_question(datapath, flow, now),
            TcpEvent::Readable(flow) => self.read(datapath, resolver, flow, now),
            TcpEvent::Writable(flow) => self.write(datapath, flow, now),
            TcpEvent::Finished(flow) => self.finish(datapath, resolver, flow, now),
            TcpEvent::Ended(flow) => {
                if let Some(question) = self.questions.remove(&flow) {
                    resolver.handle_upstream_failure(question.query, question.server, now);
                }
                self.forget(flow);
            }
        }
    }

    fn accept(&mut self, flow: FlowId, local: SocketAddr, remote: SocketAddr) {
        self.next_number = self.next_number.wrapping_add(1);
        let number = self.next_number;
        self.by_number.insert(number, flow);
        let (decoder, waiting) = (FrameDecoder::new(), Vec::new());
        let program = Program { number, local, remote, decoder, waiting, is_finished: false, unanswered: 0 };
        self.programs.insert(flow, program);
    }

    fn send_question(&mut self, datapath: &mut Datapath, flow: FlowId, now: Instant) {
        let Some(question) = self.questions.get(&flow) else { return };
        // the buffer of a new connection holds more than one message
        datapath.send_tcp(flow, &question.payload, now);
    }

    fn read(&mut self, datapath: &mut Datapath, resolver: &mut Resolver, flow: FlowId, now: Instant) {
        let mut buffer = [0; 4096];
        loop {
            let length = datapath.recv_tcp(flow, &mut buffer);
            if length == 0 {
                return;
            }
            if self.questions.contains_key(&flow) {
                self.read_answer(datapath, resolver, flow, &buffer[..length], now);
            } else {
                self.read_queries(datapath, resolver, flow, &buffer[..length], now);
            }
        }
    }

    fn read_answer(
        &mut self,
        datapath: &mut Datapath,
        resolver: &mut Resolver,
        flow: FlowId,
        bytes: &[u8],
        now: Instant,
    ) {
        let Some(question) = self.questions.get_mut(&flow) else { return };
        let mut bytes = bytes;
        while !bytes.is_empty() {
            bytes = &bytes[question.decoder.push(bytes)..];
            if let Some(message) = question.decoder.next_message() {
                resolver.handle_response(question.query, question.server, &message, now, wall());
                self.questions.remove(&flow);
                return datapath.close_tcp(flow, now);
            }
        }
    }

    fn read_queries(
        &mut self,
        datapath: &mut Datapath,
        resolver: &mut Resolver,
        flow: FlowId,
        bytes: &[u8],
        now: Instant,
    ) {
        let mut bytes = bytes;
        let mut answer = Vec::new();
        while !bytes.is_empty() {
            let Some(program) = self.programs.get_mut(&flow) else { return };
            bytes = &bytes[program.decoder.push(bytes)..];
            while let Some(program) = self.programs.get_mut(&flow) {
                let Some(message) = program.decoder.next_message() else { break };
                program.unanswered += 1;
                let (source, local, connection) = (program.remote, program.local, program.number);
                let client = Client { source, local, transport: Transport::Tcp, connection };
                match resolver.handle_query(client, &message, now, &mut answer) {
                    Outcome::Answer => self.answer(datapath, connection, &answer, now),
                    Outcome::Pending => {}
                    Outcome::Drop(_) => {
                        datapath.abort_tcp(flow, now);
                        self.forget(flow);
                    }
                }
            }
        }
    }

    fn write(&mut self, datapath: &mut Datapath, flow: FlowId, now: Instant) {
        let Some(program) = self.programs.get_mut(&flow) else { return };
        let taken = datapath.send_tcp(flow, &program.waiting, now);
        program.waiting.drain(..taken);
        if program.is_finished && program.waiting.is_empty() && program.unanswered == 0 {
            datapath.close_tcp(flow, now);
        }
    }

    /// The peer sends no more: a program still gets its answers, a server has none left.
    fn finish(&mut self, datapath: &mut Datapath, resolver: &mut Resolver, flow: FlowId, now: Instant) {
        if let Some(question) = self.questions.remove(&flow) {
            resolver.handle_upstream_failure(question.query, question.server, now);
            return datapath.close_tcp(flow, now);
        }
        if let Some(program) = self.programs.get_mut(&flow) {
            program.is_finished = true;
            return self.write(datapath, flow, now);
        }
        datapath.close_tcp(flow, now);
    }

    fn forget(&mut self, flow: FlowId) {
        if let Some(program) = self.programs.remove(&flow) {
            self.by_number.remove(&program.number);
        }
    }
}
