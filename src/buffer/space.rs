//! How much room the disk has left.
//!
//! A full disk is met before it is full: below [`RESERVE_BYTES`] of free space no event is taken in, so that what is left
//! serves the ends of deliveries, which make room again.

use std::path::Path;

/// Free space that appends may not touch; the engine flushes and compacts in it. A quarter of a small disk, when that is
/// less.
pub(crate) const RESERVE_BYTES: u64 = 256 * 1024 * 1024;

/// Whether the disk under `dir` has less free space than the reserve. Unknown counts as enough: the write itself will
/// tell.
pub(crate) fn is_low(dir: &Path) -> bool {
    let Ok(stat) = rustix::fs::statvfs(dir) else { return false };
    let total = stat.f_blocks.saturating_mul(stat.f_frsize);
    free(&stat) < RESERVE_BYTES.min(total / 4)
}

/// Whether the disk under `dir` can take so many bytes more. Unknown counts as yes.
pub(crate) fn has_room(dir: &Path, bytes: u64) -> bool {
    rustix::fs::statvfs(dir).map_or(true, |stat| free(&stat) >= bytes)
}

fn free(stat: &rustix::fs::StatVfs) -> u64 {
    stat.f_bavail.saturating_mul(stat.f_frsize)
}
