//! Checks of a condition before it may run: its names, its depth, and that it builds no messages.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo};

use super::functions::{self, BadCall};
use super::problem::{ConditionPlace, ConditionProblem};
use super::{DEPTH_MAX, NESTING_MAX, times};
use crate::payload::Decimal;

pub(super) const VARIABLES: [&str; 10] =
    ["body", "event", "form", "form_all", "headers", "method", "params", "path", "query", "source"];

/// Variables that are JSON: their members are found by name.
pub(super) const OF_JSON: [&str; 3] = ["body", "form", "form_all"];

/// Names of types may be compared with: `type(body.id) == string`.
pub(super) const TYPES: [&str; 9] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint"];

/// Checks the depth of brackets and signs. The parser is recursive too, so this runs before the text is parsed.
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
            return Err(ConditionProblem::TooComplex { at: ConditionPlace::of_offset(text, offset) });
        }
    }
    Ok(())
}

/// The names in an expression that its callers check: parameters of the path, and fields of the event.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The parameters of the path, each with its place.
    pub(super) params: Vec<(String, ConditionPlace)>,
    /// `event.type`, or all of `event`.
    pub(super) event_type: bool,
    /// `event.id`, or all of `event`.
    pub(super) event_id: bool,
}

/// Checks an expression; returns the names in it.
pub(super) fn expression(root: &IdedExpr, places: &SourceInfo) -> Result<Names, ConditionProblem> {
    let mut check = Check { places, own_names: Vec::new(), names: Names::default(), depth: 0, nesting: 0 };
    check.visit(root)?;
    Ok(check.names)
}

struct Check<'e> {
    places: &'e SourceInfo,
    /// The variables of the outer comprehensions.
    own_names: Vec<&'e str>,
    names: Names,
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
            Expr::Select(select) if self.is_of("event", &select.operand) => self.event_field(node, &select.field),
            Expr::Select(select) => {
                if self.is_of("params", &select.operand) {
                    self.names.params.push((select.field.clone(), self.at(node)));
                }
                self.visit(&select.operand)
            }
            Expr::Call(call) => {
                self.function(node, call)?;
                if let Some(target) = call.target.as_deref().filter(|_| !functions::is_namespaced(call)) {
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

    /// Checks that a literal double has exactly the value that is written.
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

    fn variable(&mut self, node: &IdedExpr, name: &str) -> Result<(), ConditionProblem> {
        if name == "event" && !self.own_names.contains(&name) {
            (self.names.event_type, self.names.event_id) = (true, true);
        }
        if self.own_names.contains(&name) || VARIABLES.contains(&name) || TYPES.contains(&name) {
            return Ok(());
        }
        let nearest = nearest(name, &VARIABLES);
        Err(ConditionProblem::UnknownVariable { at: self.at(node), name: name.to_owned(), nearest })
    }

    /// Returns whether a node is the variable `variable`, and no loop variable of the same name.
    fn is_of(&self, variable: &str, node: &IdedExpr) -> bool {
        matches!(&node.expr, Expr::Ident(name) if name == variable && !self.own_names.contains(&variable))
    }

    fn event_field(&mut self, node: &IdedExpr, field: &str) -> Result<(), ConditionProblem> {
        match field {
            "type" => self.names.event_type = true,
            "id" => self.names.event_id = true,
            _ => {
                let name = format!("event.{field}");
                let nearest = nearest(&name, &["event.id", "event.type"]);
                return Err(ConditionProblem::UnknownVariable { at: self.at(node), name, nearest });
            }
        }
        Ok(())
    }

    fn function(&self, node: &IdedExpr, call: &CallExpr) -> Result<(), ConditionProblem> {
        let (at, name) = (self.at(node), call.func_name.clone());
        functions::check(call).map_err(|bad| match bad {
            BadCall::Unknown(nearest) => ConditionProblem::UnknownFunction { at, name, nearest },
            BadCall::Form(form) => ConditionProblem::WrongCall { at, name, form },
        })?;
        times::check(call)
            .map_err(|(id, problem)| ConditionProblem::BadTime { at: ConditionPlace::of(id, self.places), problem })
    }

    fn at(&self, node: &IdedExpr) -> ConditionPlace {
        ConditionPlace::of(node.id, self.places)
    }
}

pub(super) fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let scored = known.iter().map(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate));
    scored.filter(|(distance, _)| *distance <= 1 + name.len() / 4).min().map(|(_, candidate)| candidate)
}
