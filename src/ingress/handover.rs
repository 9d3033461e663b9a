//! Storage of a secret that a provider handed over, once and for good.
//!
//! The secret is written to a new file of a random name, readable by its owner only, synced, and then renamed, which
//! fails where the final name is taken. So trust on first use ends after the first use, and of many requests at once
//! one is kept and answered so. The folder is synced before any answer.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::provider::Captured;

/// Writes the secret.
pub(super) fn keep(file: &Path, secret: &Captured) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    draft.write_all(&secret.0)?;
    draft.as_file().sync_all()?;
    draft.persist_noclobber(file).map_err(|refused| refused.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn captured(text: &str) -> Captured {
        Captured(text.as_bytes().to_vec().into())
    }

    #[test]
    fn the_first_secret_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("asana.key");
        keep(&file, &captured("the first one, long enough")).unwrap();
        assert_eq!(keep(&file, &captured("another one")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "the first one, long enough");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn of_many_at_once_the_one_that_was_told_so_is_kept() {
        for round in 0..50 {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("asana.key");
            let secrets: Vec<String> =
                (0..4).map(|number| format!("secret-{number}-{}", "x".repeat(64 << number))).collect();
            let results: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = secrets.iter().map(|one| scope.spawn(|| keep(&file, &captured(one)))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let kept = std::fs::read_to_string(&file).unwrap();
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "round {round}");
            for (secret, result) in secrets.iter().zip(&results) {
                assert!(result.is_err() || *secret == kept, "round {round}: another one is kept");
            }
        }
    }
}
