//! Replays of many events: jobs that go through the store page by page, at a rate, until they are done or cancelled.
//!
//! A job lives in memory: a restart ends it, and the deliveries that it has queued stay queued. At most [`RUNNING_MAX`]
//! run at a time, and the last [`REMEMBERED_MAX`] are remembered.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Archive, Chosen, ReplayChoice};
use crate::buffer::{Command, NotStored, WISHES_MAX};
use crate::clock::Timestamp;

const RUNNING_MAX: usize = 4;
const REMEMBERED_MAX: usize = 100;
/// The time before a closed buffer is asked again, at most [`PATIENCE`] times.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
const PATIENCE: u32 = 120;

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// The job runs.
    Running,
    /// The job has reached the end.
    Done,
    /// A person cancelled the job.
    Cancelled,
    /// The buffer could not be read or written for too long.
    Failed,
}

impl JobState {
    /// Returns the name in the API.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// One replay.
#[derive(Clone, Debug)]
pub struct Job {
    /// The name: `r1`, `r2`, …
    pub id: String,
    /// The state.
    pub state: JobState,
    /// The time of its begin.
    pub started_at: Timestamp,
    /// The time of its end.
    pub ended_at: Option<Timestamp>,
    /// The deliveries a second; `None` for as many as the buffer takes.
    pub rate: Option<f64>,
    /// The number of events with deliveries to make.
    pub events: u64,
    /// The number of deliveries that entered the queue.
    pub deliveries: u64,
    /// The number of deliveries that were left alone.
    pub skipped: u64,
    /// The reason of a failure.
    pub why: Option<&'static str>,
}

/// The error of too many running replays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyJobs;

impl fmt::Display for TooManyJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{RUNNING_MAX} replays run already")
    }
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    made: u64,
    tasks: JoinSet<()>,
}

/// All replays. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Jobs(Arc<Mutex<State>>);

impl Jobs {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists the remembered replays, the newest first.
    pub fn list(&self) -> Vec<Job> {
        self.state().jobs.iter().rev().cloned().collect()
    }

    /// Finds a replay by its name.
    pub fn get(&self, id: &str) -> Option<Job> {
        self.state().jobs.iter().find(|job| job.id == id).cloned()
    }

    /// Cancels a running replay.
    pub fn cancel(&self, id: &str, now: Timestamp) -> Option<Job> {
        let mut state = self.state();
        let job = state.jobs.iter_mut().find(|job| job.id == id)?;
        if job.state == JobState::Running {
            job.state = JobState::Cancelled;
            job.ended_at = Some(now);
        }
        Some(job.clone())
    }

    /// Begins a replay of a choice: `most` deliveries at most.
    pub fn begin(
        &self,
        archive: &Archive,
        choice: ReplayChoice,
        (rate, most): (Option<f64>, Option<u64>),
    ) -> Result<Job, TooManyJobs> {
        let mut state = self.state();
        if state.jobs.iter().filter(|job| job.state == JobState::Running).count() >= RUNNING_MAX {
            return Err(TooManyJobs);
        }
        state.made += 1;
        let job = Job {
            id: format!("r{}", state.made),
            state: JobState::Running,
            started_at: archive.clock().now(),
            ended_at: None,
            rate,
            events: 0,
            deliveries: 0,
            skipped: 0,
            why: None,
        };
        while state.jobs.len() >= REMEMBERED_MAX {
            let Some(oldest) = state.jobs.iter().position(|job| job.state != JobState::Running) else { break };
            state.jobs.remove(oldest);
        }
        state.jobs.push_back(job.clone());
        while state.tasks.try_join_next().is_some() {}
        let runner = Runner {
            jobs: self.clone(),
            id: job.id.clone(),
            archive: archive.clone(),
            rate,
            left: most.unwrap_or(u64::MAX),
        };
        state.tasks.spawn(runner.run(Arc::new(choice)));
        Ok(job)
    }

