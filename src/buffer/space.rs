//! The free space of the disk.
//!
//! A full disk is met before it is full: below the reserve of free space no event is accepted, so that the rest serves
//! the ends of deliveries, which free space again. Unknown space counts as enough: the write itself will fail.

use std::fmt;
use std::path::Path;

/// The free space that appends may not touch; the engine flushes and compacts in it. On a small disk the reserve is a
/// quarter of the disk, when that is less.
pub(crate) const RESERVE_BYTES: u64 = 256 * 1024 * 1024;

/// The space of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// The bytes that this process may still write.
    pub free_bytes: u64,
    /// The size of the file system in bytes.
    pub total_bytes: u64,
}

impl DiskSpace {
    /// Returns the space of the file system that `dir` lies on; `None` where the system does not tell.
    pub fn of(dir: &Path) -> Option<Self> {
        let stat = rustix::fs::statvfs(dir).ok()?;
        Some(Self {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    /// Returns the space of the file system that `dir` lies on, or would lie on when it is made.
    pub fn under(dir: &Path) -> Option<Self> {
        let existing = dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("."));
        Self::of(existing)
    }

    /// Returns the free space that is kept for the engine, in bytes.
    pub fn reserve_bytes(self) -> u64 {
        RESERVE_BYTES.min(self.total_bytes / 4)
    }

    /// Returns whether less space is free than the reserve.
    pub fn is_short(self) -> bool {
        self.free_bytes < self.reserve_bytes()
    }
}

/// Returns whether the disk under `dir` has room for `bytes` more. Unknown space counts as enough.
pub(crate) fn has_room(dir: &Path, bytes: u64) -> bool {
    DiskSpace::of(dir).is_none_or(|space| space.free_bytes >= bytes)
}

/// A number of bytes for people, in the largest binary unit that it fills.
#[derive(Clone, Copy, Debug)]
pub struct HumanBytes(pub u64);

impl fmt::Display for HumanBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut unit, mut rest) = ("B", self.0);
        let mut tenths = 0;
        for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
            if rest < 1024 {
                break;
            }
            (tenths, rest, unit) = (rest % 1024 * 10 / 1024, rest / 1024, next);
        }
        // Below a hundred a decimal is shown.
        if tenths > 0 && rest < 100 { write!(f, "{rest}.{tenths} {unit}") } else { write!(f, "{rest} {unit}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_quarter_of_a_small_disk_and_256_mib_of_a_large_one() {
        let space =
            |free_mib: u64, total_mib: u64| DiskSpace { free_bytes: free_mib << 20, total_bytes: total_mib << 20 };
        for (free, total, is_short) in [(11, 48, true), (12, 48, false), (255, 9000, true), (256, 9000, false)] {
            assert_eq!(space(free, total).is_short(), is_short, "{free} of {total} MiB");
        }
    }

    #[test]
    fn bytes_are_written_in_the_largest_unit_that_they_fill() {
        let written = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (104 << 20, "104 MiB"),
            (20 << 30, "20 GiB"),
            ((20 << 30) - 1, "19.9 GiB"),
            (u64::MAX, "16383 PiB"),
        ];
        for (bytes, text) in written {
            assert_eq!(HumanBytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_folder_that_is_not_made_yet_has_the_space_of_the_one_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let space = DiskSpace::under(&folder.path().join("data/buffer")).unwrap();
        assert!(space.total_bytes > 0 && space.total_bytes >= space.free_bytes);
    }
}
