//! The headers of a request as a CEL map: names in any case, the first value of each, other bytes than UTF-8 replaced.

use std::borrow::Cow;
use std::sync::OnceLock;

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Iterable, Iterator as CelIterator, Sizer};
use cel::common::types::{self, CelInt, CelString, Type};
use cel::common::value::{CowVal, Val};
use http::HeaderMap;

use super::budget::{Elements, Lent};
use super::json;

static MAP: Type = types::MAP_TYPE;

/// The variable `headers`.
#[derive(Debug)]
pub(super) struct Headers<'a> {
    map: &'a HeaderMap,
    names: Elements<'a>,
}

impl<'a> Headers<'a> {
    pub(super) fn new(map: &'a HeaderMap) -> Self {
        Self { map, names: OnceLock::new() }
    }

    fn first(&self, name: &dyn Val) -> Result<CelString<'a>, ExecutionError> {
        let name = json::key_of(name)?;
        let value = self.map.get(name).ok_or_else(|| ExecutionError::no_such_key(name))?;
        Ok(match String::from_utf8_lossy(value.as_bytes()) {
            Cow::Borrowed(text) => CelString::from(text),
            Cow::Owned(text) => CelString::from(text),
        })
    }
}

impl Val for Headers<'_> {
    fn get_type(&self) -> &Type {
        &MAP
    }

    fn cel_type() -> &'static Type {
        &MAP
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(Headers::new(self.map))
    }
}

impl Container for Headers<'_> {
    fn contains(&self, name: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.map.contains_key(json::key_of(name)?))
    }
}

impl Indexer for Headers<'_> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.first(index).map(CowVal::owned)
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Ok(Box::new(self.first(index)?))
    }
}

impl Iterable for Headers<'_> {
    fn iter<'b, 'v>(&'b self) -> Box<dyn CelIterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        let names = self.names.get_or_init(|| self.map.keys().map(|name| json::text(name.as_str())).collect());
        Box::new(Lent::new(names))
    }
}

impl Sizer for Headers<'_> {
    fn size(&self) -> CelInt {
        json::length(self.map.keys_len())
    }
}
