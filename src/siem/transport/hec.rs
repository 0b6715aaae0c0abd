//! Splunk's HTTP Event Collector: batches of events, compressed, confirmed where the collector does so.

use std::collections::VecDeque;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{
    CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION,
    RETRY_AFTER,
};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PATIENCE;
use super::answer::{Verdict, confirmations, judge};
use crate::config::{Endpoint, SiemFormat};
use crate::siem::dial::{Dial, authorization, refusal};
use crate::siem::format::{Context, Numbered, write_json_text};
use crate::siem::problem::Problem;
use crate::siem::settings::Proxy;

/// Events of a request.
const BATCH: usize = 256;
/// Requests that may wait for their confirmation.
const MOST_PENDING: usize = 64;
/// How often confirmations are asked for.
const POLL: Duration = Duration::from_secs(1);
/// A request that is not confirmed after so long is sent again: Splunk confirms what is on its disks, in seconds.
const CONFIRMATION: Duration = Duration::from_secs(120);
/// Octets of an answer that are read.
const MOST_ANSWER: usize = 64 << 10;

pub(in crate::siem) struct Hec {
    sender: SendRequest<Full<Bytes>>,
    /// Carries what the sender sends.
    connection: JoinHandle<hyper::Result<()>>,
    context: Context,
    target: Target,
    headers: HeaderMap,
    pending: VecDeque<Pending>,
    asked_at: Option<Instant>,
    /// The number before which everything was taken or confirmed.
    done: Option<u64>,
    /// How many go into one request.
    batch: usize,
    is_proven: bool,
    refused: u64,
}

/// Where requests go.
struct Target {
    /// What a request line names before the path: nothing, but for a proxy.
    prefix: String,
    host: String,
    path: String,
    /// Asked for confirmations.
    ack_path: String,
    proxy: Option<Proxy>,
}

/// A request that was taken and is not confirmed.
struct Pending {
    id: u64,
    until: u64,
    since: Instant,
    is_confirmed: bool,
}

