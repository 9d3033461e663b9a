//! Public keys that go by ids: what a JWK set holds, or a single key in any of the forms in which keys are published.
//!
//! Which key is tried is decided by the id that the message names; with what algorithm, by the scheme alone.

use super::mac::PublicKey;

/// Public keys, each perhaps with its id.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    pub(super) keys: Vec<NamedKey>,
}

/// A public key and the id that it goes by.
#[derive(Clone, Debug)]
pub(super) struct NamedKey {
    /// `kid`; a key without one answers to any.
    pub(super) id: Option<String>,
    pub(super) key: PublicKey,
}

impl KeySet {
    /// The keys that may have signed a message which names this id, or none.
    pub(super) fn named(&self, id: Option<&str>) -> impl Iterator<Item = &PublicKey> {
        let fits = move |key: &&NamedKey| match (&key.id, id) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => true,
        };
        self.keys.iter().filter(fits).map(|named| &named.key)
    }
}
