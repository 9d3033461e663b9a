//! Keeps a secret that a provider handed over, for ever or not at all.
//!
//! The file is made new, readable by its owner only, and synced together with its folder before anybody is answered. A
//! file that is there already is never written over: trust on first use ends after the first use.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::provider::Captured;

/// Writes the secret.
pub(super) fn keep(file: &Path, secret: &Captured) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Under another name first: a reader must not find half a secret.
    let draft = folder.join(format!(".{}.new", file.file_name().unwrap_or_default().to_string_lossy()));
    let mut written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    written.write_all(&secret.0)?;
    written.sync_all()?;
    // A link fails where the name is taken, which a rename would not.
    let linked = std::fs::hard_link(&draft, file);
    std::fs::remove_file(&draft)?;
    linked?;
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
}
