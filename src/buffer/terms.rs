//! The terms of the buffer's boundary: parameters, answers and numbers.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::engine::EngineError;
use super::space::{DiskSpace, HumanBytes};
use super::store::FORMAT;

/// The moment at which an append is answered as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// After a sync shared with all waiting appends: survives power loss.
    Group,
    /// After the write to the operating system: survives kill -9, not a kernel crash.
    Os,
    /// After the write to our own memory: survives nothing but a clean stop.
    Memory,
}

impl Fsync {
    /// Describes the failures that an accepted event survives.
    pub const fn durability(self) -> &'static str {
        match self {
            Self::Group => "survives kill -9, kernel crash and power loss (written and synced before the answer)",
            Self::Os => "survives kill -9; a kernel crash or power loss loses the last seconds",
            Self::Memory => "survives a clean stop only; kill -9 loses what was not yet written",
        }
    }
}

/// The buffer's own parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferParams {
    /// The buffer's folder; created when missing.
    pub dir: PathBuf,
    /// The stored bytes at which the buffer answers "full".
    pub bytes_max: u64,
    /// The moment at which an append is answered.
    pub fsync: Fsync,
    /// The time for which quarantined events, and deliveries that a person skipped, are kept.
    pub quarantine_keep: Duration,
}

/// The times for which ended deliveries stay readable.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// After success.
    pub delivered: Duration,
    /// After a dead letter.
    pub dead: Duration,
}

/// The result of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// The event is stored.
    Stored,
    /// The event is stored, and its delivery id was seen before with another body.
    SameId,
    /// An event with the same dedup key is already there.
    Duplicate,
}

/// The reason why an append was not stored. After [`NotStored::Failed`] the event may still be in the store, when only
/// the sync failed; it is then delivered, and a repetition of it is a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStored {
    /// `max_size` or the disk's reserve is reached.
    Full(Shortage),
    /// Too many appends wait for the committer.
    Busy,
    /// The write or sync failed, or the store is being reopened.
    Failed,
}

impl fmt::Display for NotStored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(shortage) => shortage.fmt(f),
            Self::Busy => f.write_str("too much waits for the buffer"),
            Self::Failed => f.write_str("the buffer cannot be read or written now"),
        }
    }
}

/// The shortage of space that keeps the buffer from storing an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// `buffer.max_size` is reached.
    Size {
        /// Bytes of stored events.
        used_bytes: u64,
        /// `max_size`.
        limit_bytes: u64,
    },
    /// The disk has less free space than the engine's reserve.
    Disk(DiskSpace),
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Size { used_bytes, limit_bytes } => {
                write!(
                    f,
                    "the buffer is full: {} of {} are used (buffer.max_size)",
                    HumanBytes(used_bytes),
                    HumanBytes(limit_bytes)
                )
            }
            Self::Disk(space) => {
                let (free, reserve) = (HumanBytes(space.free_bytes), HumanBytes(space.reserve_bytes()));
                write!(f, "the disk is short: {free} are free, {reserve} are kept for the engine")
            }
        }
    }
}

/// The reason why the buffer refuses events: the closed list behind `hookgate_buffer_refusing{reason}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusing {
    /// `buffer.max_size` is reached.
    Size,
    /// The disk has less free space than the reserve.
    Disk,
    /// The store is closed after a failed write, or a commit hangs.
    Engine,
}

impl Refusing {
    /// All reasons, in rising precedence.
    pub const ALL: [Self; 3] = [Self::Size, Self::Disk, Self::Engine];

    /// Returns the metric label and log field.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Disk => "disk",
            Self::Engine => "engine",
        }
    }
}

/// The reason why the buffer could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process uses the buffer.
    Locked(PathBuf),
    /// The store has an unknown format.
    Format(String),
    /// The directory could not be made, read or synced.
    Io {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The engine failed.
    Engine(EngineError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(path) => write!(f, "another process uses the buffer in {}", path.display()),
            Self::Format(found) => write!(
                f,
                "the buffer has format {found:?}, and this version reads format {FORMAT:?} only: start the version that \
                 wrote it, or set another `data_dir`"
            ),
            Self::Io { path, source } => write!(f, "cannot use the buffer's directory {}: {source}", path.display()),
            Self::Engine(source) => write!(f, "the buffer's engine cannot open: {source}"),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<EngineError> for OpenError {
    fn from(source: EngineError) -> Self {
        Self::Engine(source)
    }
}

/// The report of one commit, for metrics.
#[derive(Clone, Copy, Debug)]
pub struct CommitReport {
    /// The duration of write and sync.
    pub took: Duration,
    /// The number of events that the commit stored.
    pub events: usize,
    /// True when the commit failed.
    pub failed: bool,
}

/// The callback for every commit.
pub type OnCommit = Box<dyn Fn(CommitReport) + Send + Sync>;

/// The numbers of the whole buffer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Bytes of stored events.
    pub used_bytes: u64,
    /// `max_size`.
    pub limit_bytes: u64,
    /// The number of remembered delivery ids.
    pub dedup_entries: u64,
    /// The number of records that could not be read.
    pub corrupt: u64,
    /// True while the store takes appends.
    pub open: bool,
    /// The shortage for an event of one byte.
    pub shortage: Option<Shortage>,
    /// The shortage for an event as large as the last one that was refused for its size within a minute; without such
    /// an event, for one of a single byte.
    pub refusing: Option<Shortage>,
    /// The disk's space at the last look, at most a second ago.
    pub disk: Option<DiskSpace>,
}

impl Stats {
    /// Returns whether events are refused for this reason. Several reasons may hold at a time.
    pub fn refuses_for(&self, reason: Refusing) -> bool {
        match reason {
            Refusing::Size => matches!(self.refusing, Some(Shortage::Size { .. })),
            Refusing::Disk => matches!(self.refusing, Some(Shortage::Disk(_))),
            Refusing::Engine => !self.open,
        }
    }

    /// Returns the reason why events are refused now; of several, the one with the highest precedence.
    pub fn refusing(&self) -> Option<Refusing> {
        Refusing::ALL.into_iter().rev().find(|reason| self.refuses_for(*reason))
    }

    /// Describes why events are refused now, with the numbers.
    pub fn refusing_because(&self) -> Option<String> {
        if !self.open {
            return Some(
                "the store is closed after a failed write or sync, or a commit hangs; it is being reopened".into(),
            );
        }
        self.refusing.map(|shortage| shortage.to_string())
    }
}
