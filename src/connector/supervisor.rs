//! The supervisor: one task that steers. It takes in what happened, asks the session what follows, and does it.

mod device;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use super::browser::{self, Browser};
use super::connection::{Connection, Disturbance, save_addresses};
use super::engine::{EVENT_QUEUE, Event, GatewayState};
use super::publish::Beside;
use super::reload::Reloaded;
use super::{Setup, catalogue, happened, lists, local_api, network, proxies, publish, reload};
use crate::api::{self, Access, Command, CommandError, CommandResult, ControlHandle, ControlSocket};
use crate::dialer::{Dialer, Switch};
use crate::look_up::NameService;
use crate::posture::{Assessor, Rules};
use crate::proxy::{Kind, Proxies, State};
use crate::session::{Action, Fault, Input, Session, Severity};
use crate::siem::{self, Siem};
use crate::status::Status;
use crate::watch::until;

/// Commands of people and programs that may wait.
const COMMAND_QUEUE: usize = 16;
/// A connection that could not be made is tried again after this long,
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// then after twice as long each time, up to this.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// Runs until `end` says why it is to end.
///
/// # Errors
/// When the control socket cannot be made, or what was changed cannot be undone.
pub(super) async fn supervise(
    mut setup: Setup,
    end: impl Future<Output = &'static str>,
) -> anyhow::Result<()> {
    let assessor = Assessor::start(Rules::of(&setup.config)).await;
    setup.device = assessor.latest();
    let (commands, command_queue) = mpsc::channel(COMMAND_QUEUE);
    let (events, event_queue) = mpsc::channel(EVENT_QUEUE);
    let names = setup.config.gateways.iter().map(|gateway| gateway.name.clone());
    let session = Session::new(names);
    let (dialer, switch) = Dialer::new(Arc::new(catalogue::disconnected(&setup.config)));
    let proxies = proxies::start(&setup, dialer).context("failed to start the proxies")?;
    let (browser, browser_task) = Browser::start(&setup, proxies.changes());
    let report = proxies.report();
    let browser_changes = browser.reports();
    let nothing = browser::Report::default();
    let no_ports = api::States::new();
    let siem = start_siem(&setup)?;
    let beside = Beside {
        proxies: &report,
        browser: &nothing,
        ports: &no_ports,
        siem: &siem.status(),
        reload_failure: None,
    };
    let first = publish::status(&setup, &session.view(), None, None, SystemTime::now(), &beside);
    let (publisher, status) = watch::channel(Arc::new(first));
    let socket = ControlSocket::bind(&platform::paths::control_socket(&setup.state_dir))?;
    let (api_settings, settings_now) = watch::channel(Arc::new(local_api::settings(&setup)?));
    let handle = ControlHandle::new(status, commands, settings_now, setup.events.clone(), assessor.clone());
    let server =
        api::Server::start(handle.clone(), proxies.pac_file()).context("failed to start the local API")?;
    let router = api::unix_router(handle);
    let (end_api, api_ended) = oneshot::channel::<()>();
    let api = tokio::spawn(socket.serve(router, async {
        let _ = api_ended.await; // the sender's end is the end
    }));
    let mut supervisor = Supervisor {
        setup,
        session,
        connection: None,
        switch,
        proxy_changes: proxies.changes(),
        proxies,
        browser,
        browser_changes,
        assessor,
        api_settings,
        port_changes: server.states(),
        siem,
        publisher,
        since: SystemTime::now(),
        events,
        event_queue,
        command_queue,
        retry_at: None,
        retry_after: FIRST_RETRY,
        hang_ups: signal(SignalKind::hangup()).context("failed to listen for signals")?,
        reload_failure: None,
    };
    // the end ends whatever is under way: what was dropped half done is its guardian's to undo
    let worked = tokio::select! {
        result = supervisor.work() => result,
        why = end => {
            tracing::info!("{why}: disconnecting");
            Ok(())
        }
    };
    supervisor.browser.dismiss();
    let result = worked.and(supervisor.handle(Input::Stop).await);
    supervisor.wait_for_guardian();
    supervisor.setup.events.emit(happened::stopped());
    supervisor.siem.finish().await;
    let _ = browser_task.await; // a task that crashed has ended, too
    drop((end_api, server));
    let _ = api.await; // it has ended, or had crashed: nothing follows from it now
    result
}

