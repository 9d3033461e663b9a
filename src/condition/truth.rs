//! The check that a condition can be true or false at all, as far as its text says.
//!
//! Only an expression that can never be a boolean is a problem: a text such as `event.type`, a sum, the list of a
//! `map`. Values of the payload may be anything. Operands of `&&`, `||` and `!`, the test of `? :` and the predicates
//! of `exists`, `all` and `exists_one` are checked too, because an operand that is no boolean is an error. One of the
//! two branches of `? :` may be no boolean: it stands for events that do not match. Such branches are `null` in
//! `has(body.x) ? body.x : null`, or the `optional.none()` that `optFlatMap` gives for a missing value.

use std::fmt;

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use super::check::TYPES;
use super::loops::{GATHERED, predicate};
use super::problem::{ConditionPlace, ConditionProblem};

/// The kind of a value that is never true or false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// `event.type`, `'x'`, `string(…)`.
    Text,
    /// `size(…)`, `1`, `a * b`.
    Number,
    /// `a + b`, of numbers, texts, lists or times.
    Sum,
    /// `a - b`, of numbers or times.
    Difference,
    /// `timestamp(…)`
    Timestamp,
    /// `duration(…)`
    Duration,
    /// `b'x'`, `bytes(…)`.
    Bytes,
    /// `null`
    Null,
    /// `[…]`, `map`, `filter`.
    List,
    /// `{…}`, `headers`.
    Map,
    /// `body.?x`
    Optional,
    /// `int`, `type(…)`.
    Type,
}

impl fmt::Display for Gives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, mended) = match self {
            Self::Text => ("a text", "compare it: … == \"…\""),
            Self::Number => ("a number", "compare it: … > 0"),
            Self::Sum => ("a number, a text, a list or a time", "compare it: … == …"),
            Self::Difference => ("a number or a time", "compare it: … == …"),
            Self::Timestamp => ("a timestamp", "compare it: … < timestamp(\"2026-11-30T12:00:00Z\")"),
            Self::Duration => ("a duration", "compare it: … < duration(\"1h30m\")"),
            Self::Bytes => ("bytes", "compare them: … == b\"…\""),
            Self::Null => ("null", "compare something with it: … == null"),
            Self::List => ("a list", "ask about its elements: ….exists(x, x == …), or for its size: size(…) > 0"),
            Self::Map => ("a map", "compare one of its fields, or ask for it: \"…\" in …"),
            Self::Optional => ("an optional", "say what holds when it is empty: ….orValue(false)"),
            Self::Type => ("a type", "compare it: type(…) == int"),
        };
        write!(f, "this gives {what}, never true or false; {mended}")
    }
}

/// Finds the first part that has to be a boolean and cannot.
pub(super) fn possible(root: &IdedExpr, places: &SourceInfo) -> Result<(), ConditionProblem> {
    match (Truth { own_names: Vec::new() }).impossible(root) {
        Some((id, gives)) => Err(ConditionProblem::NeverBool { at: ConditionPlace::of(id, places), gives }),
        None => Ok(()),
    }
}

type Impossible = Option<(u64, Gives)>;

struct Truth<'e> {
    /// The variables of the outer loops, which hide other variables of the same names.
    own_names: Vec<&'e str>,
}

impl<'e> Truth<'e> {
    fn impossible(&mut self, node: &'e IdedExpr) -> Impossible {
        let operands = match &node.expr {
            Expr::Call(call) => match call.func_name.as_str() {
                operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => &*call.args,
                operators::CONDITIONAL => return self.choice(&call.args),
                _ => return self.gives(node).map(|gives| (node.id, gives)),
            },
            Expr::Comprehension(comprehension) => return self.comprehension(node.id, comprehension),
            _ => return self.gives(node).map(|gives| (node.id, gives)),
        };
        operands.iter().find_map(|operand| self.impossible(operand))
    }

