//! Expressions over a request, written in CEL: conditions of routes (`when:`), keys (`order_by:`, `balance.key`), and
//! values (`transform:`).
//!
//! An expression is compiled and checked when the configuration is loaded: its names are known, its comprehensions
//! are nested at most [`NESTING_MAX`] deep, its patterns are literals of the linear `regex` engine. It is evaluated
//! over a lazy view of the request: nothing of the body is converted unless the expression touches it.
//!
//! What an event can make us spend is bounded by [`STEPS_MAX`], counted over all comprehensions, comparisons and
//! long strings of one evaluation.
//!
//! An expression that fails (a missing key, a wrong type) is an error that says why, without the values of the payload; what
//! an event is worth on which a route fails is the route's business. There is no clock and no randomness: the same event
//! always gives the same answer.

mod budget;
mod check;
mod explain;
mod functions;
mod headers;
mod json;
mod key;
mod loops;
mod needs;
mod number;
mod prepare;
mod problem;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod request;
mod times;
mod truth;
mod value;
mod view;

use std::sync::{Arc, LazyLock};

use cel::common::ast::SourceInfo;
use cel::common::types::{CelBool, CelString, DYN_TYPE, STRING_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{Context, Env, ExecutionError, IdedExpr, Value};

pub use explain::{Explained, Gave, Part, SHOWN_CHARS_MAX, Seen, brief};
pub use key::KEY_BYTES_MAX;
pub use needs::Needed;
pub use problem::{ConditionError, ConditionProblem, NotJson, Place};
pub use times::BadTime;
pub use truth::Gives;
pub use value::{VALUE_BYTES_MAX, VALUE_DEPTH_MAX, VALUE_NODES_MAX};
pub use view::{Received, View};

use budget::Budget;
use check::Names;
use prepare::Program;
use view::{Pattern, Scope};

/// Longest text of an expression.
pub const TEXT_BYTES_MAX: usize = 4096;
/// Deepest nesting of `all`, `exists`, `exists_one`, `map` and `filter`.
pub const NESTING_MAX: usize = 2;
/// Deepest nesting of expressions; evaluation is recursive.
pub const DEPTH_MAX: usize = 64;
/// Work of one evaluation: loop rounds, compared elements, KiB of strings.
pub const STEPS_MAX: u32 = 50_000;
/// Longest list or map of the body that a comprehension goes through.
pub const LIST_LENGTH_MAX: usize = 10_000;

/// Declares a kind of expression, with what all kinds have; what its value is for stands in its own file.
macro_rules! kind {
    ($(#[$doc:meta])* $name:ident, $fits:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(Expression);

        impl $name {
            /// Compiles and checks `text`.
            pub fn compile(text: &str) -> Result<Self, ConditionProblem> {
                Expression::compile_if(text, $fits).map(Self)
            }

            /// As it was written.
            pub fn text(&self) -> &str {
                &self.0.text
            }

            /// The parameters of the path that it names, each with its place; whether there are such is the source's
            /// business.
            pub fn params(&self) -> &[(String, Place)] {
                &self.0.names.params
            }

            /// Returns whether the expression reads the event's type: `event.type`, or all of `event`.
            pub fn reads_event_type(&self) -> bool {
                self.0.names.event_type
            }

            /// Returns whether the expression reads the event's id: `event.id`, or all of `event`.
            pub fn reads_event_id(&self) -> bool {
                self.0.names.event_id
            }
        }
    };
}

kind! {
    /// A compiled condition.
    Condition, truth::possible
}

kind! {
    /// A compiled expression whose value is a key.
    KeyExpression, |_, _| Ok(())
}

kind! {
    /// A compiled expression whose value is JSON.
    ValueExpression, |_, _| Ok(())
}

/// A compiled expression; what its value must be is the business of whoever asks.
#[derive(Debug)]
struct Expression {
    text: String,
    program: Program,
    names: Names,
    /// Values of variables in the text that are not shown, each with what stands for it.
    hidden: Vec<(String, String)>,
}

type Fits = fn(&IdedExpr, &SourceInfo) -> Result<(), ConditionProblem>;

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    environment
        .add_overload(prepare::MATCHES, "string_matches_pattern", vec![STRING_TYPE, DYN_TYPE], matches_pattern)
        .expect("no other function has this name");
    environment
        .add_overload(prepare::WRITTEN, "any_written", vec![DYN_TYPE], number::written)
        .expect("no other function has this name");
    times::add_to(&mut environment);
    Arc::new(environment)
});

