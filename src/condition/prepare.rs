//! The rewriting of a checked expression into the one that is evaluated.
//!
//! - A loop that runs here is taken out (see `loops`).
//! - Every round of another comprehension first reads the variable [`TICK`], which spends one step of the budget.
//! - `x.a` becomes `x["a"]` where `x` is the body, the form or an item of them: for every path that is written with
//!   dots, cel first asks each scope for variables named by the whole path or by less of it. Fields of other values,
//!   such as optionals, stay fields, because an index may differ from a field there.
//! - `matches("…")` becomes a call of [`MATCHES`] with a pattern that is compiled here, once.
//! - `[1, 2] == x` becomes `x == [1, 2]` and `5 < x` becomes `x > 5`: cel asks the left side, and its own lists and
//!   numbers do not know ours.
//! - `string(x)` becomes `string(@written(x))`, so that a number of the payload keeps its digits.
//! - `timestamp(x)` and `duration(x)` become calls that follow CEL's definition (see `times`).
//!
//! None of the new names can be written in CEL.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::common::types::CelString;

use super::check::OF_JSON;
use super::loops::{self, Loop};
use super::problem::{ConditionPlace, ConditionProblem};
use super::times;
use super::view::Pattern;

pub(super) const MATCHES: &str = "@matches";
pub(super) const WRITTEN: &str = "@written";
pub(super) const TICK: &str = "@tick";
/// The name of a pattern in an expression, followed by the number of the pattern.
pub(super) const PATTERN: &str = "@pattern";

/// The expression that is evaluated, with its patterns and loops.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) tree: IdedExpr,
    pub(super) patterns: Vec<Pattern>,
    pub(super) loops: Vec<Loop>,
}

pub(super) fn prepared(mut tree: IdedExpr, places: &SourceInfo) -> Result<Program, ConditionProblem> {
    let mut prepare = Prepare { places, patterns: Vec::new(), loops: Vec::new(), names: Vec::new(), within_cels: 0 };
    prepare.visit(&mut tree)?;
    Ok(Program { tree, patterns: prepare.patterns, loops: prepare.loops })
}

