//! The pauses before a store is opened anew that failed on a full disk.
//!
//! A store that worked for a while is opened again at once. One that fails soon after it was opened waits, twice as long
//! each time: opening reads the store and writes its journal anew, and on a disk without a free byte the next batch fails
//! like the last one. All times are on the monotonic clock.

use std::time::Duration;

/// The pause after the second failure in a row.
const FIRST: Duration = Duration::from_millis(500);
/// The longest pause.
const MOST: Duration = Duration::from_secs(4);
/// A store that was open for so long has worked.
const CALM: Duration = Duration::from_secs(10);

/// The next moment at which the store may be opened.
#[derive(Debug, Default)]
pub(super) struct Reopening {
    pause: Duration,
    due: Duration,
    opened: Option<Duration>,
}

impl Reopening {
    /// The store was opened.
    pub(super) fn opened(&mut self, now: Duration) {
        self.opened = Some(now);
    }

    /// A batch failed, and the store is closed.
    pub(super) fn failed(&mut self, now: Duration) {
        let has_worked = self.opened.is_none_or(|opened| now.saturating_sub(opened) >= CALM);
        self.pause = if has_worked { Duration::ZERO } else { (self.pause * 2).clamp(FIRST, MOST) };
        self.due = now.saturating_add(self.pause);
    }

    /// Returns whether the pause is over.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        now >= self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_fails_again_and_again_is_opened_ever_more_seldom_and_at_once_after_it_worked() {
        let mut reopening = Reopening::default();
        let (mut now, mut pauses) = (Duration::from_secs(100), Vec::new());
        for _ in 0..6 {
            reopening.failed(now);
            let begun = now;
            while !reopening.is_due(now) {
                now += Duration::from_millis(100);
            }
            pauses.push(now.saturating_sub(begun).as_millis());
            reopening.opened(now);
            now += Duration::from_millis(10);
        }
        assert_eq!(pauses, [0, 500, 1000, 2000, 4000, 4000]);
        now += CALM;
        reopening.failed(now);
        assert!(reopening.is_due(now));
    }
}