impl Condition {
    /// The same, whose explanations name a variable in the place of each of these values.
    #[must_use]
    pub fn hiding(mut self, values: Vec<(String, String)>) -> Self {
        self.0.hidden = values;
        // A value that holds another one is looked for first.
        self.0.hidden.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        self
    }

    /// The parts of it that have no logic of their own, as they are shown.
    pub fn parts(&self) -> Vec<String> {
        explain::parts(&self.0.text).iter().map(|part| self.0.shown(part)).collect()
    }

    /// Returns whether the request matches. [`Condition::explain`] gives the reasons.
    pub fn matches(&self, view: &View<'_>) -> Result<bool, ConditionError> {
        self.0.truth(view, &Budget::default())
    }
}

impl Expression {
    fn compile(text: &str) -> Result<Self, ConditionProblem> {
        Self::compile_if(text, |_, _| Ok(()))
    }

    /// Compiles what has the names we know, and of which `fits` approves.
    fn compile_if(text: &str, fits: Fits) -> Result<Self, ConditionProblem> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ConditionProblem::TooLong { bytes: text.len() });
        }
        check::brackets(text)?;
        let (tree, places) = parsed(text)?;
        let names = check::expression(&tree, &places)?;
        fits(&tree, &places)?;
        let program = prepare::prepared(tree, &places)?;
        Ok(Self { text: text.to_owned(), program, names, hidden: Vec::new() })
    }

    /// A text about this expression without the values that are not shown.
    fn shown(&self, text: &str) -> String {
        let hide = |text: String, (value, shown): &(String, String)| match value.as_str() {
            "" => text,
            value => text.replace(value, shown),
        };
        self.hidden.iter().fold(text.to_owned(), hide)
    }

    fn truth(&self, view: &View<'_>, budget: &Budget) -> Result<bool, ConditionError> {
        let flag =
            self.evaluate_within(budget, view, |value| value.downcast_ref::<CelBool>().map(|flag| *flag.inner()))?;
        flag.ok_or(ConditionError::NotBool)
    }

    /// What `read` makes of the value.
    fn evaluate<T>(&self, view: &View<'_>, read: impl FnOnce(&dyn Val) -> T) -> Result<T, ConditionError> {
        self.evaluate_within(&Budget::default(), view, read)
    }

    fn evaluate_within<T>(
        &self,
        budget: &Budget,
        view: &View<'_>,
        read: impl FnOnce(&dyn Val) -> T,
    ) -> Result<T, ConditionError> {
        let scope = Scope::new(view, &self.program, budget);
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.set_variable_resolver(&scope);
        let outcome = Value::resolve_val(&self.program.tree, &context);
        if budget.exceeded() {
            return Err(ConditionError::TooLarge);
        }
        let value = outcome.map_err(|error| match ConditionError::of(&error, &self.text).about(view.received) {
            ConditionError::WrongType if budget.has_met_long_number() => ConditionError::LongNumber,
            other => other,
        })?;
        let read = read(&*value);
        if budget.exceeded() { Err(ConditionError::TooLarge) } else { Ok(read) }
    }
}

/// The expression as it is written, before `prepare`.
fn parsed(text: &str) -> Result<(IdedExpr, SourceInfo), ConditionProblem> {
    ENVIRONMENT.parser().parse_with_source_info(text).map_err(|errors| ConditionProblem::syntax(text, &errors))
}

/// `string.matches("…")`, after `prepare` has compiled the pattern.
fn matches_pattern<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [text, pattern] = arguments.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(2, arguments.len()));
    };
    match (text.downcast_ref::<CelString<'_>>(), pattern.downcast_ref::<Pattern>()) {
        (Some(text), Some(pattern)) => Ok(CowVal::owned(CelBool::from(pattern.is_match(text.inner())))),
        _ => Err(ExecutionError::missing_argument_or_target()),
    }
}

#[cfg(test)]
mod tests;