    /// Checks the test and the branches of `? :`.
    fn choice(&mut self, parts: &'e [IdedExpr]) -> Impossible {
        let [test, one, other] = parts else { return None };
        self.impossible(test).or_else(|| self.impossible(one).filter(|_| self.impossible(other).is_some()))
    }

    fn comprehension(&mut self, id: u64, comprehension: &'e ComprehensionExpr) -> Impossible {
        // Of the gathering comprehensions, only `map` and `filter` have no predicate; `optMap` binds a name in its
        // result.
        let asked = match predicate(comprehension) {
            Some(predicate) => predicate,
            None if comprehension.accu_var == GATHERED => return Some((id, Gives::List)),
            None => &comprehension.result,
        };
        let outer = self.own_names.len();
        self.own_names.extend([comprehension.iter_var.as_str(), comprehension.accu_var.as_str()]);
        let impossible = self.impossible(asked);
        self.own_names.truncate(outer);
        impossible
    }

    /// Returns what a value without logic of its own gives, if that is known and no boolean.
    fn gives(&self, node: &IdedExpr) -> Option<Gives> {
        match &node.expr {
            Expr::Literal(literal) => match literal {
                LiteralValue::Boolean(_) => None,
                LiteralValue::Bytes(_) => Some(Gives::Bytes),
                LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Some(Gives::Number),
                LiteralValue::Null => Some(Gives::Null),
                LiteralValue::String(_) => Some(Gives::Text),
            },
            Expr::List(_) => Some(Gives::List),
            Expr::Map(_) => Some(Gives::Map),
            Expr::Ident(name) if !self.own_names.contains(&name.as_str()) => match name.as_str() {
                "source" | "method" | "path" | "query" => Some(Gives::Text),
                "event" | "headers" | "params" => Some(Gives::Map),
                name => TYPES.contains(&name).then_some(Gives::Type),
            },
            Expr::Select(select) if !select.test => self.member(&select.operand),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(_) | Expr::Ident(_) | Expr::Select(_) | Expr::Struct(_) | Expr::Unspecified => None,
        }
    }

    /// Returns what a member of `operand` gives: some variables hold only texts, and optionals only optionals.
    fn member(&self, operand: &IdedExpr) -> Option<Gives> {
        match &operand.expr {
            Expr::Ident(name) if self.own_names.contains(&name.as_str()) => None,
            Expr::Ident(name) => matches!(name.as_str(), "event" | "headers" | "params").then_some(Gives::Text),
            _ => self.gives(operand).filter(|gives| *gives == Gives::Optional),
        }
    }

