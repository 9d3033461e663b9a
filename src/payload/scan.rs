//! The visitor that builds nothing: it checks all that `parse` checks and keeps a few scalars.
//!
//! The scan uses the same serde_json reader as the tree, so that both accept the same inputs. To find a duplicate, it
//! also holds the keys of the open objects.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::keys::{MemberKey, OpenKeys};
use super::malformed::{Malformed, OUT_OF_RANGE, Trail};
use super::number::{ExponentNumbers, First, FirstKey};
use super::pointer::Pointer;

/// A set of pointers, one bit each.
type Wanted = u32;

/// The most scalars that one scan looks up.
pub const POINTERS_MAX: usize = Wanted::BITS as usize;

type Found<'a> = (&'a Pointer, Option<Cow<'a, str>>);

/// A body that is sound JSON, and the scalars that were looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct Scanned<'a> {
    found: Vec<Found<'a>>,
}

impl Scanned<'_> {
    /// Returns the string, number or boolean at `pointer`, as text; `None` for a pointer that was not given to the
    /// scan.
    pub fn text_at(&self, pointer: &Pointer) -> Option<Cow<'_, str>> {
        let (_, text) = self.found.iter().find(|(asked, _)| *asked == pointer)?;
        text.as_deref().map(Cow::Borrowed)
    }
}

pub(super) fn scalars<'a>(text: &'a str, pointers: &'a [Pointer]) -> Result<Scanned<'a>, Malformed> {
    let found: Vec<Found<'a>> = pointers.iter().take(POINTERS_MAX).map(|pointer| (pointer, None)).collect();
    let wanted = found.iter().enumerate().fold(0, |bits: Wanted, (index, _)| bits | bit(index));
    let numbers = ExponentNumbers::of(text);
    let mut scan = Scan { found, keys: OpenKeys::default(), numbers, trail: Trail::default() };
    let mut reader = serde_json::Deserializer::from_str(text);
    let checked = At { scan: &mut scan, depth: 0, wanted }.deserialize(&mut reader).and_then(|()| reader.end());
    match checked {
        Ok(()) => Ok(Scanned { found: scan.found }),
        Err(error) => Err(Malformed::of(&error, text, scan.trail)),
    }
}

fn bit(index: usize) -> Wanted {
    1 << index
}

struct Scan<'a> {
    found: Vec<Found<'a>>,
    keys: OpenKeys<'a>,
    numbers: ExponentNumbers<'a>,
    trail: Trail,
}

impl<'a> Scan<'a> {
    fn narrowed(&self, wanted: Wanted, names: impl Fn(&Pointer) -> bool) -> Wanted {
        if wanted == 0 {
            return 0;
        }
        let hits =
            self.found.iter().enumerate().filter(|(index, (pointer, _))| wanted & bit(*index) != 0 && names(pointer));
        hits.fold(0, |bits, (index, _)| bits | bit(index))
    }

    #[cold]
    fn keep(&mut self, wanted: Wanted, depth: usize, text: Cow<'a, str>) {
        for (index, (pointer, place)) in self.found.iter_mut().enumerate() {
            if wanted & bit(index) != 0 && pointer.len() == depth {
                *place = Some(text.clone());
            }
        }
    }
}

/// One value: its depth, and the pointers that lead to it or through it.
struct At<'s, 'a> {
    scan: &'s mut Scan<'a>,
    depth: usize,
    wanted: Wanted,
}

impl<'a> At<'_, 'a> {
    fn scalar(self, text: impl FnOnce() -> Cow<'a, str>) {
        if self.wanted != 0 {
            self.scan.keep(self.wanted, self.depth, text());
        }
    }

    fn below(&mut self, wanted: Wanted) -> At<'_, 'a> {
        At { scan: self.scan, depth: self.depth + 1, wanted }
    }
}

impl<'de> DeserializeSeed<'de> for At<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        self.scalar(|| Cow::Borrowed(super::bool_text(flag)));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.scalar(|| Cow::Owned(number.to_string()));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.scalar(|| Cow::Owned(number.to_string()));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.scalar(|| Cow::Owned(text.to_owned()));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.scalar(|| Cow::Borrowed(text));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let (depth, wanted) = (self.depth, self.wanted);
        for index in 0.. {
            let wanted = self.scan.narrowed(wanted, |pointer| pointer.names_index(depth, index));
            match seq.next_element_seed(self.below(wanted)) {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(error) => {
                    self.scan.trail.climb_index(index);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        let (depth, wanted) = (self.depth, self.wanted);
        let mut next = match object.next_key_seed(FirstKey)? {
            Some(First::Number) => {
                let written = self.scan.numbers.written(object.next_value()?);
                let written = written.ok_or_else(|| A::Error::custom(OUT_OF_RANGE))?;
                self.scalar(|| written);
                return Ok(());
            }
            Some(First::Key(key)) => Some(key),
            None => None,
        };
        let mut open = self.scan.keys.open();
        while let Some(key) = next {
            let wanted = self.scan.narrowed(wanted, |pointer| pointer.names_key(depth, &key));
            if let Err(key) = self.scan.keys.add(&mut open, key) {
                self.scan.trail.begin(&key);
                return Err(A::Error::custom("duplicate key"));
            }
            let added = self.scan.keys.len();
            if let Err(error) = object.next_value_seed(self.below(wanted)) {
                let key = self.scan.keys.get(added).unwrap_or_default().to_owned();
                self.scan.trail.climb_key(&key);
                return Err(error);
            }
            next = object.next_key::<MemberKey<'de>>()?.map(|MemberKey(key)| key);
        }
        self.scan.keys.close(open);
        Ok(())
    }
}
