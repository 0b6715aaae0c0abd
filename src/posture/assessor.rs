//! The assessor: looks at the device when it is time, when something changed, and when asked; tells what follows.

mod triggers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::check::Check;
use super::collect::{Brought, Job, Remembered};
use super::evaluate::{Assessment, evaluate};
use super::evidence::Evidence;
use super::rules::Rules;
use triggers::{Triggers, Why};

/// Wishes that may wait; each is answered by the same look.
const REQUEST_QUEUE: usize = 16;
/// How long the start waits for what is quickly seen, so that a device in order is not blocked for a moment.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// A hold on the assessor; clones lead to the same one. It ends with the last of them.
#[derive(Debug, Clone)]
pub struct Assessor {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    assessments: watch::Receiver<Arc<Assessment>>,
}

#[derive(Debug)]
enum Request {
    /// Look at everything, and answer when that is done on which anything depends.
    Assess(oneshot::Sender<()>),
    /// Look at what is quickly seen, since something changed.
    LookAgain,
    /// Look at what the rules ask for.
    NewRules,
}

/// What the task and those who hold it work on.
#[derive(Debug)]
struct Shared {
    known: Mutex<Known>,
    publisher: watch::Sender<Arc<Assessment>>,
}

#[derive(Default)]
struct Known {
    rules: Arc<Rules>,
    evidence: Evidence,
    remembered: Remembered,
    is_running: bool,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Known").field("is_running", &self.is_running).finish_non_exhaustive()
    }
}

impl Assessor {
    /// Starts it in this runtime, after a first look at what is quickly seen.
    pub async fn start(rules: Rules) -> Self {
        let (publisher, assessments) = watch::channel(Arc::default());
        let known = Known { rules: Arc::new(rules), ..Known::default() };
        let shared = Arc::new(Shared { known: Mutex::new(known), publisher });
        let (requests, queue) = mpsc::channel(REQUEST_QUEUE);
        let mut work = Work::new(Arc::downgrade(&shared), queue);
        if shared.rules().is_enabled {
            work.begin(&shared, &[Job::Firewall, Job::System]);
            let _ = timeout(FIRST_LOOK, work.finish(&shared)).await; // what is late comes later
        }
        shared.publish();
        tokio::spawn(work.run());
        Self { shared, requests, assessments }
    }

    /// One that never looks, for tests of what stands above it.
    #[cfg(test)]
    pub(crate) fn resting() -> Self {
        let (publisher, assessments) = watch::channel(Arc::default());
        let shared = Arc::new(Shared { known: Mutex::default(), publisher });
        Self { shared, requests: mpsc::channel(1).0, assessments }
    }

    /// What follows from what was seen so far.
    #[must_use]
    pub fn latest(&self) -> Arc<Assessment> {
        Arc::clone(&self.assessments.borrow())
    }

    /// Waits until something else follows. Nothing is lost when this is dropped.
    pub async fn changed(&mut self) {
        if self.assessments.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Tells of each assessment that is new.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Assessment>> {
        self.assessments.clone()
    }

    /// Looks at everything, and answers with what follows. May take as long as the slowest check that is required.
    pub async fn assess(&self) -> Arc<Assessment> {
        let (reply, done) = oneshot::channel();
        if self.requests.send(Request::Assess(reply)).await.is_ok() {
            let _ = done.await; // an end of the program shows in what was last known
        }
        self.latest()
    }

    /// Something changed that may matter, such as the network: what is quickly seen is looked at again.
    pub fn look_again(&self) {
        let _ = self.requests.try_send(Request::LookAgain); // a full queue is looked at anyway
    }

    /// Judges by other rules from now on, and answers with what follows. What is new in them is looked at soon.
    pub fn set_rules(&self, rules: Rules) -> Arc<Assessment> {
        self.shared.known().rules = Arc::new(rules);
        self.shared.publish();
        let _ = self.requests.try_send(Request::NewRules); // likewise
        self.latest()
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner) // a panic elsewhere leaves whole entries
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.known().rules)
    }

    /// Judges anew, and tells if something else follows.
    fn publish(&self) {
        // under the lock, so that a later judgement is not overtaken by an earlier one
        let known = self.known();
        let mut assessment = evaluate(&known.evidence, &known.rules, SystemTime::now());
        assessment.is_running = known.is_running;
        self.publisher.send_if_modified(|latest| {
            let is_new = **latest != assessment;
            if is_new {
                *latest = Arc::new(assessment);
            }
            is_new
        });
    }
}