    /// Changes a running job; returns false when it does not run any more.
    fn with_running(&self, id: &str, change: impl FnOnce(&mut Job)) -> bool {
        let mut state = self.state();
        let job = state.jobs.iter_mut().find(|job| job.id == id && job.state == JobState::Running);
        job.map(change).is_some()
    }
}

struct Runner {
    jobs: Jobs,
    id: String,
    archive: Archive,
    rate: Option<f64>,
    left: u64,
}

impl Runner {
    async fn run(mut self, choice: Arc<ReplayChoice>) {
        let state = match self.go_through(choice).await {
            Ok(()) => JobState::Done,
            Err(NotStored::Full(_) | NotStored::Busy | NotStored::Failed) => JobState::Failed,
        };
        let now = self.archive.clock().now();
        self.jobs.with_running(&self.id, |job| {
            job.state = state;
            job.ended_at = Some(now);
            job.why = (state == JobState::Failed).then_some("the buffer could not be read or written for a minute");
        });
        if let Some(Job { id, state, deliveries, .. }) = self.jobs.get(&self.id) {
            tracing::info!(replay = id, state = state.label(), deliveries, "a replay has ended");
        }
    }

    async fn go_through(&mut self, choice: Arc<ReplayChoice>) -> Result<(), NotStored> {
        let began = self.archive.buffer().now();
        let mut cursor = None;
        loop {
            let (chosen, next) = self.page(&choice, cursor.as_ref(), began).await?;
            for mut one in chosen {
                one.at_most(self.left);
                let skipped = one.skipped.len() as u64;
                if !self.jobs.with_running(&self.id, |job| job.skipped += skipped) || self.left == 0 {
                    return Ok(());
                }
                if !one.wishes.is_empty() {
                    self.apply(one.wishes).await?;
                }
            }
            let Some(next) = next else { return Ok(()) };
            cursor = Some(next);
        }
    }

    /// Reads one page of the choice. A buffer that is being reopened is waited for.
    async fn page(
        &self,
        choice: &Arc<ReplayChoice>,
        cursor: Option<&Vec<u8>>,
        began: Timestamp,
    ) -> Result<(Vec<Chosen>, Option<Vec<u8>>), NotStored> {
        let mut tries = 0;
        loop {
            let (this, from) = (Arc::clone(choice), cursor.cloned());
            let read = self.archive.off_thread(move |archive| {
                let (rules, destinations) = (archive.rules(), archive.destinations());
                let walk = archive.walk(&this, from.as_deref(), began)?;
                let chosen =
                    walk.found.iter().map(|(found, only)| this.of((&rules, &destinations), found, *only)).collect();
                Ok((chosen, walk.next))
            });
            match read.await {
                Err(_) if tries < PATIENCE => tokio::time::sleep(AGAIN_AFTER).await,
                read => return read,
            }
            tries += 1;
        }
    }

    async fn apply(&mut self, wishes: Vec<Command>) -> Result<(), NotStored> {
        debug_assert!(wishes.len() <= WISHES_MAX, "an event has two wishes at most");
        let began = Instant::now();
        let mut tries = 0;
        let granted = loop {
            match self.archive.buffer().command(wishes.clone()).await {
                Ok(granted) => break granted,
                Err(error) if tries >= PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(AGAIN_AFTER).await,
            }
            tries += 1;
        };
        self.left = self.left.saturating_sub(granted.queued);
        self.jobs.with_running(&self.id, |job| {
            job.events += 1;
            job.deliveries += granted.queued;
            job.skipped += granted.missed;
        });
        if let Some(rate) = self.rate {
            #[expect(clippy::cast_precision_loss, reason = "an event has at most 65,536 copies")]
            let pause = Duration::try_from_secs_f64(granted.queued as f64 / rate).unwrap_or(Duration::from_secs(1));
            tokio::time::sleep_until(began + pause).await;
        }
        Ok(())
    }
}