/// What happens from now on goes to the company's SIEM.
fn start_siem(setup: &Setup) -> anyhow::Result<Siem> {
    let settings = siem::Settings::of(&setup.config, &setup.state_dir);
    let siem = Siem::start(setup.state_dir.clone(), setup.events.clone(), settings);
    setup.events.emit(happened::started());
    siem.context("failed to start the thread of the SIEM")
}

struct Supervisor {
    setup: Setup,
    session: Session,
    connection: Option<Connection>,
    /// Connects dialers while there is a connection.
    switch: Switch,
    proxies: Proxies,
    /// Tells when a port of theirs was taken, freed or found taken.
    proxy_changes: watch::Receiver<BTreeMap<Kind, State>>,
    browser: Browser,
    /// Tells when a desktop's settings were changed or taken back.
    browser_changes: watch::Receiver<browser::Report>,
    /// What the local API is to do.
    api_settings: watch::Sender<Arc<api::Settings>>,
    /// Tells when a port of the local API was taken, freed or found taken.
    port_changes: watch::Receiver<api::States>,
    /// Sends what happens to the company's SIEM.
    siem: Siem,
    assessor: Assessor,
    publisher: watch::Sender<Arc<Status>>,
    since: SystemTime,
    events: mpsc::Sender<Event>,
    event_queue: mpsc::Receiver<Event>,
    command_queue: mpsc::Receiver<Command>,
    /// When a connection that could not be made is tried again.
    retry_at: Option<Instant>,
    /// How long after the next failure.
    retry_after: Duration,
    /// SIGHUP: read the configuration again.
    hang_ups: Signal,
    /// Why the file as it is now is not in force.
    reload_failure: Option<String>,
}

impl Supervisor {
    async fn work(&mut self) -> anyhow::Result<()> {
        self.begin_with_device().await?;
        if self.setup.personal.connects_at_start() {
            self.handle(Input::Start).await?;
        }
        loop {
            tokio::select! {
                Some(command) = self.command_queue.recv() => self.handle_command(command).await?,
                Some(event) = self.event_queue.recv() => self.handle_event(event).await?,
                what = disturbed(&mut self.connection) => self.handle_disturbance(what).await?,
                () = self.assessor.changed() => self.judge_device().await?,
                Ok(()) = self.proxy_changes.changed() => self.publish().await,
                Ok(()) = self.browser_changes.changed() => self.publish().await,
                Ok(()) = self.port_changes.changed() => self.publish().await,
                () = self.siem.changed() => self.publish().await,
                () = until(self.retry_at) => self.connect_anew().await?,
                Some(()) = self.hang_ups.recv() => self.reload().await?,
            }
        }
    }

    /// A guardian whose connection was dropped half made is still at work: it holds the journal until it is done.
    fn wait_for_guardian(&self) {
        let journal = platform::paths::journal(&self.setup.state_dir);
        if let Err(error) = crate::guardian::restore(&journal) {
            tracing::error!("{error:#}; hint: run `openztna-client-connector restore`");
        }
    }

