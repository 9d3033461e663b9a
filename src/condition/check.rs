//! What is checked of a condition before it may run: its names, how deep it goes, and that it builds no messages.

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo};

use super::problem::{ConditionProblem, Place};
use super::{DEPTH_MAX, NESTING_MAX};
use crate::payload::Decimal;

pub(super) const VARIABLES: [&str; 8] = ["body", "event", "headers", "method", "params", "path", "query", "source"];

const EVENT_FIELDS: [&str; 2] = ["id", "type"];

/// Names of types may be compared with: `type(body.id) == string`.
pub(super) const TYPES: [&str; 9] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint"];

/// cel's standard library without `chrono`, plus the macros as they are written.
const FUNCTIONS: [&str; 28] = [
    "all",
    "bool",
    "bytes",
    "contains",
    "double",
    "dyn",
    "endsWith",
    "exists",
    "exists_one",
    "filter",
    "has",
    "hasValue",
    "int",
    "map",
    "matches",
    "none",
    "of",
    "ofNonZeroValue",
    "optFlatMap",
    "optMap",
    "or",
    "orValue",
    "size",
    "startsWith",
    "string",
    "type",
    "uint",
    "value",
];

/// The namespace of `optional.none()`, `optional.of(x)` and `optional.ofNonZeroValue(x)`.
const OPTIONAL: &str = "optional";
const OPTIONAL_FUNCTIONS: [&str; 3] = ["none", "of", "ofNonZeroValue"];

/// The parser is recursive as well: brackets and signs are counted before it sees the text.
pub(super) fn brackets(text: &str) -> Result<(), ConditionProblem> {
    let (mut open, mut signs) = (0_usize, 0_usize);
    for (offset, letter) in text.char_indices() {
        match letter {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        signs = if matches!(letter, '!' | '-') {
            signs + 1
        } else {
            signs.saturating_sub(usize::from(letter.is_alphanumeric()))
        };
        if open + signs > DEPTH_MAX {
            return Err(ConditionProblem::TooComplex { at: Place::of_offset(text, offset) });
        }
    }
    Ok(())
}

/// Checks an expression; gives the parameters of the path that it names.
pub(super) fn expression(root: &IdedExpr, places: &SourceInfo) -> Result<Vec<(String, Place)>, ConditionProblem> {
    let mut check = Check { places, own_names: Vec::new(), params: Vec::new(), depth: 0, nesting: 0 };
    check.visit(root)?;
    Ok(check.params)
}

struct Check<'e> {
    places: &'e SourceInfo,
    /// The variables of the comprehensions around.
    own_names: Vec<&'e str>,
    /// The fields of `params` that were seen.
    params: Vec<(String, Place)>,
    depth: usize,
    nesting: usize,
}

impl<'e> Check<'e> {
    fn visit(&mut self, node: &'e IdedExpr) -> Result<(), ConditionProblem> {
        if self.depth >= DEPTH_MAX {
            return Err(ConditionProblem::TooComplex { at: self.at(node) });
        }
        self.depth += 1;
        self.visit_kind(node)?;
        self.depth -= 1;
        Ok(())
    }

