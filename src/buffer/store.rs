//! An open store: an engine whose format was checked. Only the committer writes to it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::OpenError;
use super::engine::{Batch, Durability, Engine, Medium, Space};
use super::migrate;

/// The version of what `keys` lays out on disk.
pub(crate) const FORMAT: &str = "2";
pub(crate) const FORMAT_KEY: &[u8] = b"format";

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
    /// Opens the medium's store, makes it, or brings it up to today's format.
    pub(crate) fn open(medium: &dyn Medium) -> Result<Self, OpenError> {
        Self::check(medium.open()?)
    }

    /// The same after a failed write or sync.
    pub(crate) fn reopen(medium: &dyn Medium) -> Result<Self, OpenError> {
        Self::check(medium.reopen()?)
    }

    fn check(engine: Arc<dyn Engine>) -> Result<Self, OpenError> {
        let store = Self(engine);
        match store.get(Space::Meta, FORMAT_KEY)?.as_deref() {
            Some(found) if found == FORMAT.as_bytes() => {}
            Some(b"1") => migrate::from_1(&*store)?,
            Some(found) => return Err(OpenError::Format(String::from_utf8_lossy(found).into_owned())),
            None => {
                let mut batch = Batch::default();
                batch.insert(Space::Meta, FORMAT_KEY, FORMAT.as_bytes());
                store.commit(batch, Durability::Synced)?;
            }
        }
        Ok(store)
    }
}
