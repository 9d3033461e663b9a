//! A change to many events at the gateway: shown as a plan, then agreed to, then done.

use serde_json::Value;

use super::{Asked, consent};
use crate::cli::admin::Admin;
use crate::cli::unknown::{self, Unknown};
use crate::cli::{Exit, terminal};

/// The consent of a person to a change.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Sure {
    /// Only show what would be done.
    #[arg(long, env = "HOOKGATE_DRY_RUN")]
    pub(super) dry_run: bool,
    /// Do not ask for confirmation.
    #[arg(long, env = "HOOKGATE_YES")]
    pub(super) yes: bool,
}

/// The result of a change, made or planned.
pub(super) trait Done {
    /// The lines for people.
    fn lines(&self) -> Vec<String>;

    /// The events that something is done to.
    fn count(&self) -> u64;

    /// The reason why nothing is done, where `count` is zero.
    fn nothing(&self) -> &'static str;
}

/// A change that a person asks for.
pub(super) struct Deed<'a> {
    pub(super) asked: &'a Asked,
    pub(super) sure: Sure,
    /// Completes "say --yes to …"; `None` for a single event that was named, which needs no question.
    pub(super) question: Option<&'static str>,
}

impl Deed<'_> {
    /// Asks the gateway for the plan, then the person, then the gateway to do it. Returns the plan's count and the result;
    /// `None` when nothing was to be done.
    pub(super) fn run<T: Done>(
        &self,
        ask: impl Fn(&Admin, bool) -> Result<(Value, T), Exit>,
    ) -> Result<Option<(u64, T)>, Exit> {
        let admin = self.asked.gateway()?;
        let (answer, plan) = ask(&admin, true)?;
        if plan.count() == 0 {
            unknown::tell(&Unknown::listed(&answer))?;
        }
        if self.sure.dry_run || plan.count() == 0 {
            self.say(&answer, &plan);
            let is_nothing = plan.count() == 0;
            terminal::tell(if is_nothing { plan.nothing() } else { "nothing was done; without --dry-run it would be" });
            return Ok(None);
        }
        if let Some(question) = self.question {
            plan.lines().iter().for_each(terminal::tell);
            consent::consent(self.sure.yes, question)?;
        }
        let (answer, done) = ask(&admin, false)?;
        self.say(&answer, &done);
        Ok(Some((plan.count(), done)))
    }

    fn say(&self, answer: &Value, done: &impl Done) {
        if self.asked.is_json() {
            terminal::say_json(answer);
        } else {
            done.lines().iter().for_each(terminal::say);
        }
    }
}
