//! The durability of the disk under a folder: the time of a write with its sync, and the meaning of that time.
//!
//! A disk that ignores flushes, with a volatile write cache, looks like a fast one from here. So the classes promise no
//! more than is known.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

/// The number of measured writes with their syncs, and the limit of their time.
const SAMPLES: usize = 400;
const MEASURE_FOR: Duration = Duration::from_secs(10);
const PROBE_BYTES: usize = 4096;
/// The shortest time of a write and a flush on a disk; a faster answer comes without a flush, or from a flush into
/// memory.
const TOO_FAST: Duration = Duration::from_micros(50);

/// File systems by the magic number of `statfs`: those in memory, and those behind which another system decides.
const IN_MEMORY: [(u64, &str); 2] = [(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];
const ELSEWHERE: [(u64, &str); 7] = [
    (0x794c_7630, "overlayfs"),
    (0x0102_1997, "9p"),
    (0x6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb"),
    (0x6573_5546, "fuse"),
    (0x0bd0_0bd0, "lustre"),
];

/// The class of a folder: the failures that its files survive, as far as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiskClass {
    /// A file system on a disk with plausible times.
    Kept,
    /// A file system in memory.
    Forgotten(&'static str),
    /// A file system on the disk of another system.
    Elsewhere(&'static str),
    /// A disk with implausibly short times.
    TooFast,
}

impl DiskClass {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Kept => "power_loss",
            Self::Forgotten(_) => "kill_only",
            Self::Elsewhere(_) | Self::TooFast => "unknown",
        }
    }
}

impl fmt::Display for DiskClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => f.write_str(
                "survives kill -9, kernel crash and power loss, as far as the disk tells the truth \
                 (a disk with a volatile write cache that ignores flushes cannot be seen from here)",
            ),
            Self::Forgotten(name) => {
                write!(f, "survives kill -9 only: {name} lies in memory, this folder does not survive a power cut")
            }
            Self::Elsewhere(name) => write!(
                f,
                "survives kill -9; whether it survives a power cut cannot be told: behind {name} another system decides"
            ),
            Self::TooFast => f.write_str(
                "survives kill -9; whether it survives a power cut cannot be told: a sync came back faster than a disk \
                 can write (memory, a cache with a battery, or a disk that ignores flushes)",
            ),
        }
    }
}

/// Measured times of a write of 4 KiB with its sync.
#[derive(Clone, Copy, Debug)]
pub(super) struct SyncTimes {
    pub(super) samples: usize,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) class: DiskClass,
}

/// Measures the disk under `folder`.
pub(super) fn measure(folder: &Path) -> io::Result<SyncTimes> {
    let path = folder.join("probe");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let block = [0x5a; PROBE_BYTES];
    let started = Instant::now();
    let mut times = Vec::with_capacity(SAMPLES);
    while times.len() < SAMPLES && (times.is_empty() || started.elapsed() < MEASURE_FOR) {
        let began = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    drop(file);
    std::fs::remove_file(&path)?;
    let kind = rustix::fs::statfs(folder)?.f_type;
    times.sort_unstable();
    let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
    #[expect(clippy::cast_sign_loss, reason = "a magic number; some platforms give it a sign")]
    let class = class(kind as u64 & 0xffff_ffff, p50);
    Ok(SyncTimes { samples: times.len(), p50, p99, class })
}

/// Returns the value below which `of_hundred` of a hundred values lie; `sorted` is sorted.
pub(super) fn percentile(sorted: &[Duration], of_hundred: usize) -> Duration {
    let at = sorted.len().saturating_mul(of_hundred).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

fn class(magic: u64, p50: Duration) -> DiskClass {
    let named = |table: &[(u64, &'static str)]| table.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name);
    match (named(&IN_MEMORY), named(&ELSEWHERE)) {
        (Some(name), _) => DiskClass::Forgotten(name),
        (None, Some(name)) => DiskClass::Elsewhere(name),
        (None, None) if p50 < TOO_FAST => DiskClass::TooFast,
        (None, None) => DiskClass::Kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_promises_no_more_than_is_known() {
        let (slow, fast) = (Duration::from_micros(400), Duration::from_micros(8));
        assert_eq!(class(0xef53, slow), DiskClass::Kept);
        assert_eq!(class(0xef53, fast), DiskClass::TooFast);
        assert_eq!(class(0x0102_1994, slow), DiskClass::Forgotten("tmpfs"));
        assert_eq!(class(0x794c_7630, slow), DiskClass::Elsewhere("overlayfs"));
        for class in [DiskClass::TooFast, DiskClass::Elsewhere("nfs"), DiskClass::Forgotten("tmpfs")] {
            let said = class.to_string();
            assert!(said.contains("cannot be told") || said.contains("does not survive a power cut"), "{said}");
        }
    }

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(percentile(&times, 50), Duration::from_micros(100));
        assert_eq!(percentile(&times, 99), Duration::from_micros(198));
        assert_eq!(percentile(&times[..1], 99), Duration::from_micros(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
