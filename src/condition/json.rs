//! A `serde_json::Value` as a CEL value, without converting it.
//!
//! Objects and arrays are borrowed; their members become CEL values when they are read. Numbers keep their
//! digits (`number.rs`).
//!
//! CEL may ask for the elements of a list by reference. So a list that a comprehension goes through keeps its elements
//! for as long as the list lives.

use std::sync::OnceLock;

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Iterable, Iterator as CelIterator, Sizer, Zeroer};
use cel::common::types::{self, CelBool, CelInt, CelNull, CelString, CelUInt, Kind, Type};
use cel::common::value::{CowVal, Val};
use serde_json::{Map, Value};

use super::budget::{Budget, Elements, lent};
use super::number;

pub(super) fn boxed<'a>(value: &'a Value, budget: &'a Budget) -> Box<dyn Val + 'a> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(flag) => Box::new(CelBool::from(*flag)),
        Value::Number(number) => number::boxed(number, budget),
        Value::String(string) => {
            budget.spend(string.len() / 1024);
            text(string)
        }
        Value::Array(items) => Box::new(List { items, budget, lent: OnceLock::new() }),
        Value::Object(members) => Box::new(Object { members, budget, lent: OnceLock::new() }),
    }
}

pub(super) fn text<'a>(text: &'a str) -> Box<dyn Val + 'a> {
    Box::new(CelString::from(text))
}

pub(super) fn length(length: usize) -> CelInt {
    CelInt::from(i64::try_from(length).unwrap_or(i64::MAX))
}

/// Returns the text of a key; a key of another type is an error.
pub(super) fn key_of(index: &dyn Val) -> Result<&str, ExecutionError> {
    let unexpected =
        || ExecutionError::UnexpectedType { got: index.get_type().name().to_owned(), want: "string".to_owned() };
    index.downcast_ref::<CelString<'_>>().map(CelString::inner).ok_or_else(unexpected)
}

static LIST: Type = types::LIST_TYPE;
static MAP: Type = types::MAP_TYPE;

#[derive(Debug)]
struct List<'a> {
    items: &'a [Value],
    budget: &'a Budget,
    lent: Elements<'a>,
}

#[derive(Debug)]
struct Object<'a> {
    members: &'a Map<String, Value>,
    budget: &'a Budget,
    lent: Elements<'a>,
}

/// Implements the part of `Val` in which lists and objects do not differ.
macro_rules! container_val {
    ($name:ident, $type:ident, $contents:ident) => {
        impl Val for $name<'_> {
            fn get_type(&self) -> &Type {
                &$type
            }

            fn cel_type() -> &'static Type {
                &$type
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

            fn as_zeroer(&self) -> Option<&dyn Zeroer> {
                Some(self)
            }

            fn equals(&self, other: &dyn Val) -> bool {
                self.equals_any(other)
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
            where
                Self: 'v,
            {
                Box::new($name { $contents: self.$contents, budget: self.budget, lent: OnceLock::new() })
            }
        }

        impl Sizer for $name<'_> {
            fn size(&self) -> CelInt {
                length(self.$contents.len())
            }
        }

        impl Zeroer for $name<'_> {
            fn is_zero_value(&self) -> bool {
                self.$contents.is_empty()
            }
        }

        impl Indexer for $name<'_> {
            fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
            where
                Self: 'v,
            {
                Ok(CowVal::Owned(boxed(self.member(index)?, self.budget)))
            }

            fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
            where
                Self: 'v,
            {
                Ok(boxed(self.member(index)?, self.budget))
            }
        }
    };
}

container_val!(List, LIST, items);
container_val!(Object, MAP, members);

impl<'a> List<'a> {
    fn member(&self, index: &dyn Val) -> Result<&'a Value, ExecutionError> {
        let position = if let Some(int) = index.downcast_ref::<CelInt>() {
            usize::try_from(*int.inner()).ok()
        } else if let Some(uint) = index.downcast_ref::<CelUInt>() {
            usize::try_from(*uint.inner()).ok()
        } else {
            let got = index.get_type().name().to_owned();
            return Err(ExecutionError::UnexpectedType { got, want: "int".to_owned() });
        };
        let outside = || ExecutionError::IndexOutOfBounds(cel::Value::Null);
        position.and_then(|position| self.items.get(position)).ok_or_else(outside)
    }

    /// Compares with another list by its traits alone: cel cannot recognise a borrowing type of ours.
    fn equals_any(&self, other: &dyn Val) -> bool {
        let same_size = other.as_sizer().is_some_and(|other| other.size() == self.size());
        let Some(other) = other.as_iterable().filter(|_| same_size && other.get_type().kind() == Kind::List) else {
            return false;
        };
        let mut others = other.iter();
        self.items.iter().all(|item| {
            let other = others.next();
            self.budget.spend(1) && other.is_some_and(|other| boxed(item, self.budget).equals(other))
        })
    }
}

impl<'a> Object<'a> {
    fn member(&self, index: &dyn Val) -> Result<&'a Value, ExecutionError> {
        let key = key_of(index)?;
        self.members.get(key).ok_or_else(|| ExecutionError::no_such_key(key))
    }

    fn equals_any(&self, other: &dyn Val) -> bool {
        let same_size = other.as_sizer().is_some_and(|other| other.size() == self.size());
        let Some(other) = other.as_indexer().filter(|_| same_size && other.get_type().kind() == Kind::Map) else {
            return false;
        };
        self.members.iter().all(|(key, member)| {
            let other = other.get(&CelString::from(key.as_str()));
            self.budget.spend(1) && other.is_ok_and(|other| boxed(member, self.budget).equals(&*other))
        })
    }
}

impl Container for List<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.items.iter().any(|item| self.budget.spend(1) && boxed(item, self.budget).equals(value)))
    }
}

impl Container for Object<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.members.contains_key(key_of(key)?))
    }
}

impl Iterable for List<'_> {
    fn iter<'b, 'v>(&'b self) -> Box<dyn CelIterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        let make = || self.items.iter().map(|item| boxed(item, self.budget)).collect();
        Box::new(lent(&self.lent, self.items.len(), self.budget, make))
    }
}

impl Iterable for Object<'_> {
    fn iter<'b, 'v>(&'b self) -> Box<dyn CelIterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        let make = || self.members.keys().map(|key| text(key)).collect();
        Box::new(lent(&self.lent, self.members.len(), self.budget, make))
    }
}