    fn visit_kind(&mut self, node: &'e IdedExpr) -> Result<(), ConditionProblem> {
        match &node.expr {
            Expr::Literal(LiteralValue::Double(number)) => self.double(node, *number.inner()),
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(node, name),
            Expr::Select(select) => {
                self.field(node, &select.operand, &select.field)?;
                self.visit(&select.operand)
            }
            Expr::Call(call) => {
                let target = call.target.as_deref();
                let namespaced =
                    target.is_some_and(|target| matches!(&target.expr, Expr::Ident(name) if name == OPTIONAL));
                self.function(node, &call.func_name, namespaced)?;
                if let Some(target) = target.filter(|_| !namespaced) {
                    self.visit(target)?;
                }
                call.args.iter().try_for_each(|argument| self.visit(argument))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.visit(element)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => self.visit(&entry.key).and_then(|()| self.visit(&entry.value)),
                EntryExpr::StructField(_) => Err(ConditionProblem::NoMessages { at: self.at(node) }),
            }),
            Expr::Comprehension(comprehension) => self.comprehension(node, comprehension),
            Expr::Struct(_) | Expr::Unspecified => Err(ConditionProblem::NoMessages { at: self.at(node) }),
        }
    }

    fn comprehension(&mut self, node: &'e IdedExpr, loops: &'e ComprehensionExpr) -> Result<(), ConditionProblem> {
        if self.nesting >= NESTING_MAX {
            return Err(ConditionProblem::NestedTooDeep { at: self.at(node) });
        }
        self.visit(&loops.iter_range)?;
        self.visit(&loops.accu_init)?;
        let outer = self.own_names.len();
        self.own_names.extend([loops.iter_var.as_str(), loops.accu_var.as_str()]);
        self.own_names.extend(loops.iter_var2.as_deref());
        self.nesting += 1;
        for part in [&loops.loop_cond, &loops.loop_step, &loops.result] {
            self.visit(part)?;
        }
        self.nesting -= 1;
        self.own_names.truncate(outer);
        Ok(())
    }

    /// A number that is written out has the value that it gets.
    fn double(&self, node: &IdedExpr, number: f64) -> Result<(), ConditionProblem> {
        let at = self.at(node);
        let text = self.places.source.get(at.offset..).unwrap_or_default().trim_start_matches('-');
        let is_part = |(place, letter): &(usize, char)| {
            let after_exponent = || text.get(..*place).is_some_and(|before| before.ends_with(['e', 'E']));
            letter.is_ascii_digit()
                || matches!(letter, '.' | 'e' | 'E')
                || (matches!(letter, '+' | '-') && after_exponent())
        };
        let length = text.char_indices().take_while(is_part).count();
        let written = text.get(..length).unwrap_or_default();
        let is_exact = written.parse::<f64>().is_err() || Decimal::is_held_by_double(written);
        if is_exact && number.is_finite() {
            return Ok(());
        }
        Err(ConditionProblem::LongLiteral { at, number: written.to_owned() })
    }

    fn variable(&self, node: &IdedExpr, name: &str) -> Result<(), ConditionProblem> {
        if self.own_names.contains(&name) || VARIABLES.contains(&name) || TYPES.contains(&name) {
            return Ok(());
        }
        let nearest = nearest(name, &VARIABLES);
        Err(ConditionProblem::UnknownVariable { at: self.at(node), name: name.to_owned(), nearest })
    }

    fn field(&mut self, node: &IdedExpr, operand: &IdedExpr, field: &str) -> Result<(), ConditionProblem> {
        let is_of =
            |one: &str| matches!(&operand.expr, Expr::Ident(name) if name == one && !self.own_names.contains(&one));
        if is_of("params") {
            self.params.push((field.to_owned(), self.at(node)));
        }
        if !is_of("event") || EVENT_FIELDS.contains(&field) {
            return Ok(());
        }
        let name = format!("event.{field}");
        let nearest = nearest(&name, &["event.id", "event.type"]);
        Err(ConditionProblem::UnknownVariable { at: self.at(node), name, nearest })
    }

    fn function(&self, node: &IdedExpr, name: &str, namespaced: bool) -> Result<(), ConditionProblem> {
        // Operators are calls of names that nobody can write.
        let operator = name.starts_with(['_', '!', '-', '@']);
        let known = if namespaced { OPTIONAL_FUNCTIONS.contains(&name) } else { FUNCTIONS.contains(&name) };
        if operator || known {
            return Ok(());
        }
        let nearest = nearest(name, &FUNCTIONS);
        Err(ConditionProblem::UnknownFunction { at: self.at(node), name: name.to_owned(), nearest })
    }

    fn at(&self, node: &IdedExpr) -> Place {
        Place::of(node.id, self.places)
    }
}

fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let scored = known.iter().map(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate));
    scored.filter(|(distance, _)| *distance <= 1 + name.len() / 4).min().map(|(_, candidate)| candidate)
}
