//! Operations of people on stored events: find, replay, release from quarantine.
//!
//! A person chooses events (`filter`), sees the plan (`plan`), and starts it: at once for one event, as a job with a
//! rate and a cancel for many (`jobs`). Nothing is delivered from here: the deliveries enter the buffer's queue, under
//! the same rules as all others.
//!
//! Reads are bounded page by page and run off the async threads. Deliberately not here: JSON and HTTP (`admin`), the
//! verdict of today's rules (`accept`).

mod filter;
mod jobs;
mod plan;
mod quarantine;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::buffer::{Buffer, NotStored};
use crate::clock::Clock;
use crate::deliver::Destinations;
use crate::rules::{Rules, SourceRules};

pub use filter::{DeliveryState, EventFilter, state_of, states_of};
pub use jobs::{Job, JobState, Jobs, TooManyJobs};
pub use plan::{Chosen, Plan, ReplayChoice, ReplayScope, RulesOf};
pub use quarantine::{JudgedOne, JudgedQuarantine, QuarantineVerdict};

/// A function that returns the rules in force.
pub type RulesNow = Arc<dyn Fn() -> Arc<Rules> + Send + Sync>;

/// A handle to all stored events; clones share it.
#[derive(Clone)]
pub struct Archive {
    buffer: Buffer,
    rules: RulesNow,
    destinations: Arc<ArcSwap<Destinations>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Archive")
    }
}

impl Archive {
    /// Builds the archive of a buffer, under the rules in force.
    pub fn new(
        buffer: Buffer,
        rules: RulesNow,
        destinations: Arc<ArcSwap<Destinations>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { buffer, rules, destinations, clock }
    }

    /// Returns the destinations in force.
    pub fn destinations(&self) -> Arc<Destinations> {
        self.destinations.load_full()
    }

    /// Returns the buffer.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Returns the wall clock, which people's times refer to.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Returns the rules in force.
    pub fn rules(&self) -> Arc<Rules> {
        (self.rules)()
    }

    /// Runs work that reads the disk on a blocking thread.
    pub async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, NotStored> + Send + 'static,
    ) -> Result<T, NotStored> {
        let archive = self.clone();
        tokio::task::spawn_blocking(move || work(&archive)).await.unwrap_or(Err(NotStored::Failed))
    }
}

/// Returns the rules of a source, if it is still configured.
fn lane_of<'r>(rules: &'r Rules, source: &str) -> Option<&'r SourceRules> {
    rules.lanes.iter().find(|lane| &*lane.source.name == source)
}
