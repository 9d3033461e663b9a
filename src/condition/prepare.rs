//! Rewrites a checked expression into the one that is evaluated.
//!
//! - A loop that is ours to run is taken out (see `loops.rs`).
//! - Every round of another comprehension first reads the variable [`TICK`], which spends one step of the budget.
//! - `matches("…")` becomes a call of [`MATCHES`] with a pattern that is compiled here, once.
//! - `[1, 2] == x` becomes `x == [1, 2]`: cel asks the left side, and its own lists do not know ours.
//!
//! None of the new names can be written in CEL.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use super::loops::{self, Loop};
use super::problem::{ConditionProblem, Place};
use super::view::Pattern;

pub(super) const MATCHES: &str = "@matches";
pub(super) const TICK: &str = "@tick";
/// Followed by the number of the pattern.
pub(super) const PATTERN: &str = "@pattern";

/// What is evaluated.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) tree: IdedExpr,
    pub(super) patterns: Vec<Pattern>,
    pub(super) loops: Vec<Loop>,
}

pub(super) fn prepared(mut tree: IdedExpr, places: &SourceInfo) -> Result<Program, ConditionProblem> {
    let mut prepare = Prepare { places, patterns: Vec::new(), loops: Vec::new(), within_cels: 0 };
    prepare.visit(&mut tree)?;
    Ok(Program { tree, patterns: prepare.patterns, loops: prepare.loops })
}

struct Prepare<'e> {
    places: &'e SourceInfo,
    patterns: Vec<Pattern>,
    loops: Vec<Loop>,
    /// How many comprehensions around are run by cel.
    within_cels: usize,
}

impl Prepare<'_> {
    fn visit(&mut self, node: &mut IdedExpr) -> Result<(), ConditionProblem> {
        let at = node.id;
        match &mut node.expr {
            Expr::Call(call) => {
                self.all(call.target.as_deref_mut().into_iter().chain(&mut call.args))?;
                if call.func_name == "matches" {
                    self.pattern(call, at)?;
                }
                literal_to_the_right(call);
                Ok(())
            }
            Expr::Select(select) => self.visit(&mut select.operand),
            Expr::List(list) => self.all(&mut list.elements),
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => self.all([&mut entry.key, &mut entry.value]),
                EntryExpr::StructField(field) => self.visit(&mut field.value),
            }),
            Expr::Comprehension(comprehension) => {
                self.all([&mut comprehension.iter_range, &mut comprehension.accu_init])?;
                if self.within_cels == 0
                    && let Some(ours) = self.taken_from(comprehension)?
                {
                    node.expr = ours;
                    return Ok(());
                }
                self.within_cels += 1;
                self.all([&mut comprehension.loop_cond, &mut comprehension.loop_step, &mut comprehension.result])?;
                self.within_cels -= 1;
                count_rounds(&mut comprehension.loop_cond, &mut comprehension.loop_step);
                Ok(())
            }
            Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) | Expr::Unspecified => Ok(()),
        }
    }

    fn all<'n>(&mut self, nodes: impl IntoIterator<Item = &'n mut IdedExpr>) -> Result<(), ConditionProblem> {
        nodes.into_iter().try_for_each(|node| self.visit(node))
    }

    fn taken_from(&mut self, comprehension: &mut ComprehensionExpr) -> Result<Option<Expr>, ConditionProblem> {
        let Some(mut ours) = Loop::taken_from(comprehension) else { return Ok(None) };
        self.visit(&mut ours.predicate)?;
        self.loops.push(ours);
        Ok(Some(loops::call(self.loops.len() - 1, std::mem::take(&mut comprehension.iter_range))))
    }

    fn pattern(&mut self, call: &mut CallExpr, at: u64) -> Result<(), ConditionProblem> {
        let not_literal = || ConditionProblem::PatternNotLiteral { at: Place::of(at, self.places) };
        let last = call.args.last_mut().ok_or_else(not_literal)?;
        let Expr::Literal(LiteralValue::String(text)) = &last.expr else {
            return Err(not_literal());
        };
        let pattern = Pattern::compile(text.inner()).map_err(|error| ConditionProblem::BadPattern {
            at: Place::of(at, self.places),
            message: last_line(&error.to_string()),
        })?;
        last.expr = Expr::Ident(format!("{PATTERN}{}", self.patterns.len()));
        self.patterns.push(pattern);
        MATCHES.clone_into(&mut call.func_name);
        if let Some(target) = call.target.take() {
            call.args.insert(0, *target);
        }
        Ok(())
    }
}

/// The engine draws the pattern first and says what is wrong with it last.
fn last_line(message: &str) -> String {
    let last = message.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

fn literal_to_the_right(call: &mut CallExpr) {
    if matches!(call.func_name.as_str(), operators::EQUALS | operators::NOT_EQUALS)
        && let [left, right] = call.args.as_mut_slice()
        && matches!(left.expr, Expr::List(_) | Expr::Map(_) | Expr::Comprehension(_))
    {
        std::mem::swap(left, right);
    }
}

/// Puts the tick where the round begins, but keeps the shape of `map` and `filter`, which cel knows how to run
/// without copying the list it builds.
fn count_rounds(condition: &mut IdedExpr, step: &mut IdedExpr) {
    if !matches!(condition.expr, Expr::Literal(_)) {
        return after_tick(condition);
    }
    let Expr::Call(call) = &mut step.expr else { return after_tick(step) };
    match (call.func_name.as_str(), call.args.as_mut_slice()) {
        (operators::CONDITIONAL, [guard, ..]) => after_tick(guard),
        (operators::ADD, [_, IdedExpr { expr: Expr::List(added), .. }]) => {
            added.elements.iter_mut().for_each(after_tick);
        }
        _ => after_tick(step),
    }
}

/// `node` becomes `@tick ? node : false`; the tick fails when the budget is spent.
fn after_tick(node: &mut IdedExpr) {
    let id = node.id;
    let node_of = |expr: Expr| IdedExpr { id, expr };
    let inner = std::mem::take(node);
    let args =
        vec![node_of(Expr::Ident(TICK.to_owned())), inner, node_of(Expr::Literal(LiteralValue::Boolean(false.into())))];
    *node = node_of(Expr::Call(CallExpr { func_name: operators::CONDITIONAL.to_owned(), target: None, args }));
}