    fn call(&self, call: &CallExpr) -> Option<Gives> {
        match call.func_name.as_str() {
            operators::ADD => Some(Gives::Sum),
            operators::SUBSTRACT => Some(Gives::Difference),
            operators::MULTIPLY | operators::DIVIDE | operators::MODULO | operators::NEGATE => Some(Gives::Number),
            operators::INDEX => self.member(call.args.first()?),
            operators::OPT_INDEX | operators::OPT_SELECT | "none" | "of" | "ofNonZeroValue" | "or" => {
                Some(Gives::Optional)
            }
            "size" | "int" | "uint" | "double" => Some(Gives::Number),
            name if call.target.is_some() && name.starts_with("get") => Some(Gives::Number),
            "timestamp" => Some(Gives::Timestamp),
            "duration" => Some(Gives::Duration),
            "string" => Some(Gives::Text),
            "bytes" => Some(Gives::Bytes),
            "type" => Some(Gives::Type),
            // Comparisons and tests are booleans; the results of `dyn`, `value` and `orValue` are unknown.
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Condition, KeyExpression, ValueExpression};
    use super::*;

    #[test]
    fn what_can_never_be_true_or_false_is_a_problem_of_conditions_only() {
        for (text, expected) in [
            ("event.type", Gives::Text),
            ("event['id']", Gives::Text),
            ("source", Gives::Text),
            ("params.tenant", Gives::Text),
            ("headers['x']", Gives::Text),
            ("'x'", Gives::Text),
            ("string(body.a)", Gives::Text),
            ("size(body.x)", Gives::Number),
            ("body.x.size()", Gives::Number),
            ("-body.x", Gives::Number),
            ("1u", Gives::Number),
            ("1.5", Gives::Number),
            ("1 + 2", Gives::Sum),
            ("body.a + body.b", Gives::Sum),
            ("body.a % 2", Gives::Number),
            ("body.a - 1", Gives::Difference),
            ("timestamp(body.a) - timestamp(body.b)", Gives::Difference),
            ("timestamp(body.a)", Gives::Timestamp),
            ("duration(body.a)", Gives::Duration),
            ("timestamp(body.a).getHours()", Gives::Number),
            ("timestamp(body.a).getHours('UTC')", Gives::Number),
            ("body.ok && duration('1h')", Gives::Duration),
            ("b'x'", Gives::Bytes),
            ("null", Gives::Null),
            ("[true]", Gives::List),
            ("body.items.map(i, i)", Gives::List),
            ("body.items.map(i, i.ok, i)", Gives::List),
            ("body.items.filter(i, i.ok)", Gives::List),
            ("{'a': true}", Gives::Map),
            ("event", Gives::Map),
            ("body.?x", Gives::Optional),
            ("body.?x.y", Gives::Optional),
            ("body.?x['y']", Gives::Optional),
            ("body[?'x']", Gives::Optional),
            ("optional.of(true)", Gives::Optional),
            ("body.?x.optMap(x, x == 1)", Gives::Optional),
            ("type(body.x)", Gives::Type),
            ("bool", Gives::Type),
            ("true && (false || !(body.a ? 'x' : body.?b))", Gives::Text),
            ("has(body.x) ? null : 'x'", Gives::Null),
            ("body.?x.optFlatMap(x, x + 1)", Gives::Sum),
            ("body.?x.optFlatMap(x, optional.of(x))", Gives::Optional),
            ("event.id ? true : false", Gives::Text),
            ("body.x.exists(i, i + 1)", Gives::Sum),
            ("body.x.all(i, i.y.exists_one(j, j.?z))", Gives::Optional),
            ("body.x.all(event, event) && event", Gives::Map),
        ] {
            match Condition::compile(text) {
                Err(ConditionProblem::NeverBool { at: _, gives }) => assert_eq!(gives, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
            assert!(ValueExpression::compile(text).is_ok() && KeyExpression::compile(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_may_be_true_or_false_is_none() {
        for text in [
            "true",
            "body",
            "body.x",
            "body['x'][0].y",
            "dyn('x')",
            "bool('true')",
            "event.type == 'x'",
            "size(body.x) > 0 && 1 in [1]",
            "has(body.x)",
            "has(event.id)",
            "!body.x",
            "body.a ? body.b : body.c",
            "has(body.x) ? body.x : null",
            "body.a ? 'x' : body.b == 1",
            "body.?x.optFlatMap(v, v == 1)",
            "body.?x.y.optFlatMap(v, v)",
            "body.x.exists(i, i)",
            "body.x.exists_one(i, i.ok)",
            "body.x.all(event, event.type) && body.x.all(int, int)",
            "[true][0]",
            "{'a': true}.a",
            "body.?x.orValue('x')",
            "optional.of(true).value()",
            "optional.of(true).hasValue()",
            "'x'.contains('y') || 'x'.startsWith('y') || 'x'.endsWith('y') || 'x'.matches('y')",
            "body.x.map(i, i)[0]",
            "timestamp(body.x) < timestamp(body.y)",
            "timestamp(body.x).getHours() in [1, 2]",
            "duration(body.x) == duration('1h')",
        ] {
            assert!(Condition::compile(text).is_ok(), "{text}");
        }
    }
}
