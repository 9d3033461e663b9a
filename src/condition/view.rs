//! The variables of a condition, resolved from the request when they are read.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use cel::ExecutionError;
use cel::common::traits::Indexer;
use cel::common::types::{self, CelBool, CelMap, CelMapKey, CelString, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::context::VariableResolver;
use http::HeaderMap;
use regex::Regex;

use super::budget::Budget;
use super::headers::Headers;
use super::json;
use super::loops::{LOOP, Round, Running};
use super::prepare::{self, Program};

/// The form of a received body, and the reason for which there is no JSON. An implementation may decode the form when
/// it is first read.
pub trait Received: fmt::Debug + Sync {
    /// Returns an object of the form's fields, each with its first value; an empty object where the body is no form.
    fn form(&self) -> &serde_json::Value;
    /// Returns an object of the form's fields, each with all its values in a list.
    fn form_all(&self) -> &serde_json::Value;
    /// Returns the reason for which there is no JSON; `None` if there is JSON, or if the reason is unknown.
    fn no_json(&self) -> Option<String>;
}

static NO_FIELDS: LazyLock<serde_json::Value> = LazyLock::new(|| serde_json::Value::Object(serde_json::Map::new()));

/// A body of which nothing is known.
impl Received for () {
    fn form(&self) -> &serde_json::Value {
        &NO_FIELDS
    }

    fn form_all(&self) -> &serde_json::Value {
        &NO_FIELDS
    }

    fn no_json(&self) -> Option<String> {
        None
    }
}

/// The parts of a request that a condition may read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The body; `None` when it is not JSON.
    pub body: Option<&'a serde_json::Value>,
    /// The form, and the reason for which the body is not JSON.
    pub received: &'a dyn Received,
    /// The headers; names are found in any case, and the first value counts.
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

/// A view together with the budget of its evaluation, and the current round of a loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    view: &'a View<'a>,
    program: &'a Program,
    budget: &'a Budget,
    round: Option<Round<'a>>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(view: &'a View<'a>, program: &'a Program, budget: &'a Budget) -> Self {
        Self { view, program, budget, round: None }
    }

    pub(super) fn within(self, round: Round<'a>) -> Self {
        Self { round: Some(round), ..self }
    }

    /// Spends steps; returns whether the budget is not exceeded.
    pub(super) fn spend(&self, steps: usize) -> bool {
        self.budget.spend(steps)
    }

    /// Resolves the names that only `prepare` can write.
    fn written_in<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let numbered = |prefix| name.strip_prefix(prefix)?.parse::<usize>().ok();
        if name == prepare::TICK {
            return self.budget.spend(1).then(|| CowVal::Borrowed(&CelBool::TRUE as &dyn Val));
        }
        if let Some(own) = numbered(LOOP).and_then(|number| self.program.loops.get(number)) {
            return Some(CowVal::owned(Running { own, around: self }));
        }
        numbered(prepare::PATTERN)
            .and_then(|number| self.program.patterns.get(number))
            .map(|pattern| CowVal::Borrowed(pattern as &dyn Val))
    }
}

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        if variable.starts_with('@') {
            return self.written_in(variable);
        }
        if let Some(round) = &self.round {
            return match variable.strip_prefix(round.variable) {
                Some("") => Some(CowVal::Borrowed(round.item)),
                // `x.y` is a field of the item, even where an outer variable has this very name.
                Some(rest) if rest.starts_with('.') => None,
                _ => round.around.resolve(variable),
            };
        }
        let text = |text: &'b str| Some(CowVal::owned(CelString::from(text)));
        match variable {
            "body" => self.view.body.map(|body| CowVal::Owned(json::boxed(body, self.budget))),
            "form" => Some(CowVal::Owned(json::boxed(self.view.received.form(), self.budget))),
            "form_all" => Some(CowVal::Owned(json::boxed(self.view.received.form_all(), self.budget))),
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
            _ => None,
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
