//! One connection of the load: one event after another, signed as GitHub signs, at an even pace.
//!
//! While the gateway is down, an event reaches no one; it is not answered, so nothing is promised about it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::accounts::Accounts;
use crate::cli::{sample, send};
use crate::clock::{Clock, SystemClock};
use crate::deliver::{Client, Target};
use crate::event::EventId;
use crate::rules::Rules;

/// A sender of events.
pub(super) struct LoadSender {
    pub(super) rules: Arc<Rules>,
    pub(super) ledger: Arc<Accounts>,
    /// The current address of the gateway.
    pub(super) address: watch::Receiver<SocketAddr>,
    /// The time between two events.
    pub(super) pause: Duration,
}

impl LoadSender {
    /// Sends events until it is stopped, or enough were made.
    pub(super) async fn run(self) {
        let client = Client::new();
        let mut pace = tokio::time::interval(self.pause);
        pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            pace.tick().await;
            let Some((number, body)) = self.ledger.next() else { return };
            if let Some(id) = self.send(&client, body).await {
                self.ledger.answered(id, number);
            }
        }
    }

    /// Sends an event; returns the id under which the gateway accepted it.
    async fn send(&self, client: &Client, body: Bytes) -> Option<EventId> {
        let lane = self.rules.lanes.first()?;
        let target = Target::parse(&format!("http://{}{}", *self.address.borrow(), lane.source.path.as_str()))?;
        let now = SystemClock.now();
        let headers = sample::headers("github", "push", &send::delivery_id(now));
        let signed = send::sign(lane, (lane.source.path.as_str(), headers), body, now, None).ok()?;
        let answer = send::post(client, &target, &signed).await.ok()?;
        let id = answer.headers.get("hookgate-event-id").filter(|_| (200..300).contains(&answer.status))?;
        EventId::parse(id.to_str().ok()?)
    }
}
