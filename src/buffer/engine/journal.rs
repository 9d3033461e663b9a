//! Repair of the engine's journals after a failed write or sync: their readable bytes are written and synced again.
//!
//! After a failed sync the kernel may hold unwritten pages as if they were written: they can be read, they are not on
//! the disk, and the next sync succeeds without them. The engine, opened anew, would go on behind them in the same
//! file. After a power cut its recovery stops at the gap, and what was answered since would be lost. Bytes that are
//! written again are dirty pages again; pages that the kernel has dropped read as a gap, at which the engine cuts
//! before it goes on.
//!
//! The bytes stay the same, so a crash in the middle changes nothing. Blocks of zeros are left out: journals are
//! preallocated, and most of a new one is empty.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const CHUNK_BYTES: usize = 64 * 1024;

/// Writes every journal in `dir` again. Only while nobody else writes to them.
pub(super) fn write_again(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") {
            write_file_again(&OpenOptions::new().read(true).write(true).open(path)?)?;
        }
    }
    File::open(dir)?.sync_all()
}

fn write_file_again(file: &File) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut at = 0;
    loop {
        let length = file.read_at(&mut chunk, at)?;
        let Some(read) = chunk.get(..length).filter(|read| !read.is_empty()) else { break };
        if read.iter().any(|byte| *byte != 0) {
            file.write_all_at(read, at)?;
        }
        at = at.saturating_add(length as u64);
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_the_same_after_it_was_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = vec![7; CHUNK_BYTES + 100];
        bytes.extend(vec![0; 3 * CHUNK_BYTES]);
        bytes.extend(b"behind a gap");
        std::fs::write(dir.path().join("0.jnl"), &bytes).unwrap();
        std::fs::write(dir.path().join("1.jnl"), b"").unwrap();
        write_again(dir.path()).unwrap();
        assert_eq!(std::fs::read(dir.path().join("0.jnl")).unwrap(), bytes);
        assert_eq!(std::fs::read(dir.path().join("1.jnl")).unwrap(), b"");
    }
}
