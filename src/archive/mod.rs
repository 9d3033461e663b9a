//! What people do with stored events: find them, have them delivered again, let quarantined ones go.
//!
//! A person says which events (`filter`), sees what would happen (`plan`), and lets it happen: at once for one event, as a
//! job with a rate and a cancel for many (`jobs`). Nothing is delivered from here: the buffer's queue gets the deliveries,
//! and everything that holds for others holds for them.
//!
//! Reading is bounded page by page and happens off the async threads. Deliberately not here: JSON and HTTP (`admin`), what
//! today's rules say of an event (`accept`).

mod filter;
mod jobs;
mod plan;
mod quarantine;

use std::fmt;
use std::sync::Arc;

use crate::buffer::{Buffer, NotStored};
use crate::clock::Clock;
use crate::lane::{Lane, Rules};

pub use filter::{DeliveryState, Filter, state_of, states_of};
pub use jobs::{Job, JobState, Jobs, TooManyJobs};
pub use plan::{Choice, Chosen, Plan, RulesOf, Scope};
pub use quarantine::{Judged, JudgedOne, Verdict};

/// The rules in force, whenever they are asked for.
pub type RulesNow = Arc<dyn Fn() -> Arc<Rules> + Send + Sync>;

/// All that is stored, to be asked. Clones share it.
#[derive(Clone)]
pub struct Archive {
    buffer: Buffer,
    rules: RulesNow,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Archive")
    }
}

impl Archive {
    /// The archive of a buffer, under the rules in force.
    pub fn new(buffer: Buffer, rules: RulesNow, clock: Arc<dyn Clock>) -> Self {
        Self { buffer, rules, clock }
    }

    /// The buffer itself.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Wall time, which people mean.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        (self.rules)()
    }

    /// Reads the disk on a thread where that holds nobody up.
    pub async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, NotStored> + Send + 'static,
    ) -> Result<T, NotStored> {
        let archive = self.clone();
        tokio::task::spawn_blocking(move || work(&archive)).await.unwrap_or(Err(NotStored::Failed))
    }
}

/// The lane of a source, if it is still configured.
fn lane_of<'r>(rules: &'r Rules, source: &str) -> Option<&'r Lane> {
    rules.lanes.iter().find(|lane| &*lane.source.name == source)
}
