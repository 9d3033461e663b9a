//! The members of the body that an expression needs: it reads them without a test that they are present, or uses them
//! as booleans. Compared with the schema of the bodies, they show where the expression may fail.
//!
//! A member counts as present where the expression tests for it: `has(body.a) && body.a > 1` needs nothing. The order
//! of the operands does not matter: in CEL an error loses against the operand that decides alone. Other tests are
//! `"a" in body`, `body.?a.hasValue()`, `!has(body.a) || …` and `has(body.a) ? … : …`. Nothing is needed beside an
//! operand that reads `event.type`: it may separate the events that have the member from those that do not. A member
//! that is read through an optional (`body.?a.b`) is not needed either.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};

use super::problem::ConditionPlace;
use super::{Condition, KeyExpression, parsed};

/// Members that are read from the body, each in the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// The names, outermost first, each with its place.
    pub steps: Vec<(String, ConditionPlace)>,
    /// The number of leading steps that are certain to be present, because the expression tests for them.
    pub sure: usize,
    /// True if the member is used as a boolean.
    pub as_truth: bool,
}

impl Condition {
    /// Returns the members of the body that the condition needs.
    pub fn needs(&self) -> Vec<Needed> {
        needs(self.text(), true)
    }
}

impl KeyExpression {
    /// Returns the members of the body that the key needs.
    pub fn needs(&self) -> Vec<Needed> {
        needs(self.text(), false)
    }
}

fn needs(text: &str, is_truth: bool) -> Vec<Needed> {
    let Ok((tree, places)) = parsed(text) else { return Vec::new() };
    let mut walk = Walk { places: &places, own_names: Vec::new(), sure: Vec::new(), typed: 0, found: Vec::new() };
    walk.visit(&tree, is_truth);
    walk.found
}

/// A path into the body, as names.
type Path<'e> = Vec<&'e str>;

struct Walk<'e> {
    places: &'e SourceInfo,
    /// The variables of the outer loops, which hide other variables of the same names.
    own_names: Vec<&'e str>,
    /// The paths that are certain to be present at the current node.
    sure: Vec<Path<'e>>,
    /// The number of operands beside the current node that read the event's type.
    typed: usize,
    found: Vec<Needed>,
}

