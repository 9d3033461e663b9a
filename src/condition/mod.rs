//! Expressions over a request, written in CEL: conditions of routes (`when:`), keys (`order_by:`, `balance.key`), and
//! values (`transform:`).
//!
//! An expression is compiled and checked when the configuration is loaded: its names are known, its comprehensions
//! are nested at most [`NESTING_MAX`] deep, its patterns are literals of the linear `regex` engine. It is evaluated
//! over a lazy view of the request: nothing of the body is converted unless the expression touches it.
//!
//! The work that an event can cause is bounded by [`STEPS_MAX`], counted over all comprehensions, comparisons and long
//! strings of one evaluation.
//!
//! An expression that fails (a missing key, a wrong type) gives an error with its reason, without the values of the
//! payload. The route decides about an event on which it fails. There is no clock and no randomness: the same event
//! always gives the same answer.

mod budget;
mod check;
mod explain;
mod foreign;
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

pub use explain::{Explained, Gave, Part, SHOWN_CHARS_MAX, SeenValue, brief};
pub use key::KEY_BYTES_MAX;
pub use needs::Needed;
pub use problem::{ConditionError, ConditionPlace, ConditionProblem, NotJson};
pub use times::BadTime;
pub use truth::Gives;
pub use value::{VALUE_BYTES_MAX, VALUE_DEPTH_MAX, VALUE_NODES_MAX};
pub use view::{Received, View};

use budget::Budget;
use check::Names;
use prepare::Program;
use problem::kind_word;
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

/// Declares a kind of expression with the methods that all kinds share. Methods of one kind stand in its own file.
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

            /// Returns the text as it was written.
            pub fn text(&self) -> &str {
                &self.0.text
            }

            /// As it was written, with the name of a variable in the place of each value that is not shown.
            pub fn text_shown(&self) -> String {
                self.0.shown(&self.0.text)
            }

            /// Returns whether it has values of variables, which people do not see.
            pub fn is_masked(&self) -> bool {
                self.0.masked.is_some()
            }

            /// The parameters of the path that it names, each with its place; whether there are such is the source's
            /// business.
            pub fn params(&self) -> &[(String, ConditionPlace)] {
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

        impl Hiding for $name {
            fn hiding(mut self, values: Vec<(String, String)>, text: &str) -> Self {
                self.0.masked = Some(Box::new(Masked::new(values, text)));
                self
            }
        }
    };
}

/// Any kind of expression, as it is made for a file with variables.
pub trait Hiding: Sized {
    /// Returns the expression with hidden values: `values` are those of variables, each with its `${NAME}`, and `text` is
    /// the expression with these names in their places.
    #[must_use]
    fn hiding(self, values: Vec<(String, String)>, text: &str) -> Self;
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

/// A compiled expression of any kind; its kind decides about the value.
#[derive(Debug)]
struct Expression {
    text: String,
    program: Program,
    names: Names,
    /// The shown form of an expression that has values of variables.
    masked: Option<Box<Masked>>,
}

/// An expression without the values of variables.
#[derive(Debug)]
struct Masked {
    /// The values, each with what stands for it. A value that holds another one comes first.
    values: Vec<(String, String)>,
    /// The expression with the names in their places; `None` where that does not compile, such as a number that is given.
    expression: Option<Expression>,
}

impl Masked {
    fn new(mut values: Vec<(String, String)>, text: &str) -> Self {
        values.retain(|(value, _)| !value.is_empty());
        values.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        Self { values, expression: Expression::compile(text).ok() }
    }
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

    /// Compiles and checks a text; `fits` is the check of its kind.
    fn compile_if(text: &str, fits: Fits) -> Result<Self, ConditionProblem> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ConditionProblem::TooLong { bytes: text.len() });
        }
        check::brackets(text)?;
        let (tree, places) = parsed(text)?;
        let names = check::expression(&tree, &places)?;
        fits(&tree, &places)?;
        let program = prepare::prepared(tree, &places)?;
        Ok(Self { text: text.to_owned(), program, names, masked: None })
    }

    /// Returns a text about this expression without the hidden values.
    fn shown(&self, text: &str) -> String {
        let values = self.masked.iter().flat_map(|masked| &masked.values);
        values.fold(text.to_owned(), |text, (value, shown)| text.replace(value.as_str(), shown))
    }

    fn truth(&self, view: &View<'_>, budget: &Budget) -> Result<bool, ConditionError> {
        let flag = |value: &dyn Val| match value.downcast_ref::<CelBool>() {
            Some(flag) => Ok(*flag.inner()),
            None => Err(ConditionError::NotBool(kind_word(value.get_type().name()))),
        };
        self.evaluate_within(budget, view, flag)?
    }

    /// Evaluates the expression; returns the result of `read` on the value.
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
            ConditionError::WrongType { .. } if budget.has_met_long_number() => ConditionError::LongNumber,
            ConditionError::MissingKey { name: Some(name) } => {
                ConditionError::MissingKey { name: Some(self.shown(&name)) }
            }
            other => other,
        })?;
        let read = read(&*value);
        if budget.exceeded() { Err(ConditionError::TooLarge) } else { Ok(read) }
    }
}

/// Parses an expression as it is written, before `prepare`.
fn parsed(text: &str) -> Result<(IdedExpr, SourceInfo), ConditionProblem> {
    foreign::foreign(text)?;
    ENVIRONMENT.parser().parse_with_source_info(text).map_err(|errors| ConditionProblem::syntax(text, &errors))
}

/// Evaluates `string.matches("…")`, after `prepare` has compiled the pattern.
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
