//! The variables of a condition, resolved from the request when they are read.

use std::any::Any;
use std::collections::HashMap;

use cel::ExecutionError;
use cel::common::traits::Indexer;
use cel::common::types::{self, CelBool, CelMap, CelMapKey, CelString, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::context::VariableResolver;
use http::HeaderMap;
use regex::Regex;

use super::budget::Budget;
use super::headers::Headers;
use super::{json, prepare};

/// What a condition may look at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Absent when the body is not JSON.
    pub body: Option<&'a serde_json::Value>,
    /// Names are found in any case; the first value counts.
    pub headers: &'a HeaderMap,
    /// `event.type`
    pub event_type: &'a str,
    /// `event.id`
    pub event_id: &'a str,
    /// The name of the source.
    pub source: &'a str,
    /// The request's method.
    pub method: &'a str,
    /// The request's path.
    pub path: &'a str,
    /// The request's query, without `?`.
    pub query: &'a str,
    /// The parameters of the source's path, each with its value: `params.tenant`.
    pub params: &'a [(String, String)],
}

/// A view together with what its evaluation may spend.
pub(super) struct Scope<'a> {
    view: &'a View<'a>,
    patterns: &'a [Pattern],
    budget: &'a Budget,
}

impl<'a> Scope<'a> {
    pub(super) fn new(view: &'a View<'a>, patterns: &'a [Pattern], budget: &'a Budget) -> Self {
        Self { view, patterns, budget }
    }
}

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let text = |text: &'b str| Some(CowVal::owned(CelString::from(text)));
        match variable {
            "body" => self.view.body.map(|body| CowVal::Owned(json::boxed(body, self.budget))),
            "headers" => Some(CowVal::owned(Headers::new(self.view.headers))),
            "event" => Some(CowVal::owned(Event { kind: self.view.event_type, id: self.view.event_id })),
            "event.type" => text(self.view.event_type),
            "event.id" => text(self.view.event_id),
            "source" => text(self.view.source),
            "method" => text(self.view.method),
            "path" => text(self.view.path),
            "query" => text(self.view.query),
            "params" => {
                let of = |(name, value): &'b (String, String)| (CelMapKey::from(&**name), json::text(value));
                Some(CowVal::owned(CelMap::from(self.view.params.iter().map(of).collect::<HashMap<_, _>>())))
            }
            prepare::TICK => self.budget.spend(1).then(|| CowVal::owned(CelBool::from(true))),
            _ => {
                let number: usize = variable.strip_prefix(prepare::PATTERN)?.parse().ok()?;
                self.patterns.get(number).map(|pattern| CowVal::Borrowed(pattern as &dyn Val))
            }
        }
    }
}

static MAP: Type = types::MAP_TYPE;
static PATTERN: Type = Type::new_unspecified_type("pattern");

/// A compiled pattern of `matches`.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    pub(super) fn compile(text: &str) -> Result<Self, regex::Error> {
        Regex::new(text).map(Self)
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl StaticVal for Pattern {}

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN
    }

    fn cel_type() -> &'static Type {
        &PATTERN
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

#[derive(Clone, Debug)]
struct Event<'a> {
    kind: &'a str,
    id: &'a str,
}

impl Val for Event<'_> {
    fn get_type(&self) -> &Type {
        &MAP
    }

    fn cel_type() -> &'static Type {
        &MAP
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }
}

impl Indexer for Event<'_> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        match json::key_of(index)? {
            "type" => Ok(CowVal::owned(CelString::from(self.kind))),
            "id" => Ok(CowVal::owned(CelString::from(self.id))),
            other => Err(ExecutionError::no_such_key(other)),
        }
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(index).map(CowVal::into_owned)
    }
}
