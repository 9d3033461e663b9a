//! Wall time and monotonic time, handed in by the caller.
//!
//! Wall time is a [`Timestamp`] (milliseconds since 1970, UTC) and comes from a [`Clock`], so that tests can set it.
//! Waiting is left to `tokio::time`, which follows the monotonic clock.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

/// A moment of wall time: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Makes a timestamp from milliseconds since the Unix epoch.
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Makes a timestamp from seconds since the Unix epoch.
    pub const fn from_unix_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Returns milliseconds since the Unix epoch.
    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    /// Returns whole seconds since the Unix epoch.
    pub const fn unix_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Returns the moment `by` later; it saturates at the end of time.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns the time since `earlier`; zero if `earlier` lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Writes RFC 3339 with milliseconds, UTC.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        match shown {
            Some(time) => write!(f, "{time:.3}"),
            None => f.write_str("9999-12-31T23:59:59.999Z"),
        }
    }
}

/// A source of wall time and monotonic time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the wall time now.
    fn now(&self) -> Timestamp;

    /// Returns the time since a fixed moment; it never goes back and never jumps.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        static BEGAN: LazyLock<tokio::time::Instant> = LazyLock::new(tokio::time::Instant::now);
        BEGAN.elapsed()
    }
}

/// Returns the CPU time that this thread has used. It is for limits on computing: a thread that waits for its turn on a
/// busy machine uses none.
pub fn thread_cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap_or(0), u32::try_from(spent.tv_nsec).unwrap_or(0))
}

/// A clock for tests, which stands still until it is set.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Turned {
    wall_ms: std::sync::atomic::AtomicU64,
    passed_ms: std::sync::atomic::AtomicU64,
}

#[cfg(test)]
impl Turned {
    pub(crate) fn at(now: Timestamp) -> Self {
        Self { wall_ms: now.unix_ms().into(), passed_ms: 0.into() }
    }

    /// Advances both clocks.
    pub(crate) fn pass(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap();
        self.wall_ms.fetch_add(by_ms, std::sync::atomic::Ordering::Relaxed);
        self.passed_ms.fetch_add(by_ms, std::sync::atomic::Ordering::Relaxed);
    }

    /// Sets the wall clock only, forward or back.
    pub(crate) fn jump(&self, by_ms: i64) {
        let now_ms = self.wall_ms.load(std::sync::atomic::Ordering::Relaxed);
        self.wall_ms.store(now_ms.checked_add_signed(by_ms).unwrap(), std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Clock for Turned {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall_ms.load(std::sync::atomic::Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.passed_ms.load(std::sync::atomic::Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_shown_as_rfc_3339_with_milliseconds() {
        assert_eq!(Timestamp::from_unix_ms(1_760_000_000_007).to_string(), "2025-10-09T08:53:20.007Z");
    }

    #[test]
    fn time_does_not_wrap_at_its_end() {
        assert_eq!(Timestamp::from_unix_ms(u64::MAX).after(Duration::from_secs(1)).unix_ms(), u64::MAX);
    }
}
