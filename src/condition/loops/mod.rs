//! The loops of `exists`, `all` and `exists_one`. This room runs them, and cel evaluates their predicates.
//!
//! cel sets two named variables in every round and asks a condition whether to go on, which costs more than most
//! predicates. Here a round is a scope that borrows its item.
//!
//! The expression holds `@loop3[range]` instead: cel evaluates the range, as it does every index, and passes it to
//! [`Running`], which may answer or fail. Loops inside of `map`, `filter` and `optMap` stay cel's, because the scopes
//! here do not know cel's variables.
//!
//! The results are cel's: an error counts only if no other round decides, of several errors the last one counts, and
//! `exists_one` fails at the first error.

use std::sync::Arc;

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::traits::Indexer;
use cel::common::types::{CelBool, Type};
use cel::common::value::{CowVal, Val};
use cel::{Context, ExecutionError, Value};

use super::ENVIRONMENT;
use super::view::Scope;

/// The name of a loop in an expression, followed by the number of the loop.
pub(super) const LOOP: &str = "@loop";

/// A loop that was taken out of an expression.
#[derive(Debug)]
pub(super) struct Loop {
    quantifier: Quantifier,
    variable: String,
    pub(super) predicate: IdedExpr,
}

#[derive(Clone, Copy, Debug)]
enum Quantifier {
    Exists,
    All,
    ExistsOne,
}

/// The name that cel gives to the result that its loops gather; it cannot be written in CEL.
pub(super) const GATHERED: &str = "@result";

/// Returns the predicate of a comprehension; `None` for `map`, `filter` and the comprehension of `optMap`.
pub(super) fn predicate(comprehension: &ComprehensionExpr) -> Option<&IdedExpr> {
    let (_, position) = shape(comprehension)?;
    let Expr::Call(step) = &comprehension.loop_step.expr else { return None };
    step.args.get(position)
}

/// Returns the kind of a loop that runs here, and the position of the predicate among the arguments of its step.
fn shape(comprehension: &ComprehensionExpr) -> Option<(Quantifier, usize)> {
    let Expr::Literal(start) = &comprehension.accu_init.expr else { return None };
    let Expr::Call(step) = &comprehension.loop_step.expr else { return None };
    if comprehension.accu_var != GATHERED || comprehension.iter_var2.is_some() {
        return None;
    }
    match (start, step.func_name.as_str()) {
        (LiteralValue::Boolean(_), operators::LOGICAL_OR) => Some((Quantifier::Exists, 1)),
        (LiteralValue::Boolean(_), operators::LOGICAL_AND) => Some((Quantifier::All, 1)),
        (LiteralValue::Int(_), operators::CONDITIONAL) => Some((Quantifier::ExistsOne, 0)),
        _ => None,
    }
}

impl Loop {
    /// Takes variable and predicate out of a comprehension; `None` for a loop that stays cel's.
    pub(super) fn taken_from(comprehension: &mut ComprehensionExpr) -> Option<Self> {
        let (quantifier, position) = shape(comprehension)?;
        let Expr::Call(step) = &mut comprehension.loop_step.expr else { return None };
        let predicate = std::mem::take(step.args.get_mut(position)?);
        Some(Self { quantifier, variable: std::mem::take(&mut comprehension.iter_var), predicate })
    }
}

/// Returns the expression that stands for loop `number` over `range`.
pub(super) fn call(number: usize, range: IdedExpr) -> Expr {
    let running = IdedExpr { id: range.id, expr: Expr::Ident(format!("{LOOP}{number}")) };
    Expr::Call(CallExpr { func_name: operators::INDEX.to_owned(), target: None, args: vec![running, range] })
}

/// One round of a loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round<'a> {
    pub(super) variable: &'a str,
    pub(super) item: &'a (dyn Val + 'a),
    /// The variables outside of the loop.
    pub(super) around: &'a Scope<'a>,
}

/// A loop that still needs its range.
#[derive(Debug)]
pub(super) struct Running<'a> {
    pub(super) own: &'a Loop,
    pub(super) around: &'a Scope<'a>,
}

impl Running<'_> {
    fn answer(&self, range: &dyn Val) -> Result<bool, ExecutionError> {
        match self.own.quantifier {
            Quantifier::Exists => self.decided_by(true, range),
            Quantifier::All => self.decided_by(false, range),
            Quantifier::ExistsOne => {
                let mut found = 0_usize;
                self.rounds(range, |gave| {
                    found += usize::from(gave?);
                    Ok(true)
                })?;
                Ok(found == 1)
            }
        }
    }

    /// Returns `decisive` as soon as one round gives it, whatever failed before.
    fn decided_by(&self, decisive: bool, range: &dyn Val) -> Result<bool, ExecutionError> {
        let (mut decided, mut failed) = (false, None);
        self.rounds(range, |gave| {
            match gave {
                Ok(gave) => decided = gave == decisive,
                Err(error) => failed = Some(error),
            }
            Ok(!decided)
        })?;
        match failed {
            Some(error) if !decided => Err(error),
            _ => Ok(decided == decisive),
        }
    }

    /// Passes the predicate's result for one item after the other to `hear`, until `hear` gives false.
    fn rounds(
        &self,
        range: &dyn Val,
        mut hear: impl FnMut(Result<bool, ExecutionError>) -> Result<bool, ExecutionError>,
    ) -> Result<(), ExecutionError> {
        let mut items = range.as_iterable().ok_or_else(|| unexpected(range, "iterable"))?.iter();
        // The scope of the round resolves names; this context knows the types.
        let types = Context::with_env(Arc::clone(&ENVIRONMENT));
        let mut more = true;
        while let Some(item) = items.next() {
            if !self.around.spend(1) {
                return Err(ExecutionError::function_error(LOOP, "the budget is spent"));
            }
            if !more {
                break;
            }
            let round = Round { variable: &self.own.variable, item, around: self.around };
            let scope = self.around.within(round);
            let mut context = types.new_inner_scope();
            context.set_variable_resolver(&scope);
            let gave = Value::resolve_val(&self.own.predicate, &context);
            more = hear(gave.and_then(|gave| truth(&*gave)))?;
        }
        Ok(())
    }
}

fn truth(value: &dyn Val) -> Result<bool, ExecutionError> {
    value.downcast_ref::<CelBool>().map(|flag| *flag.inner()).ok_or_else(|| unexpected(value, "bool"))
}

fn unexpected(value: &dyn Val, want: &str) -> ExecutionError {
    ExecutionError::UnexpectedType { got: value.get_type().name().to_owned(), want: want.to_owned() }
}

static TYPE: Type = Type::new_unspecified_type("loop");

impl Val for Running<'_> {
    fn get_type(&self) -> &Type {
        &TYPE
    }

    fn cel_type() -> &'static Type {
        &TYPE
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
        Box::new(Running { own: self.own, around: self.around })
    }
}

impl Indexer for Running<'_> {
    fn get<'b, 'v>(&'b self, range: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Ok(CowVal::Borrowed(if self.answer(range)? { &CelBool::TRUE } else { &CelBool::FALSE }))
    }

    fn steal<'v>(self: Box<Self>, range: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Ok(Box::new(CelBool::from(self.answer(range)?)))
    }
}

#[cfg(test)]
mod tests;
