//! What the device's security does to applications: they are taken away, with the reason, and given back.

use super::Supervisor;
use crate::event::{Event, Field, Kind};
use crate::posture::{Rules, events};
use crate::session::Input;

impl Supervisor {
    /// Before anything is connected: what is not allowed yet must not work for a moment.
    pub(super) async fn begin_with_device(&mut self) -> anyhow::Result<()> {
        if self.setup.device.denial().is_some() {
            self.say_denial().await?;
        }
        Ok(())
    }

    /// Takes in what follows from the device's security now: connections that lost their right are reset first, then
    /// everybody is told.
    pub(super) async fn judge_device(&mut self) -> anyhow::Result<()> {
        let now = self.assessor.latest();
        let before = std::mem::replace(&mut self.setup.device, now);
        if before.withheld != self.setup.device.withheld {
            self.withhold().await;
        }
        for event in events(&before, &self.setup.device) {
            self.setup.events.emit(event);
        }
        match before.denial() == self.setup.device.denial() {
            true => self.publish().await,
            false => self.say_denial().await?,
        }
        Ok(())
    }

    /// After a reload: the same device by other rules, before the new plan takes effect.
    pub(super) async fn follow_rules(&mut self) -> anyhow::Result<()> {
        self.setup.device = self.assessor.set_rules(Rules::of(&self.setup.config));
        self.say_denial().await
    }

    /// Lets the session know whether anything may be used at all.
    pub(super) async fn say_denial(&mut self) -> anyhow::Result<()> {
        match self.setup.device.denial() {
            Some(denial) => self.handle(Input::Blocked(denial)).await,
            None => self.handle(Input::Unblocked).await,
        }
    }

    async fn withhold(&mut self) {
        let is_broken = self.session.is_broken();
        let withheld = &self.setup.device.withheld;
        let ended = match &mut self.connection {
            Some(connection) => connection.withhold(withheld, is_broken).await,
            None => 0,
        };
        if ended > 0 {
            let message = format!("{ended} connections were reset: {}", self.setup.device.message());
            let event = Event::new(Kind::AccessRevoked, message).with(Field::Count, ended);
            self.setup.events.emit(event.with(Field::Reason, "device"));
        }
        self.say_what_is_protected();
    }
}
