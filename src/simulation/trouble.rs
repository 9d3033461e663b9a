//! Disturbances of a run, commands of people, and the recovery at the end.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;

use super::plan::RunPlan;
use super::target::Mood;
use super::world::{NAMES, Simulation};
use crate::buffer::{Command, Counters, InjectedFault, Space};
use crate::clock::Timestamp;

impl Simulation {
    pub(super) async fn disturb(&mut self, plan: &RunPlan) {
        let name = NAMES[self.rng.random_range(0..NAMES.len())];
        match self.rng.random_range(0..100) {
            0..40 => {
                let moods = [Mood::Well, Mood::Well, Mood::Flaky, Mood::Dead, Mood::Hanging, Mood::Busy];
                let mood = moods[self.rng.random_range(0..moods.len())];
                self.tell(format!("{name} is {mood:?}"));
                self.services.set(name, mood);
            }
            40..55 => {
                let fault = if self.rng.random_bool(0.4) {
                    InjectedFault::Write
                } else {
                    InjectedFault::Sync { survives: self.rng.random_bool(0.5) }
                };
                self.tell(format!("the next commit fails: {fault:?}"));
                self.disk.fail_next(fault);
            }
            55..65 => self.crash(plan.power_cuts).await,
            65..75 => {
                let by_ms = self.rng.random_range(-90_000_000..90_000_000);
                self.tell(format!("the wall clock jumps by {by_ms} ms"));
                self.clock.jumped_ms.fetch_add(by_ms, Ordering::Relaxed);
            }
            75..82 => {
                let is_low = self.rng.random_bool(0.5);
                self.tell(format!("the disk runs low: {is_low}"));
                self.disk.run_low(is_low);
            }
            82..86 => {
                let (nth, at) = (self.rng.random_range(0..1000), self.rng.random_range(0..3000));
                if self.disk.damage(Space::Events, nth, at) {
                    self.tell("a byte of a stored event flips".into());
                    self.story.sum.damaged += 1;
                }
            }
            _ => self.command().await,
        }
    }

    /// Acts as a person does: replays, drops, releases, skips.
    async fn command(&mut self) {
        let buffer = self.buffer();
        let mut wishes = Vec::new();
        for dead in buffer.dead_letters(None, None, 3).map(|page| page.entries).unwrap_or_default() {
            let (seq, copy) = (dead.found.seq, dead.copy);
            match (dead.found.event, self.rng.random_range(0..3)) {
                (Some(event), 0) => wishes.push(Command::Replay { seq, copies: vec![copy], event }),
                (_, 1) => {
                    self.given_up += 1;
                    wishes.push(Command::Drop { seq, copy });
                }
                _ => {}
            }
        }
        for parked in buffer.parked(None, None, 3).map(|page| page.entries).unwrap_or_default() {
            self.story.sum.parked += 1;
            if self.rng.random_bool(0.7) {
                wishes.push(Command::Release(parked.key));
            } else {
                self.given_up += 1;
                wishes.push(Command::Skip(parked.key));
            }
        }
        let newest = buffer.events(None, Timestamp::from_unix_ms(0), 3, &|_| true);
        for found in newest.map(|page| page.entries).unwrap_or_default() {
            if let Some(event) = found.event.filter(|_| self.rng.random_bool(0.3)) {
                wishes.push(Command::Replay { seq: found.seq, copies: vec![0], event });
            }
        }
        if !wishes.is_empty() {
            self.story.sum.wishes += wishes.len() as u64;
            self.tell(format!("a person wants {} things", wishes.len()));
            let granted = tokio::time::timeout(Duration::from_mins(1), buffer.command(wishes)).await;
            self.tell(format!("granted: {granted:?}"));
        }
    }

    /// Heals everything, and waits until nothing is left to do, four days at most.
    pub(super) async fn heal(&mut self) {
        self.tell("all is well again".into());
        for name in NAMES {
            self.services.set(name, Mood::Well);
        }
        self.disk.run_low(false);
        self.note_opened();
        let until = Instant::now() + Duration::from_hours(24 * 4);
        while Instant::now() < until {
            let buffer = self.buffer();
            for parked in buffer.parked(None, None, 100).map(|page| page.entries).unwrap_or_default() {
                self.story.sum.parked += 1;
                // A poisoned delivery never succeeds: the person gives it up.
                self.given_up += 1;
                let skipped = buffer.command(vec![Command::Skip(parked.key)]).await;
                self.tell(format!("skipped: {skipped:?}"));
            }
            let queued: u64 = NAMES.iter().map(|name| buffer.counters(name).queued).sum();
            if queued == 0 && buffer.stats().open {
                break;
            }
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        let books: BTreeMap<&str, Counters> = NAMES.iter().map(|name| (*name, self.buffer().counters(name))).collect();
        let stats = self.buffer().stats();
        self.tell(format!("{books:?} {stats:?}"));
    }
}
