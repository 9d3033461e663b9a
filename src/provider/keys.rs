//! Keys that are not configured but fetched: where they are, and who holds them once they are here.
//!
//! Verification never fetches. It asks a [`KeyRing`] for the keys at a [`KeyLocation`]; when they are not there it fails
//! with the location, so that the caller can fetch and verify again.

use std::fmt;
use std::sync::Arc;

use super::failure::Failure;
use super::keyset::KeySet;

/// A place in the web from which keys may be fetched: checked, so that fetching it reaches nobody but the provider.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyLocation {
    url: String,
}

/// Without what is sent along.
impl fmt::Debug for KeyLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyLocation({})", self.url)
    }
}

/// The keys that have been fetched so far.
pub trait KeyRing: Send + Sync + fmt::Debug {
    /// The keys at that place.
    fn get(&self, at: &KeyLocation) -> Found;
}

/// What a ring knows of a place.
#[derive(Clone, Debug)]
pub enum Found {
    /// The keys that are there.
    Here(Arc<KeySet>),
    /// Nobody has looked yet.
    NotYet,
    /// Somebody looked, and there was nothing usable.
    Refused,
}

/// A ring without keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKeys;

impl KeyRing for NoKeys {
    fn get(&self, _: &KeyLocation) -> Found {
        Found::NotYet
    }
}

/// What a scheme may ask for besides its configured secrets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetched<'r> {
    pub(super) ring: &'r dyn KeyRing,
}

impl Fetched<'_> {
    /// The keys at that place, or the failure that asks the caller to fetch them.
    pub(super) fn at(&self, location: KeyLocation) -> Result<Arc<KeySet>, Failure> {
        match self.ring.get(&location) {
            Found::Here(keys) => Ok(keys),
            Found::NotYet => Err(Failure::KeyNotHere(Box::new(location))),
            Found::Refused => Err(Failure::UnknownKey),
        }
    }
}
