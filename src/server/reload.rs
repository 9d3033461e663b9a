//! New rules for a running gateway: all of them or none.
//!
//! Rules, destinations, limits, the admin token and certificates are replaced; requests and attempts in flight finish
//! with the old ones. Settings that a running process cannot change are named, and left until a restart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{ADMIN, PageListener, ProcessParams, Server, Setup, reload_certificates};
use crate::admin::Backlog;
use crate::buffer::BufferParams;
use crate::ingress::ListenerParams;

/// The result of a reload.
#[derive(Debug)]
pub struct Applied {
    /// The settings that differ from the file until a restart, by their keys in the file.
    pub needs_restart: Vec<String>,
    /// Deliveries that wait for destinations that are no longer configured.
    pub backlogs: Vec<Backlog>,
}

/// The reason why new rules are not in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotApplied {
    /// The gateway is stopping.
    Stopping,
    /// The buffer cannot take new destinations.
    Buffer,
}

/// The settings that cannot change while the process runs, kept to report differences.
#[derive(Clone, Debug)]
pub(super) struct Fixed {
    pub(super) process: ProcessParams,
    listeners: Vec<ListenerParams>,
    pages: BTreeMap<Arc<str>, PageListener>,
    buffer: BufferParams,
}

impl Fixed {
    pub(super) fn of(setup: &Setup) -> Self {
        Self {
            process: setup.process.clone(),
            listeners: setup.listeners.clone(),
            pages: setup.pages.clone(),
            buffer: setup.buffer.clone(),
        }
    }

    /// Returns the keys of settings that differ in a new file.
    fn changes_of(&self, new: &Self) -> Vec<String> {
        // Destructured, so that a new setting has to be named here.
        let ProcessParams { threads, shutdown_grace, data_dir, tracing } = &new.process;
        let BufferParams { dir: _in_the_data_dir, bytes_max, fsync, quarantine_keep } = &new.buffer;
        let keep = "defaults.destination.dead_letter.keep, for the quarantine";
        let settings = [
            ("server.threads", self.process.threads != *threads),
            ("server.shutdown_grace", self.process.shutdown_grace != *shutdown_grace),
            ("server.data_dir", self.process.data_dir != *data_dir),
            ("server.tracing", self.process.tracing != *tracing),
            ("buffer.max_size", self.buffer.bytes_max != *bytes_max),
            ("buffer.fsync", self.buffer.fsync != *fsync),
            (keep, self.buffer.quarantine_keep != *quarantine_keep),
        ];
        let settings = settings.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned());
        let listeners = |fixed: &Self| -> BTreeMap<Arc<str>, ListenerParams> {
            fixed.listeners.iter().map(|listener| (Arc::clone(&listener.name), listener.clone())).collect()
        };
        let (old_listeners, new_listeners) = (listeners(self), listeners(new));
        let names = old_listeners.keys().chain(new_listeners.keys()).chain(self.pages.keys()).chain(new.pages.keys());
        let mut names: Vec<&Arc<str>> = names
            .filter(|&name| {
                old_listeners.get(name) != new_listeners.get(name) || self.pages.get(name) != new.pages.get(name)
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        let named =
            |name: &Arc<str>| if &**name == ADMIN { "admin.listen".to_owned() } else { format!("listeners.{name}") };
        settings.chain(names.into_iter().map(named)).collect()
    }
}

impl Server {
    /// Puts new rules in force: all of them, or none.
    pub async fn reload(&self, setup: Setup) -> Result<Applied, NotApplied> {
        if self.shared.draining.load(Ordering::Relaxed) {
            return Err(NotApplied::Stopping);
        }
        let needs_restart = self.fixed.changes_of(&Fixed::of(&setup));
        let mut names: Vec<Arc<str>> = setup.live.destinations.keys().cloned().collect();
        names.sort_unstable();
        if self.shared.buffer.register(names).await.is_err() {
            self.refuse_reload();
            return Err(NotApplied::Buffer);
        }
        // Nothing below waits, so that a caller that drops this future drops all of the reload or nothing.
        self.destinations.store(Arc::new(setup.live.destinations));
        self.destinations_changed.notify_one();
        self.shared.capture.set(setup.live.capture);
        let mut rules = setup.live.rules;
        rules.take_over(&self.shared.rules.load());
        self.shared.rules.store(Arc::new(rules));
        self.shared.rules_changed.notify_one();
        self.panel.ask_for(setup.admin_token);
        reload_certificates(&self.certificates, &self.shared.telemetry);
        self.report(&setup.live.secrets);
        self.shared.telemetry.reload(true, self.shared.clock.now());
        Ok(Applied { needs_restart, backlogs: self.panel.backlogs() })
    }

    /// Records that a reload was refused; the old rules stay in force.
    pub fn refuse_reload(&self) {
        self.shared.telemetry.reload(false, self.shared.clock.now());
    }
}