struct Prepare<'e> {
    places: &'e SourceInfo,
    patterns: Vec<Pattern>,
    loops: Vec<Loop>,
    /// The variables of the outer comprehensions, each with true if it holds a value of the body.
    names: Vec<(String, bool)>,
    /// The number of outer comprehensions that cel runs.
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
                if call.func_name == "string" {
                    call.args.iter_mut().for_each(as_written);
                }
                literal_to_the_right(call);
                times::prepare(node);
                Ok(())
            }
            Expr::Select(select) => {
                self.visit(&mut select.operand)?;
                if !select.test && matches!(select.operand.expr, Expr::Ident(_)) && self.is_of_body(&select.operand) {
                    node.expr = index(std::mem::take(&mut *select.operand), std::mem::take(&mut select.field));
                }
                Ok(())
            }
            Expr::List(list) => self.all(&mut list.elements),
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => self.all([&mut entry.key, &mut entry.value]),
                EntryExpr::StructField(field) => self.visit(&mut field.value),
            }),
            Expr::Comprehension(comprehension) => {
                if let Some(ours) = self.comprehension(comprehension)? {
                    node.expr = ours;
                }
                Ok(())
            }
            Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) | Expr::Unspecified => Ok(()),
        }
    }

    fn all<'n>(&mut self, nodes: impl IntoIterator<Item = &'n mut IdedExpr>) -> Result<(), ConditionProblem> {
        nodes.into_iter().try_for_each(|node| self.visit(node))
    }

    /// Rewrites a comprehension; returns the expression that replaces a loop that runs here.
    fn comprehension(&mut self, comprehension: &mut ComprehensionExpr) -> Result<Option<Expr>, ConditionProblem> {
        let of_body = self.is_of_body(&comprehension.iter_range);
        self.all([&mut comprehension.iter_range, &mut comprehension.accu_init])?;
        let outer = self.names.len();
        self.names.push((comprehension.iter_var.clone(), of_body));
        let ours = if self.within_cels == 0 { Loop::taken_from(comprehension) } else { None };
        let replaced = if let Some(mut ours) = ours {
            self.visit(&mut ours.predicate)?;
            self.loops.push(ours);
            Some(loops::call(self.loops.len() - 1, std::mem::take(&mut comprehension.iter_range)))
        } else {
            self.names.push((comprehension.accu_var.clone(), false));
            self.within_cels += 1;
            self.all([&mut comprehension.loop_cond, &mut comprehension.loop_step, &mut comprehension.result])?;
            self.within_cels -= 1;
            count_rounds(&mut comprehension.loop_cond, &mut comprehension.loop_step);
            None
        };
        self.names.truncate(outer);
        Ok(replaced)
    }

    /// Returns whether a node is the body or the form, or a value within one of them.
    fn is_of_body(&self, node: &IdedExpr) -> bool {
        match &node.expr {
            Expr::Ident(name) => match self.names.iter().rev().find(|(own, _)| own == name) {
                Some((_, of_body)) => *of_body,
                None => OF_JSON.contains(&name.as_str()),
            },
            Expr::Select(select) => !select.test && self.is_of_body(&select.operand),
            Expr::Call(call) if call.func_name == operators::INDEX => {
                call.args.first().is_some_and(|operand| self.is_of_body(operand))
            }
            _ => false,
        }
    }

    fn pattern(&mut self, call: &mut CallExpr, at: u64) -> Result<(), ConditionProblem> {
        let not_literal = || ConditionProblem::PatternNotLiteral { at: ConditionPlace::of(at, self.places) };
        let last = call.args.last_mut().ok_or_else(not_literal)?;
        let Expr::Literal(LiteralValue::String(text)) = &last.expr else {
            return Err(not_literal());
        };
        let pattern = Pattern::compile(text.inner()).map_err(|error| ConditionProblem::BadPattern {
            at: ConditionPlace::of(at, self.places),
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

fn index(operand: IdedExpr, field: String) -> Expr {
    let field = IdedExpr { id: operand.id, expr: Expr::Literal(LiteralValue::String(CelString::from(field))) };
    Expr::Call(CallExpr { func_name: operators::INDEX.to_owned(), target: None, args: vec![operand, field] })
}

/// Returns the last line of a message: the regex engine draws the pattern first and names the problem last.
fn last_line(message: &str) -> String {
    let last = message.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

fn literal_to_the_right(call: &mut CallExpr) {
    let mirrored = match call.func_name.as_str() {
        same @ (operators::EQUALS | operators::NOT_EQUALS) => same,
        operators::LESS => operators::GREATER,
        operators::LESS_EQUALS => operators::GREATER_EQUALS,
        operators::GREATER => operators::LESS,
        operators::GREATER_EQUALS => operators::LESS_EQUALS,
        _ => return,
    };
    let is_equality = mirrored == call.func_name;
    let [left, right] = call.args.as_mut_slice() else { return };
    let is_made = matches!(left.expr, Expr::List(_) | Expr::Map(_) | Expr::Comprehension(_));
    if (is_made && is_equality) || (is_number(&left.expr) && !is_number(&right.expr)) {
        std::mem::swap(left, right);
        call.func_name = mirrored.to_owned();
    }
}

/// Returns whether an expression is a number literal, with or without a sign.
fn is_number(expression: &Expr) -> bool {
    match expression {
        Expr::Literal(LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_)) => true,
        Expr::Call(call) if call.func_name == operators::NEGATE => call.args.iter().all(|arg| is_number(&arg.expr)),
        _ => false,
    }
}

/// Turns `node` into `@written(node)`.
fn as_written(node: &mut IdedExpr) {
    let id = node.id;
    let inner = std::mem::take(node);
    let call = CallExpr { func_name: WRITTEN.to_owned(), target: None, args: vec![inner] };
    *node = IdedExpr { id, expr: Expr::Call(call) };
}

/// Puts the tick at the beginning of each round, and keeps the shape of `map` and `filter`, which cel runs without
/// copying the list it builds.
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

/// Turns `node` into `@tick ? node : false`; the tick fails when the budget is spent.
fn after_tick(node: &mut IdedExpr) {
    let id = node.id;
    let node_of = |expr: Expr| IdedExpr { id, expr };
    let inner = std::mem::take(node);
    let args =
        vec![node_of(Expr::Ident(TICK.to_owned())), inner, node_of(Expr::Literal(LiteralValue::Boolean(false.into())))];
    *node = node_of(Expr::Call(CallExpr { func_name: operators::CONDITIONAL.to_owned(), target: None, args }));
}