impl<'e> Walk<'e> {
    fn visit(&mut self, node: &'e IdedExpr, as_truth: bool) {
        if let Some(steps) = self.path(node) {
            return self.need(&steps, as_truth);
        }
        match &node.expr {
            Expr::Select(select) => self.visit(&select.operand, false),
            Expr::Call(call) => self.call(call, as_truth),
            Expr::List(list) => list.elements.iter().for_each(|element| self.visit(element, false)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key, false);
                    self.visit(&entry.value, false);
                }
                EntryExpr::StructField(field) => self.visit(&field.value, false),
            }),
            Expr::Comprehension(loops) => {
                self.visit(&loops.iter_range, false);
                self.visit(&loops.accu_init, false);
                let outer = self.own_names.len();
                self.own_names.extend([loops.iter_var.as_str(), loops.accu_var.as_str()]);
                self.own_names.extend(loops.iter_var2.as_deref());
                for part in [&loops.loop_cond, &loops.loop_step, &loops.result] {
                    self.visit(part, false);
                }
                self.own_names.truncate(outer);
            }
            Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
        }
    }

    fn call(&mut self, call: &'e CallExpr, as_truth: bool) {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => self.beside(left, right, true),
            (operators::LOGICAL_OR, [left, right]) => self.beside(left, right, false),
            (operators::LOGICAL_NOT, [operand]) => self.visit(operand, true),
            (operators::CONDITIONAL, [test, one, other]) => {
                self.visit(test, true);
                self.behind((test, true), one, as_truth);
                self.behind((test, false), other, as_truth);
            }
            (_, arguments) => {
                call.target.as_deref().into_iter().chain(arguments).for_each(|part| self.visit(part, false));
            }
        }
    }

    /// Visits two operands, each of which counts only where the other one is `truth`.
    fn beside(&mut self, left: &'e IdedExpr, right: &'e IdedExpr, truth: bool) {
        self.behind((right, truth), left, true);
        self.behind((left, truth), right, true);
    }

    /// Visits `node`, which counts only where `guard` is `truth`.
    fn behind(&mut self, (guard, truth): (&'e IdedExpr, bool), node: &'e IdedExpr, as_truth: bool) {
        let outer = self.sure.len();
        self.gather(guard, truth);
        let is_typed = usize::from(self.asks_type(guard));
        self.typed += is_typed;
        self.visit(node, as_truth);
        self.typed -= is_typed;
        self.sure.truncate(outer);
    }

    fn need(&mut self, steps: &[(&'e str, u64)], as_truth: bool) {
        if steps.is_empty() || self.typed > 0 {
            return;
        }
        let common = |path: &Path<'_>| path.iter().zip(steps).take_while(|(one, (other, _))| *one == other).count();
        let sure = self.sure.iter().map(common).max().unwrap_or(0);
        let steps = steps.iter().map(|(name, id)| ((*name).to_owned(), ConditionPlace::of(*id, self.places))).collect();
        self.found.push(Needed { steps, sure, as_truth });
    }

    /// Notes the paths that are present where `node` is `truth`.
    fn gather(&mut self, node: &'e IdedExpr, truth: bool) {
        match &node.expr {
            Expr::Select(select) if select.test && truth => {
                if let Some(path) = self.path(&select.operand) {
                    self.sure.push(names(&path).chain([select.field.as_str()]).collect());
                }
            }
            Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
                (operators::LOGICAL_NOT, [operand]) => self.gather(operand, !truth),
                (operators::LOGICAL_AND, [left, right]) if truth => {
                    self.gather(left, true);
                    self.gather(right, true);
                }
                (operators::LOGICAL_OR, [left, right]) if !truth => {
                    self.gather(left, false);
                    self.gather(right, false);
                }
                (operators::IN, [name, of]) if truth => {
                    if let (Expr::Literal(LiteralValue::String(name)), Some(path)) = (&name.expr, self.path(of)) {
                        self.sure.push(names(&path).chain([name.inner()]).collect());
                    }
                }
                ("hasValue", []) if truth => {
                    let asked = call.target.as_deref().and_then(|target| self.optional(target));
                    self.sure.extend(asked);
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Returns the path of `body.?a`, as if it were `body.a`.
    fn optional(&self, node: &'e IdedExpr) -> Option<Path<'e>> {
        match &node.expr {
            Expr::Select(select) if !select.test => {
                Some(self.optional(&select.operand)?.into_iter().chain([select.field.as_str()]).collect())
            }
            Expr::Call(call) => {
                let [operand, name] = call.args.as_slice() else { return None };
                let is_member = matches!(call.func_name.as_str(), operators::OPT_SELECT | operators::OPT_INDEX);
                let Expr::Literal(LiteralValue::String(name)) = &name.expr else { return None };
                let of = self.path(operand).map(|path| names(&path).collect()).or_else(|| self.optional(operand));
                Some(of.filter(|_: &Path<'e>| is_member)?.into_iter().chain([name.inner()]).collect())
            }
            _ => None,
        }
    }

    /// Returns the names that lead from the body to a node, each with the node that it gives.
    fn path(&self, node: &'e IdedExpr) -> Option<Vec<(&'e str, u64)>> {
        match &node.expr {
            Expr::Ident(name) => (name == "body" && !self.own_names.contains(&"body")).then(Vec::new),
            Expr::Select(select) if !select.test => {
                let mut path = self.path(&select.operand)?;
                path.push((select.field.as_str(), node.id));
                Some(path)
            }
            Expr::Call(call) if call.func_name == operators::INDEX => {
                let [operand, name] = call.args.as_slice() else { return None };
                let Expr::Literal(LiteralValue::String(text)) = &name.expr else { return None };
                let mut path = self.path(operand)?;
                path.push((text.inner(), name.id));
                Some(path)
            }
            _ => None,
        }
    }

    fn asks_type(&self, node: &IdedExpr) -> bool {
        match &node.expr {
            Expr::Ident(name) => name == "event" && !self.own_names.contains(&"event"),
            Expr::Select(select) => self.asks_type(&select.operand),
            Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).any(|part| self.asks_type(part)),
            _ => false,
        }
    }
}

fn names<'p, 'e: 'p>(path: &'p [(&'e str, u64)]) -> impl Iterator<Item = &'e str> + 'p {
    path.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(text: &str) -> Vec<String> {
        let shown = |need: &Needed| {
            let names: Vec<&str> = need.steps.iter().map(|(name, _)| name.as_str()).collect();
            let truth = if need.as_truth { "?" } else { "" };
            format!(
                "{}{truth}{}",
                names.join("."),
                if need.sure > 0 { format!(" {}", need.sure) } else { String::new() }
            )
        };
        Condition::compile(text)
            .unwrap_or_else(|problem| panic!("{text}: {problem}"))
            .needs()
            .iter()
            .map(shown)
            .collect()
    }

    #[test]
    fn what_is_read_as_if_it_were_there_is_needed() {
        for (text, expected) in [
            ("body.qty > 5", &["qty"][..]),
            ("body['qty'] > 5 && source == 'x'", &["qty"]),
            ("body.a.b.startsWith('x')", &["a.b"]),
            ("body.paid", &["paid?"]),
            ("!body.paid && body.sum > 1", &["paid? 0", "sum"]),
            ("body.items.exists(i, i.price > body.limit)", &["items", "limit"]),
            ("body.items[0].price > 1", &["items"]),
            ("size(body.items) > 0 || body.a", &["items", "a?"]),
            ("timestamp(body.at) > timestamp(0)", &["at"]),
            ("[1].all(body, body == 1)", &[]),
            ("headers['x'] == 'y' && params.a == 'b'", &[]),
        ] {
            let expected: Vec<String> = expected.iter().map(|one| one.trim_end_matches(" 0").to_owned()).collect();
            assert_eq!(needed(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_asked_for_first_or_taken_as_an_optional_is_not() {
        for (text, expected) in [
            ("body.?qty.orValue(0) > 5", &[][..]),
            ("body.a.?b.orValue(0) > 5", &["a"]),
            ("has(body.qty) && body.qty > 5", &["qty 1"]),
            ("body.qty > 5 && has(body.qty)", &["qty 1"]),
            ("has(body.a) && has(body.a.b) && body.a.b > 1", &["a 1", "a.b 2"]),
            ("has(body.a.b) && body.a.b > 1", &["a", "a.b 2"]),
            ("!has(body.qty) || body.qty > 5", &["qty 1"]),
            ("has(body.qty) ? body.qty > 5 : true", &["qty 1"]),
            ("!has(body.qty) ? true : body.qty > 5", &["qty 1"]),
            ("has(body.qty) || body.qty > 5", &["qty"]),
            ("'qty' in body && body.qty > 5", &["qty 1"]),
            ("body.?qty.hasValue() && body.qty > 5", &["qty 1"]),
            ("has(body.a) && (body.a.b > 1 || body.c)", &["a.b 1", "c?"]),
            ("has(body.list) && body.list.exists(x, body.list[0] == x)", &["list 1", "list 1"]),
            ("event.type == 'a' && body.qty > 5", &[]),
            ("event.type.startsWith('a') ? body.qty > 5 : true", &[]),
        ] {
            assert_eq!(needed(text), expected, "{text}");
        }
    }
}