    /// Takes in what happened and does what follows. A failure to connect is a state that can be mended, not the end.
    async fn handle(&mut self, input: Input) -> anyhow::Result<()> {
        let before = self.session.view();
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for action in self.session.handle(input) {
                inputs.extend(self.act(action).await?);
            }
        }
        let view = self.session.view();
        if view != before {
            self.since = SystemTime::now();
            self.setup.events.emit(happened::session_changed(&before, &view));
            tracing::info!("{}", view.message);
            if let Some(hint) = &view.hint {
                tracing::info!("hint: {hint}");
            }
        }
        self.publish().await;
        Ok(())
    }

    async fn act(&mut self, action: Action) -> anyhow::Result<Option<Input>> {
        match action {
            Action::BringUp => return Ok(self.bring_up().await),
            Action::TakeDown => {
                self.retry_at = None;
                self.switch.disconnect();
                if let Some(connection) = self.connection.take() {
                    connection.take_down(&self.setup).await?;
                }
                while self.event_queue.try_recv().is_ok() {} // they speak of what is no more
            }
            // what is denied is withheld application by application, so that names resolve and a refusal says why
            Action::BlockProtected | Action::AllowProtected => {
                self.set_blocked(self.session.is_broken()).await;
            }
            Action::Publish => {}
        }
        Ok(None)
    }

    async fn bring_up(&mut self) -> Option<Input> {
        match Connection::bring_up(&self.setup, self.events.clone()).await {
            Ok(connection) => {
                let fault = publish::dns_fault(connection.dns.status());
                self.switch.connect(connection.line());
                self.connection = Some(connection);
                self.say_what_is_protected();
                (self.retry_at, self.retry_after) = (None, FIRST_RETRY);
                fault.map(Input::SystemFault)
            }
            Err(error) => {
                self.retry_at = Some(Instant::now() + self.retry_after);
                self.retry_after = (self.retry_after * 2).min(LAST_RETRY);
                let hint = error.chain().find_map(|cause| cause.downcast_ref::<platform::Error>()?.hint());
                let fault = Fault {
                    what: format!("{error:#}"),
                    hint: hint.map(str::to_owned),
                    severity: Severity::Fatal,
                };
                Some(Input::SystemFault(fault))
            }
        }
    }

    /// Lets dialers know what is protected now.
    fn say_what_is_protected(&self) {
        let config = &self.setup.config;
        let catalogue = match &self.connection {
            Some(connection) => {
                catalogue::of(config, &connection.plan, &connection.pool, &self.setup.device.withheld)
            }
            None => catalogue::disconnected(config),
        };
        self.switch.set_catalogue(Arc::new(catalogue));
    }

    async fn set_blocked(&self, is_blocked: bool) {
        if let Some(connection) = &self.connection {
            connection.set_blocked(is_blocked).await;
        }
    }

    async fn handle_command(&mut self, command: Command) -> anyhow::Result<()> {
        match command {
            Command::Up { reply } => {
                if self.connection.is_none() && self.session.is_up() {
                    self.connect_anew().await?; // it could not be made before
                }
                self.handle(Input::Up).await?;
                let _ = reply.send(self.outcome()); // who asked may be gone
            }
            Command::Down { reply } => {
                self.handle(Input::Down).await?;
                let _ = reply.send(Ok(())); // likewise
            }
            Command::Personal { change, reply } => {
                let outcome = match reload::choose(&self.setup, &change) {
                    Ok(reloaded) => Ok(self.follow(reloaded).await?),
                    Err(error) => Err(CommandError { message: format!("{error:#}"), hint: None }),
                };
                let _ = reply.send(outcome); // likewise
            }
            Command::Flows { reply } => {
                let _ = reply.send(lists::flows(self.connection.as_ref()).await); // likewise
            }
            Command::Names { reply } => {
                let _ = reply.send(lists::names(&self.setup, self.connection.as_ref()).await); // likewise
            }
            Command::Refresh { reply } => {
                self.publish().await;
                let _ = reply.send(()); // likewise
            }
        }
        Ok(())
    }

    fn outcome(&self) -> CommandResult {
        if self.connection.is_some() {
            return Ok(());
        }
        let view = self.session.view();
        Err(CommandError { message: view.message, hint: view.hint })
    }

    async fn handle_event(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Gateway { id, state: state @ GatewayState::Proven } => {
                self.setup.events.emit(happened::gateway(&self.setup.config, id, state));
                self.handle(Input::TunnelProven(id as usize)).await
            }
            Event::Gateway { id, state: state @ GatewayState::Lost } => {
                self.setup.events.emit(happened::gateway(&self.setup.config, id, state));
                self.handle(Input::HandshakeTimeout(id as usize)).await
            }
            Event::Gateway { state: GatewayState::Trying, .. } => Ok(()),
            Event::Unanswered(id) => {
                if let Some(connection) = &self.connection {
                    connection.endpoints.unanswered(id as usize);
                }
                Ok(())
            }
            Event::Mtu(mtu) => {
                if let Some(connection) = &self.connection {
                    connection.set_mtu(mtu);
                }
                Ok(())
            }
            Event::Ended => self.connect_anew().await,
            Event::ForwarderLoop(server) => self.leave_forwarder(server).await,
            Event::AddressesChanged(entries) => {
                if let Some(connection) = &self.connection {
                    save_addresses(&self.setup, connection.pool, entries);
                }
                Ok(())
            }
        }
    }

    async fn handle_disturbance(&mut self, what: Disturbance) -> anyhow::Result<()> {
        let is_blocked = self.session.is_broken();
        let Some(connection) = &mut self.connection else { return Ok(()) };
        match what {
            Disturbance::Dns => {
                if connection.renew_dns().await {
                    self.setup.events.emit(happened::dns_tampered(connection.dns.status()));
                }
            }
            Disturbance::Network(news) => {
                self.assessor.look_again();
                if let Err(error) = connection.follow_network(&self.setup, is_blocked, news).await {
                    tracing::warn!("failed to follow the network: {error:#}");
                }
                self.say_what_is_protected();
            }
        }
        self.judge_dns().await
    }

    async fn leave_forwarder(&mut self, server: std::net::SocketAddr) -> anyhow::Result<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        connection.leave_forwarder(server).await;
        self.judge_dns().await
    }

    async fn judge_dns(&mut self) -> anyhow::Result<()> {
        let Some(connection) = &self.connection else { return Ok(()) };
        match publish::dns_fault(connection.dns.status()) {
            Some(fault) => self.handle(Input::SystemFault(fault)).await,
            None => self.handle(Input::SystemRecovered).await,
        }
    }

    /// Reads the configuration again. One that is wrong changes nothing.
    async fn reload(&mut self) -> anyhow::Result<()> {
        let reloaded = match reload::reload(&self.setup) {
            Ok(reloaded) => reloaded,
            Err(error) => {
                tracing::error!("the configuration is not in force, the former one is: {error:#}");
                self.setup.events.emit(happened::rejected(&error));
                self.reload_failure = Some(format!("{error:#}"));
                self.publish().await;
                return Ok(());
            }
        };
        super::say_what_is_not_effective(&reloaded.setup.config);
        self.reload_failure = None;
        self.setup.events.emit(happened::reloaded());
        self.follow(reloaded).await
    }

    /// Lets another setup take effect.
    async fn follow(&mut self, reloaded: Reloaded) -> anyhow::Result<()> {
        self.setup = reloaded.setup;
        self.follow_rules().await?;
        self.api_settings.send_replace(Arc::new(reloaded.api));
        self.siem.apply(siem::Settings::of(&self.setup.config, &self.setup.state_dir));
        self.proxies.apply(proxies::settings(&self.setup));
        self.browser.follow(&self.setup);
        let gateways = self.setup.config.gateways.iter();
        let places = gateways.map(|gateway| (!gateway.is_retired).then(|| gateway.name.clone())).collect();
        self.session.set_gateways(places);
        match reloaded.needs_new_link {
            Some(reason) if self.connection.is_some() => {
                tracing::info!("the configuration was read again: {reason}, which takes a new connection");
                self.connect_anew().await
            }
            _ => self.replan(reloaded.changed_gateways).await,
        }
    }

    /// Lets the setup of now take effect on the connection that is up.
    async fn replan(&mut self, changed_gateways: Vec<u32>) -> anyhow::Result<()> {
        let is_blocked = self.session.is_broken();
        if let Some(connection) = &mut self.connection {
            match connection.replan(&self.setup, is_blocked, &changed_gateways).await {
                Ok(ended) => tracing::info!(
                    "the configuration was read again: {ended} connections lost their right and were reset"
                ),
                Err(error) => {
                    tracing::error!("{error:#}: connecting anew");
                    return self.connect_anew().await;
                }
            }
        }
        self.say_what_is_protected();
        self.publish().await;
        Ok(())
    }

    /// After a failure to connect, or the engine's own end: whatever is left is taken down, and all is made anew.
    async fn connect_anew(&mut self) -> anyhow::Result<()> {
        tracing::info!("connecting anew");
        self.handle(Input::Down).await?;
        self.handle(Input::Up).await
    }

    async fn publish(&self) {
        self.siem.use_names(self.connection.as_ref().map_or(NameService::System, Connection::name_service));
        let snapshot = match &self.connection {
            Some(connection) => connection.snapshot().await,
            None => None,
        };
        let beside = Beside {
            proxies: &self.proxies.report(),
            browser: &self.browser_changes.borrow().clone(),
            ports: &self.port_changes.borrow().clone(),
            siem: &self.siem.status(),
            reload_failure: self.reload_failure.as_deref(),
        };
        let status = publish::status(
            &self.setup,
            &self.session.view(),
            self.connection.as_ref(),
            snapshot.as_ref(),
            self.since,
            &beside,
        );
        self.publisher.send_replace(Arc::new(status));
    }
}

async fn disturbed(connection: &mut Option<Connection>) -> Disturbance {
    match connection {
        Some(connection) => connection.disturbed().await,
        None => std::future::pending().await,
    }
}

/// Who may steer the connector and use its proxies.
pub(super) fn access(setup: &Setup) -> Access {
    let allowed = match &setup.access {
        network::Access::Everyone => None,
        network::Access::Users(users) => Some(users.iter().copied().collect::<BTreeSet<_>>()),
    };
    // a connector without root is one person's: nobody else steers it unless it is said
    let own = rustix::process::geteuid();
    let allowed = if own.is_root() { allowed } else { Some(allowed.unwrap_or_default()) };
    Access::new(own.as_raw(), allowed)
}
