//! An open store: an engine whose format was checked. Only the committer writes to it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::engine::{Durability, Engine, EngineError, Medium, Mended, Space, Writes};
use super::{OpenError, reindex};
use crate::clock::Timestamp;

/// The version of the layout on disk (`keys`). A store of another version is refused.
pub(crate) const FORMAT: &str = "1";
const FORMAT_KEY: &[u8] = b"format";

/// The result of opening a medium.
type Opened = Result<(Arc<dyn Engine>, Option<Mended>), OpenError>;

pub(crate) struct Store(Arc<dyn Engine>);

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl Deref for Store {
    type Target = dyn Engine;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Store {
    /// Opens or creates the medium's store. Returns the damage that was repaired.
    pub(crate) fn open(medium: &dyn Medium, now: Timestamp) -> Result<(Self, Mended), OpenError> {
        Self::check(medium, medium.open(), now)
    }

    /// Reopens the store after a failed write or sync.
    pub(crate) fn reopen(medium: &dyn Medium, now: Timestamp) -> Result<(Self, Mended), OpenError> {
        Self::check(medium, medium.reopen(), now)
    }

    fn check(medium: &dyn Medium, opened: Opened, now: Timestamp) -> Result<(Self, Mended), OpenError> {
        match opened.and_then(|opened| Self::check_once(medium, opened, now)) {
            Err(OpenError::Engine(EngineError::Damaged(what))) => {
                tracing::error!(what, "the buffer's files are damaged; it is built anew from what can be read");
                medium.mark_damaged();
                Self::check_once(medium, medium.open()?, now)
            }
            checked => checked,
        }
    }

    fn check_once(
        medium: &dyn Medium,
        (engine, mended): (Arc<dyn Engine>, Option<Mended>),
        now: Timestamp,
    ) -> Result<(Self, Mended), OpenError> {
        let store = Self(engine);
        match store.get(Space::Meta, FORMAT_KEY)?.as_deref() {
            Some(found) if found == FORMAT.as_bytes() => {}
            Some(found) => return Err(OpenError::Format(String::from_utf8_lossy(found).into_owned())),
            None => {
                let mut batch = Writes::default();
                batch.insert(Space::Meta, FORMAT_KEY, FORMAT.as_bytes());
                store.commit(batch, Durability::Synced)?;
            }
        }
        if mended.is_some() {
            reindex::reindex(&*store, now)?;
            medium.restored()?;
        }
        Ok((store, mended.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::Fsync;
    use crate::buffer::engine::Disk;

    #[test]
    fn a_store_of_another_format_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let medium = Disk { dir: dir.path().to_owned(), fsync: Fsync::Os };
        let now = Timestamp::from_unix_ms(7);
        let (store, _) = Store::open(&medium, now).unwrap();
        let mut batch = Writes::default();
        batch.insert(Space::Meta, FORMAT_KEY, b"7".as_slice());
        store.commit(batch, Durability::Synced).unwrap();
        drop(store);
        for _ in 0..2 {
            let refused = Store::open(&medium, now).unwrap_err().to_string();
            assert!(
                refused.starts_with("the buffer has format \"7\", and this version reads format \"1\" only"),
                "{refused}"
            );
        }
    }
}
