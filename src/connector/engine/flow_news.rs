//! What happens to flows, told with the names of applications, gateways and hosts.

use std::sync::Arc;
use std::time::Instant;

use netstack::conntrack::{FlowEvent, FlowFacts};
use netstack::datapath::Refusal;
use netstack::policy::Policy;

use super::Engine;
use crate::config::Config;

/// News that may wait for the reporter: some seconds of a device that opens a thousand flows a second.
pub const FLOW_NEWS_QUEUE: usize = 4_096;
/// Flows that one list holds.
const MOST_LISTED: usize = 1_000;

/// Names of what the policy numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    applications: Vec<Arc<str>>,
    gateways: Vec<Arc<str>>,
    /// The first application of each grant.
    grants: Vec<Option<u32>>,
}

impl Names {
    /// The names of a configuration, for the policy that was made of it.
    #[must_use]
    pub fn of(config: &Config, policy: &Policy) -> Self {
        let first = |grant: &netstack::policy::Grant| grant.applications.first().map(|first| first.id);
        Self {
            applications: config
                .applications
                .iter()
                .map(|application| application.name.as_str().into())
                .collect(),
            gateways: config.gateways.iter().map(|gateway| gateway.name.as_str().into()).collect(),
            grants: policy.grants.iter().map(first).collect(),
        }
    }

    fn application(&self, id: u32) -> Option<Arc<str>> {
        self.applications.get(id as usize).cloned()
    }

    fn under(&self, grant: u32) -> Option<Arc<str>> {
        self.application((*self.grants.get(grant as usize)?)?)
    }
}

/// A flow with its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFlow {
    /// Ends, times, bytes.
    pub facts: FlowFacts,
    /// The application that allows it.
    pub application: Option<Arc<str>>,
    /// The gateway that carries it.
    pub gateway: Option<Arc<str>>,
    /// The name that was asked for; none for applications that are address ranges.
    pub host: Option<Arc<str>>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowNews {
    /// A flow began.
    Began(NamedFlow),
    /// A flow ended, for this reason.
    Ended(NamedFlow, &'static str),
    /// Something was refused.
    Refused {
        /// What, and why.
        refusal: Refusal,
        /// The first application of the grant that says no.
        application: Option<Arc<str>>,
        /// The name that was asked for.
        host: Option<Arc<str>>,
        /// How many refusals are told of with this one: the same again, or more than are told one by one.
        left_out: u64,
    },
    /// So many beginnings and ends are not told, since nobody took them in time.
    LeftOut(u64),
}

/// Open flows.
#[derive(Debug, Clone)]
pub struct FlowList {
    /// When it was made.
    pub at: Instant,
    /// The first thousand.
    pub flows: Vec<NamedFlow>,
    /// How many there are.
    pub total: usize,
}

impl Engine {
    /// Hands on what happened to flows. One that finds no room is counted; no packet waits.
    pub(super) fn tell_flows(&mut self) {
        while let Some(event) = self.datapath.poll_flow_event() {
            let news = match event {
                FlowEvent::Began(facts) => FlowNews::Began(self.named(facts)),
                FlowEvent::Ended(facts, why) => FlowNews::Ended(self.named(facts), why.code()),
            };
            self.hand_on(news);
        }
        while let Some((refusal, left_out)) = self.datapath.poll_refusal() {
            let (application, host) = (self.names.under(refusal.grant), self.host(refusal.destination));
            self.hand_on(FlowNews::Refused { refusal, application, host, left_out });
        }
    }

    /// The end of all flows, for a reason of our own.
    pub(super) fn tell_last_flows(&mut self, why: &'static str) {
        self.tell_flows();
        let (flows, _) = self.datapath.flows(usize::MAX);
        for facts in flows {
            let flow = self.named(facts);
            self.hand_on(FlowNews::Ended(flow, why));
        }
    }

    pub(super) fn list_flows(&self, now: Instant) -> FlowList {
        let (flows, total) = self.datapath.flows(MOST_LISTED);
        FlowList { at: now, flows: flows.into_iter().map(|facts| self.named(facts)).collect(), total }
    }

    fn hand_on(&mut self, news: FlowNews) {
        self.untold_flows += self.datapath.take_left_out_flow_events();
        if self.untold_flows > 0 && self.flow_news.try_send(FlowNews::LeftOut(self.untold_flows)).is_ok() {
            self.untold_flows = 0;
        }
        self.untold_flows += u64::from(self.flow_news.try_send(news).is_err());
    }

    fn named(&self, facts: FlowFacts) -> NamedFlow {
        NamedFlow {
            application: self.names.application(facts.application),
            gateway: self.names.gateways.get(facts.gateway as usize).cloned(),
            host: self.host(facts.destination.ip()),
            facts,
        }
    }

    fn host(&self, virtual_address: std::net::IpAddr) -> Option<Arc<str>> {
        Some(Arc::clone(&self.resolver.pool().get(virtual_address)?.name))
    }
}
