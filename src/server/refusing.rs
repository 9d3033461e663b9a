//! The watch over a buffer that refuses events: one line when it begins, one when it has ended.
//!
//! A buffer at its limit takes an event whenever a delivery has made room for one. So it counts as taking events again
//! only when it has refused none for [`CALM`]; one episode is two lines, however often the limit is met in it.

use std::time::Duration;

use crate::buffer::{Refusing, Stats};
use crate::telemetry::Telemetry;

/// Time without a refusal after which the buffer counts as taking events again.
const CALM: Duration = Duration::from_secs(10);

/// An episode in which the buffer refuses events.
#[derive(Clone, Copy, Debug)]
struct Episode {
    reason: Refusing,
    began: Duration,
    /// The time of the last refusal, on the monotonic clock.
    refused: Duration,
}

/// The watch; it gets the buffer's numbers about once a second.
#[derive(Debug, Default)]
pub(super) struct RefusingWatch(Option<Episode>);

impl RefusingWatch {
    /// Looks at the buffer at `now`, on the monotonic clock, and reports a change to `telemetry`.
    pub(super) fn look(&mut self, stats: &Stats, now: Duration, telemetry: &Telemetry) {
        match (self.0.as_mut(), stats.refusing()) {
            (None, None) => {}
            (Some(episode), Some(reason)) if episode.reason == reason => episode.refused = now,
            // Another reason needs another remedy, so it has a line of its own.
            (episode, Some(reason)) => {
                let began = episode.map_or(now, |episode| episode.began);
                self.0 = Some(Episode { reason, began, refused: now });
                telemetry.buffer_refuses(reason.label(), &stats.refusing_because().unwrap_or_default());
            }
            (Some(episode), None) => {
                let Episode { began, refused, .. } = *episode;
                if now.saturating_sub(refused) >= CALM {
                    self.0 = None;
                    telemetry.buffer_accepts(refused.saturating_sub(began));
                }
            }
        }
    }
}