/// An answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Hec {
    pub(super) async fn open(
        dial: &Dial<'_>,
        is_tls: bool,
        endpoint: &Endpoint,
        path: &str,
    ) -> Result<Self, Problem> {
        let line = if is_tls { dial.line(endpoint, true).await? } else { dial.plain(endpoint).await? };
        let broken = |error: hyper::Error| Problem::new(format!("failed to speak HTTP to the SIEM: {error}"));
        let (sender, connection) = http1::handshake(TokioIo::new(line)).await.map_err(broken)?;
        // it ends when the sender is dropped
        let connection = tokio::spawn(connection);
        let proxy = dial.settings.proxy.clone().filter(|_| !is_tls);
        let (stem, _) = path.split_at(path.find("/services/collector").unwrap_or(0));
        let target = Target {
            prefix: proxy.as_ref().map(|_| format!("http://{endpoint}")).unwrap_or_default(),
            host: endpoint.to_string(),
            path: path.to_owned(),
            ack_path: format!("{stem}/services/collector/ack"),
            proxy,
        };
        Ok(Self {
            sender,
            connection,
            context: dial.settings.context.clone(),
            headers: headers(dial, &target)?,
            target,
            pending: VecDeque::new(),
            asked_at: None,
            done: None,
            batch: BATCH,
            is_proven: false,
            refused: 0,
        })
    }

    pub(super) fn room(&self) -> usize {
        if self.pending.len() < MOST_PENDING { BATCH } else { 0 }
    }

    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    pub(super) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    pub(super) async fn send(&mut self, events: &[Numbered]) -> Result<(), Problem> {
        let mut rest = events;
        while !rest.is_empty() {
            let (some, later) = rest.split_at(self.batch.min(rest.len()));
            let answer = self.post(&self.target.path.clone(), compressed(&self.body(some))?, true).await?;
            let retry_after = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            match judge(answer.status, retry_after, &answer.body) {
                Verdict::Taken(id) => self.taken(some, id),
                Verdict::Refused(_) | Verdict::TooLarge(_) if some.len() > 1 => {
                    self.batch = some.len() / 2; // one of them may be at fault
                    continue;
                }
                Verdict::Refused(problem) | Verdict::TooLarge(problem) => {
                    tracing::warn!("an event is left out: {problem}");
                    self.refused += 1;
                    self.taken(some, None);
                }
                Verdict::Failed(problem) => return Err(problem),
            }
            self.batch = (self.batch * 2).min(BATCH);
            rest = later;
        }
        Ok(())
    }

    pub(super) async fn confirmed(&mut self) -> Result<Option<u64>, Problem> {
        let is_due = self.asked_at.is_none_or(|at| at.elapsed() >= POLL);
        if !self.pending.is_empty() && is_due {
            self.asked_at = Some(Instant::now());
            self.ask().await?;
        }
        while let Some(pending) = self.pending.pop_front_if(|pending| pending.is_confirmed) {
            self.done = Some(pending.until);
        }
        if self.pending.front().is_some_and(|pending| pending.since.elapsed() >= CONFIRMATION) {
            return Err(Problem::new("the SIEM took events and never confirmed them")
                .hint("look at its indexers: it says that they are not on its disks"));
        }
        Ok(self.done)
    }

    pub(super) async fn wait(&mut self) -> Result<(), Problem> {
        if !self.pending.is_empty() {
            tokio::time::sleep(POLL).await;
            return Ok(());
        }
        let _ = (&mut self.connection).await; // however it ended
        Err(Problem::quiet())
    }

    /// Notes that a request was taken; one without an id is confirmed when all before it are.
    fn taken(&mut self, events: &[Numbered], id: Option<u64>) {
        self.is_proven = true;
        let Some(last) = events.last() else { return };
        let pending = Pending {
            id: id.unwrap_or_default(),
            until: last.sequence + 1,
            since: Instant::now(),
            is_confirmed: id.is_none(),
        };
        self.pending.push_back(pending);
    }

    async fn ask(&mut self) -> Result<(), Problem> {
        let open = self.pending.iter().filter(|pending| !pending.is_confirmed);
        let ids: Vec<u64> = open.map(|pending| pending.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let body = serde_json::json!({ "acks": ids }).to_string();
        let answer = self.post(&self.target.ack_path.clone(), body.into(), false).await?;
        let confirmed = confirmations(answer.status, &answer.body)?;
        for pending in &mut self.pending {
            // without confirmations, what was taken counts
            pending.is_confirmed |= confirmed.as_ref().is_none_or(|ids| ids.contains(&pending.id));
        }
        Ok(())
    }

    async fn post(&mut self, path: &str, body: Bytes, is_compressed: bool) -> Result<Answer, Problem> {
        let mut request =
            Request::builder().method(Method::POST).uri(format!("{}{path}", self.target.prefix));
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.headers);
            if is_compressed {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        let request = request.body(Full::new(body));
        let request = request.map_err(|error| Problem::new(format!("failed to ask the SIEM: {error}")))?;
        let exchange = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let failed = |error: hyper::Error| failed(&error, self.is_proven);
        let late = |_| Problem::new("the SIEM does not answer");
        let response = timeout(PATIENCE, exchange).await.map_err(late)?.map_err(failed)?;
        let (parts, body) = response.into_parts();
        let proxy = self.target.proxy.as_ref();
        if let Some(problem) = proxy.and_then(|proxy| refusal(parts.status, &parts.headers, proxy)) {
            return Err(problem);
        }
        let body = timeout(PATIENCE, Limited::new(body, MOST_ANSWER).collect()).await;
        let body = match body.map_err(|_| Problem::new("the SIEM does not end its answer"))? {
            Ok(body) => body.to_bytes(),
            // who refuses often hangs up before it has read what it refuses: its status says enough
            Err(_) if !parts.status.is_success() => Bytes::new(),
            Err(error) => return Err(Problem::new(format!("failed to read the SIEM's answer: {error}"))),
        };
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// The events one after the other, each with its time and where it comes from.
    fn body(&self, events: &[Numbered]) -> String {
        let (mut body, mut text) = (String::new(), String::new());
        for numbered in events {
            let at = numbered.event.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            body.push_str(&format!("{{\"time\":{}.{:03},\"host\":", at.as_secs(), at.subsec_millis()));
            write_json_text(&self.context.hostname, &mut body);
            body.push_str(",\"source\":\"openztna-client-connector\",\"sourcetype\":\"openztna:");
            body.push_str(&self.context.format.as_str().to_ascii_lowercase());
            body.push_str("\",\"event\":");
            match self.context.format {
                SiemFormat::Json => self.context.write(numbered, &mut body),
                SiemFormat::Cef | SiemFormat::Leef => {
                    text.clear();
                    self.context.write(numbered, &mut text);
                    write_json_text(&text, &mut body);
                }
            }
            body.push('}');
        }
        body
    }
}

/// What a failure of the connection means.
fn failed(error: &hyper::Error, was_used: bool) -> Problem {
    if was_used && (error.is_canceled() || error.is_closed()) {
        return Problem::quiet(); // it was ended before anything was sent
    }
    let problem = Problem::new(format!("the connection to the SIEM has failed: {error}"));
    if error.is_parse() {
        return problem.hint("something else than HTTP may listen there: check the port, and http or https");
    }
    problem
}

/// What every request carries.
fn headers(dial: &Dial<'_>, target: &Target) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    for (name, value) in &dial.settings.headers {
        let wrong = |_| Problem::new(format!("`siem_http_headers` has a header that none can be: `{name}`"));
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        let mut value = HeaderValue::from_str(value.reveal()).map_err(|error| wrong(error.to_string()))?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    // a name of our own for the row of requests, so that the collector can tell what it confirms
    let channel = uuid::Uuid::now_v7().to_string();
    let own = [
        (HOST, target.host.as_str()),
        (CONTENT_TYPE, "application/json"),
        (HeaderName::from_static("x-splunk-request-channel"), channel.as_str()),
    ];
    for (name, value) in own {
        headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
    }
    let proxy = target.proxy.as_ref().and_then(authorization);
    headers.extend(proxy.map(|value| (PROXY_AUTHORIZATION, value)));
    Ok(headers)
}

fn compressed(body: &str) -> Result<Bytes, Problem> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let octets = encoder.write_all(body.as_bytes()).and_then(|()| encoder.finish());
    octets.map(Bytes::from).map_err(|error| Problem::new(format!("failed to compress events: {error}")))
}