/// The task.
struct Work {
    /// Gone when nobody holds the assessor any more.
    shared: std::sync::Weak<Shared>,
    queue: mpsc::Receiver<Request>,
    jobs: JoinSet<(Job, Brought)>,
    /// Jobs that run, and whether each is to run again after that.
    running: BTreeMap<Job, bool>,
    /// Who waits for the jobs on which anything depends.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Work {
    fn new(shared: std::sync::Weak<Shared>, queue: mpsc::Receiver<Request>) -> Self {
        Self { shared, queue, jobs: JoinSet::new(), running: BTreeMap::new(), waiting: Vec::new() }
    }

    async fn run(mut self) {
        let mut triggers = Triggers::new();
        let mut next = Instant::now(); // what is slow was not looked at yet
        loop {
            let Some(rules) = self.shared.upgrade().map(|shared| shared.rules()) else { return };
            let why = tokio::select! {
                request = self.queue.recv() => match request {
                    Some(Request::Assess(reply)) => {
                        self.waiting.push(reply);
                        Why::Asked
                    }
                    Some(Request::LookAgain) => Why::Changed,
                    Some(Request::NewRules) => Why::Time,
                    None => return,
                },
                Some(done) = self.jobs.join_next() => {
                    self.take(done.ok());
                    continue;
                }
                why = triggers.next(), if rules.is_enabled => why,
                () = tokio::time::sleep_until(next.into()), if rules.is_enabled => Why::Time,
            };
            if why == Why::Time {
                next = Instant::now() + rules.interval;
            }
            let Some(shared) = self.shared.upgrade() else { return };
            self.look(&shared, why);
        }
    }

    fn look(&mut self, shared: &Arc<Shared>, why: Why) {
        let rules = shared.rules();
        let jobs = match (rules.is_enabled, why) {
            (false, _) => Vec::new(),
            (true, Why::Firewall) => vec![Job::Firewall],
            (true, Why::Changed) => vec![Job::Firewall, Job::System],
            (true, Why::Time | Why::Slept) => Job::all(&rules, false),
            (true, Why::Asked) => Job::all(&rules, true),
        };
        self.begin(shared, &jobs);
        self.settle(shared);
    }

    fn begin(&mut self, shared: &Arc<Shared>, jobs: &[Job]) {
        for &job in jobs {
            match self.running.get_mut(&job) {
                Some(again) => *again = true, // it may have looked already
                None => self.spawn(shared, job),
            }
        }
    }

    fn spawn(&mut self, shared: &Arc<Shared>, job: Job) {
        self.running.insert(job, false);
        let known = shared.known();
        let (rules, remembered) = (Arc::clone(&known.rules), known.remembered.clone());
        self.jobs.spawn_blocking(move || (job, job.run(&rules, remembered)));
    }

    /// Takes what a job brought; one that crashed has brought nothing, and what it is about becomes out of date.
    fn take(&mut self, done: Option<(Job, Brought)>) {
        let Some(shared) = self.shared.upgrade() else { return };
        match done {
            Some((job, brought)) => {
                {
                    let mut known = shared.known();
                    let Known { evidence, remembered, .. } = &mut *known;
                    brought.put(evidence, remembered);
                }
                if self.running.remove(&job) == Some(true) {
                    self.spawn(&shared, job);
                }
            }
            None => {
                tracing::error!("a check of this device crashed");
                self.running.clear();
            }
        }
        self.settle(&shared);
    }

    /// Answers those who wait, if nothing that matters is left to do, and tells what follows. The package manager takes
    /// half a minute on a busy device: nobody waits for it where updates are not required.
    fn settle(&mut self, shared: &Shared) {
        let rules = shared.rules();
        let is_awaited = |job: &Job| *job != Job::Updates || rules.is_required(Check::OsUpdates);
        let is_running = self.running.keys().any(is_awaited);
        shared.known().is_running = !self.running.is_empty();
        shared.publish();
        if !is_running {
            for reply in self.waiting.drain(..) {
                let _ = reply.send(()); // who asked may be gone
            }
        }
    }

    /// Waits for the jobs that run.
    async fn finish(&mut self, shared: &Shared) {
        while let Some(done) = self.jobs.join_next().await {
            self.take(done.ok());
        }
        self.settle(shared);
    }
}

#[cfg(test)]
mod tests;
