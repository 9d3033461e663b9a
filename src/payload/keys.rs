//! The keys of the objects that are open at one place of a scan, to find a key that comes twice.
//!
//! One list for all depths: an object's keys lie behind those of the objects around it. A small object is searched
//! from end to end by fingerprint; a large one gets a hash set with a secret seed, so that no stranger can choose
//! keys that make the search quadratic.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};

/// The most keys of an object that are searched; above it, hashing is cheaper.
const SEARCHED_KEYS_MAX: usize = 128;

#[derive(Default)]
pub(super) struct OpenKeys<'a> {
    prints: Vec<u64>,
    keys: Vec<Cow<'a, str>>,
}

/// One object of [`OpenKeys`].
pub(super) struct OpenObject<'a> {
    start: usize,
    large: Option<HashSet<Cow<'a, str>>>,
}

impl<'a> OpenKeys<'a> {
    pub(super) fn open(&self) -> OpenObject<'a> {
        OpenObject { start: self.keys.len(), large: None }
    }

    /// Adds a key; gives it back if the object already has it.
    pub(super) fn add(&mut self, object: &mut OpenObject<'a>, key: Cow<'a, str>) -> Result<(), Cow<'a, str>> {
        let print = fingerprint(key.as_bytes());
        let known = match &mut object.large {
            Some(keys) => !keys.insert(key.clone()),
            None => self.searched(object.start, print, &key),
        };
        if known {
            return Err(key);
        }
        self.prints.push(print);
        self.keys.push(key);
        let own = self.keys.get(object.start..).unwrap_or_default();
        if object.large.is_none() && own.len() > SEARCHED_KEYS_MAX {
            object.large = Some(own.iter().cloned().collect());
        }
        Ok(())
    }

    pub(super) fn close(&mut self, object: OpenObject<'a>) {
        self.prints.truncate(object.start);
        self.keys.truncate(object.start);
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns the key that was the `count`th to be added.
    pub(super) fn get(&self, count: usize) -> Option<&str> {
        self.keys.get(count.checked_sub(1)?).map(AsRef::as_ref)
    }

    fn searched(&self, start: usize, print: u64, key: &str) -> bool {
        let prints = self.prints.get(start..).unwrap_or_default();
        let keys = self.keys.get(start..).unwrap_or_default();
        // Counting goes to the end, and so is compiled to vector instructions; a search that stops early is not.
        let alike = prints.iter().filter(|&&other| other == print).count();
        alike > 0 && keys.iter().any(|other| other == key)
    }
}

/// Returns a number made of both ends and the length: enough to tell apart the keys that people give to one object.
fn fingerprint(key: &[u8]) -> u64 {
    let ends = match (key.first_chunk(), key.last_chunk()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29),
        _ => key.iter().fold(0, |bits, &byte| (bits << 8) | u64::from(byte)),
    };
    ends ^ (key.len() as u64).rotate_left(56)
}

/// A key, borrowed from the body unless it has escapes.
pub(super) struct MemberKey<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for MemberKey<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = MemberKey<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, text: &str) -> Result<MemberKey<'de>, E> {
                Ok(MemberKey(Cow::Owned(text.to_owned())))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<MemberKey<'de>, E> {
                Ok(MemberKey(Cow::Borrowed(text)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
