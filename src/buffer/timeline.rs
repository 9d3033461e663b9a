//! The buffer's own time: begins as wall time and runs with the monotonic clock.
//!
//! Due times, retention and sequences follow it, so that a jumping wall clock neither stalls deliveries nor releases
//! all of them at once. It never goes back, not even over a restart, because it begins no earlier than the last time in
//! the store.
//!
//! Deliberately not here: the time of receipt, which is a fact about the event and is wall time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Clock, Timestamp};

pub(crate) struct Timeline {
    clock: Arc<dyn Clock>,
    /// The time line's value when the monotonic clock was at zero.
    origin_ms: AtomicU64,
}

impl Timeline {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let origin_ms = clock.now().unix_ms().saturating_sub(elapsed_ms(&*clock));
        Self { clock, origin_ms: AtomicU64::new(origin_ms) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.origin_ms.load(Ordering::Relaxed).saturating_add(elapsed_ms(&*self.clock)))
    }

    /// Moves the line forward to the last time that the store has seen.
    pub(crate) fn not_before(&self, seen: Timestamp) {
        let behind_ms = seen.unix_ms().saturating_sub(self.now().unix_ms());
        if behind_ms > 0 {
            self.origin_ms.fetch_add(behind_ms, Ordering::Relaxed);
            tracing::warn!(
                behind_ms,
                "the system clock is behind the buffer's last timestamp; the buffer uses its own later time"
            );
        }
    }
}

fn elapsed_ms(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.monotonic().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Turned;
    use std::time::Duration;

    #[test]
    fn the_line_follows_the_monotonic_clock_and_not_the_wall() {
        let clock = Arc::new(Turned::at(Timestamp::from_unix_secs(1000)));
        let line = Timeline::new(Arc::clone(&clock) as Arc<dyn Clock>);
        clock.jump(-500_000);
        clock.pass(Duration::from_secs(2));
        assert_eq!(line.now(), Timestamp::from_unix_secs(1002));
        line.not_before(Timestamp::from_unix_secs(2000));
        clock.pass(Duration::from_secs(1));
        assert_eq!(line.now(), Timestamp::from_unix_secs(2001));
        line.not_before(Timestamp::from_unix_secs(7));
        assert_eq!(line.now(), Timestamp::from_unix_secs(2001));
    }
}
