//! The watch for changes of the files that a configuration was read from.
//!
//! The files are checked once a second; no notification is used. inotify follows a file and not its name: it loses the
//! file when a symbolic link on the way is changed, as Kubernetes changes `..data`. It gets no changes by other
//! machines on a network file system.
//!
//! A file's [`Print`] is its path behind all links, its identity, its length and its times of change; for a folder that
//! covers its list of names. It is taken before the file is read, so that a change during the reading is found. A file
//! that is being written differs from check to check; a change is reported when two checks agree.
//!
//! Deliberately not here: the content of the files. A touched file causes the same rules to be read again.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The fingerprint of a file at one check.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Print {
    /// A file whose metadata can be read.
    There {
        real: PathBuf,
        device_and_inode: (u64, u64),
        bytes: u64,
        /// The time of the last change of its content, in seconds and nanoseconds.
        modified: (i64, i64),
        /// The time of the last change of the file, its owner or its rights.
        changed: (i64, i64),
    },
    /// A file whose metadata cannot be read, such as a missing one.
    Hidden(io::ErrorKind),
}

impl Print {
    fn of(path: &Path) -> Self {
        // The link is read first: when it is changed in between, the next check finds another one.
        let real = std::fs::canonicalize(path);
        match real.and_then(|real| std::fs::metadata(&real).map(|about| (real, about))) {
            Ok((real, about)) => Self::There {
                real,
                device_and_inode: (about.dev(), about.ino()),
                bytes: about.size(),
                modified: (about.mtime(), about.mtime_nsec()),
                changed: (about.ctime(), about.ctime_nsec()),
            },
            Err(error) => Self::Hidden(error.kind()),
        }
    }
}

/// The fingerprints of all files that one reading asked for, missing ones included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prints(BTreeMap<PathBuf, Print>);

impl Prints {
    /// Takes the fingerprint of a file that is about to be read. The first one counts.
    pub(crate) fn take(&mut self, path: &Path) {
        if !self.0.contains_key(path) {
            self.0.insert(path.to_owned(), Print::of(path));
        }
    }

    /// Returns the paths of these files.
    #[cfg(test)]
    pub(crate) fn paths(&self) -> Vec<&Path> {
        self.0.keys().map(PathBuf::as_path).collect()
    }

    /// Returns the fingerprints of the same files now.
    fn again(&self) -> Self {
        Self(self.0.keys().map(|path| (path.clone(), Print::of(path))).collect())
    }
}

/// The watch on the files of the last reading.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: Seen,
    looks: Interval,
}

impl Watch {
    /// Creates a watch; it must be called on a tokio runtime.
    pub(crate) fn new(prints: Prints) -> Self {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { seen: Seen { read: prints, latest: None }, looks }
    }

    /// Notes that the files were read anew.
    pub(crate) fn were_read(&mut self, prints: Prints) {
        self.seen = Seen { read: prints, latest: None };
    }

    /// Waits until the files differ from those that were read, and are at rest. The wait may be cancelled and repeated.
    pub(crate) async fn changed(&mut self) {
        loop {
            self.looks.tick().await;
            let read = self.seen.read.clone();
            // A network file system may take its time.
            match tokio::task::spawn_blocking(move || read.again()).await {
                Ok(now) => {
                    if self.seen.is_news(now) {
                        return;
                    }
                }
                Err(error) => tracing::error!(%error, "the files of the configuration could not be looked at"),
            }
        }
    }
}

/// The results of the checks.
#[derive(Debug)]
struct Seen {
    read: Prints,
    /// The last check, when it differed.
    latest: Option<Prints>,
}

impl Seen {
    /// Returns whether this check and the one before agree on a change. Each change is reported once.
    fn is_news(&mut self, now: Prints) -> bool {
        if now == self.read {
            self.latest = None;
            false
        } else if self.latest.as_ref() == Some(&now) {
            self.read = now;
            self.latest = None;
            true
        } else {
            self.latest = Some(now);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// Counts the checks until there is a change; at most three.
    fn looks_until_news(seen: &mut Seen) -> Option<usize> {
        (1..=3).find(|_| {
            let now = seen.read.again();
            seen.is_news(now)
        })
    }

    fn watching(paths: &[&Path]) -> Seen {
        let mut read = Prints::default();
        for path in paths {
            read.take(path);
        }
        Seen { read, latest: None }
    }

    #[test]
    fn every_kind_of_change_is_news_at_the_second_look_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for version in ["v1", "v2"] {
            std::fs::create_dir(path(version)).unwrap();
            std::fs::write(path(version).join("routes.yaml"), "the same").unwrap();
        }
        symlink("v1", path("..data")).unwrap();
        symlink("..data/routes.yaml", path("routes.yaml")).unwrap();
        std::fs::write(path("secret"), "a").unwrap();
        let mut seen = watching(&[&path("routes.yaml"), &path("secret"), &path("absent"), &path("v2")]);
        assert_eq!(looks_until_news(&mut seen), None);
        let turn = || {
            symlink("v2", path("..tmp")).unwrap();
            std::fs::rename(path("..tmp"), path("..data")).unwrap();
        };
        let changes: [(&str, &dyn Fn()); 7] = [
            ("a longer text", &|| std::fs::write(path("secret"), "ab").unwrap()),
            ("a link that is turned on the way", &turn),
            ("a file that was not there", &|| std::fs::write(path("absent"), "").unwrap()),
            ("one that is no more", &|| std::fs::remove_file(path("secret")).unwrap()),
            ("another file of the same text", &|| {
                std::fs::write(path("next"), "").unwrap();
                std::fs::rename(path("next"), path("absent")).unwrap();
            }),
            ("a name more in a folder", &|| std::fs::write(path("v2").join("more"), "").unwrap()),
            ("other rights", &|| {
                std::fs::set_permissions(path("v2"), PermissionsExt::from_mode(0o700)).unwrap();
            }),
        ];
        for (what, change) in changes {
            change();
            assert_eq!(looks_until_news(&mut seen), Some(2), "{what}");
            assert_eq!(looks_until_news(&mut seen), None, "{what} is told once");
        }
    }

    #[test]
    fn a_file_that_is_being_written_is_waited_for_and_one_that_is_put_back_is_no_news() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let mut seen = watching(&[&path]);
        for length in 1..5 {
            std::fs::write(&path, "x".repeat(length)).unwrap();
            let now = seen.read.again();
            assert!(!seen.is_news(now), "{length} bytes");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(looks_until_news(&mut seen), None);
    }

    #[test]
    fn a_change_while_it_is_read_is_news() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "before").unwrap();
        let mut prints = Prints::default();
        prints.take(&path);
        std::fs::write(&path, "meanwhile").unwrap();
        prints.take(&path);
        assert_eq!(looks_until_news(&mut Seen { read: prints, latest: None }), Some(2));
    }
}
