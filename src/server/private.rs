//! File modes that leave all data of the gateway to its owner: events are confidential, and so are the secrets that
//! providers hand over.
//!
//! New files get their modes from the process's mask. The files that the buffer has already are closed to others at the
//! start. The data directory itself is closed only when nothing else lies in it, because it may be a folder that serves
//! other purposes too.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::Mode;

/// The entries of a data directory that serves nothing else; `lost+found` stands at the root of a file system.
const OWN: [&str; 2] = ["buffer", "lost+found"];
/// The permissions of the group and of all others.
const OTHERS: Mode = Mode::RWXG.union(Mode::RWXO);
/// The deepest level of folders under the buffer's; the engine has five.
const DEPTH_MAX: usize = 16;

/// Restricts all files of this process, those to be written and those written before, to their owner.
pub(super) fn keep(data_dir: &Path, buffer: &Path) {
    rustix::process::umask(OTHERS);
    let mut closed = Closed::default();
    if is_own(data_dir) {
        closed.one(data_dir, &fs::metadata(data_dir));
    }
    closed.all(buffer, DEPTH_MAX);
    if closed.count > 0 {
        tracing::warn!(
            data_dir = %data_dir.display(),
            paths = closed.count,
            "files of the data directory could be read by others; they are closed now (0700 for directories, 0600 for files)"
        );
    }
    if let Some(error) = closed.error {
        tracing::warn!(data_dir = %data_dir.display(), %error, "files of the data directory can be read by others");
    }
}

fn is_own(data_dir: &Path) -> bool {
    let is_ours =
        |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|entry| OWN.iter().any(|own| entry.file_name() == *own));
    fs::read_dir(data_dir).is_ok_and(|mut entries| entries.all(is_ours))
}

/// The number of paths that were closed to others, and the last error.
#[derive(Debug, Default)]
struct Closed {
    count: u64,
    error: Option<io::Error>,
}

impl Closed {
    /// Closes a folder and all under it. Links are left alone.
    fn all(&mut self, path: &Path, depth: usize) {
        let found = fs::symlink_metadata(path);
        self.one(path, &found);
        if depth == 0 || !found.is_ok_and(|found| found.is_dir()) {
            return;
        }
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            self.all(&entry.path(), depth - 1);
        }
    }

    fn one(&mut self, path: &Path, found: &io::Result<fs::Metadata>) {
        // Missing files will be made closed.
        let Ok(found) = found else { return };
        let mode = Mode::from_raw_mode(found.permissions().mode());
        if found.is_symlink() || !mode.intersects(OTHERS) {
            return;
        }
        match fs::set_permissions(path, fs::Permissions::from_mode(mode.difference(OTHERS).as_raw_mode())) {
            Ok(()) => self.count += 1,
            Err(error) => self.error = Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn open_folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("buffer/keyspaces")).unwrap();
        fs::write(folder.path().join("buffer/keyspaces/table"), "").unwrap();
        for path in ["", "buffer", "buffer/keyspaces"] {
            fs::set_permissions(folder.path().join(path), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::set_permissions(folder.path().join("buffer/keyspaces/table"), fs::Permissions::from_mode(0o644)).unwrap();
        folder
    }

    #[test]
    fn what_an_earlier_version_left_open_is_closed() {
        let folder = open_folder();
        let at = |path: &str| folder.path().join(path);
        keep(folder.path(), &at("buffer"));
        assert_eq!(["", "buffer", "buffer/keyspaces"].map(|path| mode(&at(path))), [0o700; 3]);
        assert_eq!(mode(&at("buffer/keyspaces/table")), 0o600);
    }

    #[test]
    fn a_folder_that_others_use_too_stays_as_it_is() {
        let folder = open_folder();
        let at = |path: &str| folder.path().join(path);
        fs::write(at("routes.yaml"), "").unwrap();
        fs::set_permissions(at("routes.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(at("routes.yaml"), at("buffer/link")).unwrap();
        keep(folder.path(), &at("buffer"));
        assert_eq!((mode(folder.path()), mode(&at("routes.yaml"))), (0o755, 0o644));
        assert_eq!(mode(&at("buffer")), 0o700);
    }
}
