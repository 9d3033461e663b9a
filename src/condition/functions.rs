//! The functions of expressions, and the forms of their calls.
//!
//! CEL finds only at the evaluation that a function has too few arguments, or stands behind a dot where it takes no
//! target. Here that is a problem of the text. The types of arguments are left to the evaluation, except those of
//! literal times (`times`).

use cel::common::ast::{CallExpr, Expr};

use super::check::nearest;

/// The forms in which a function may be called, by number of arguments.
#[derive(Debug)]
struct Function {
    name: &'static str,
    /// Numbers of arguments in the form `name(…)`.
    alone: &'static [usize],
    /// Numbers of arguments in the form `value.name(…)`, the value not counted.
    behind: &'static [usize],
    /// One right call, for people.
    form: &'static str,
}

/// An error in the name or the form of a call.
#[derive(Debug)]
pub(super) enum BadCall {
    /// An unknown function, with the nearest known name.
    Unknown(Option<&'static str>),
    /// A known function in a wrong form, with a right call.
    Form(&'static str),
}

const NO: &[usize] = &[];
const ONE: &[usize] = &[1];
const NONE_OR_ONE: &[usize] = &[0, 1];

const fn alone(name: &'static str, form: &'static str) -> Function {
    Function { name, alone: ONE, behind: NO, form }
}

const fn behind(name: &'static str, behind: &'static [usize], form: &'static str) -> Function {
    Function { name, alone: NO, behind, form }
}

/// Describes a macro. The parser turns its right calls into loops and tests, so that only wrong ones are left as calls.
const fn of_the_parser(name: &'static str, form: &'static str) -> Function {
    behind(name, NO, form)
}

/// The functions of cel's standard library and its macros, by name.
const FUNCTIONS: [Function; 40] = [
    of_the_parser("all", "list.all(x, condition)"),
    alone("bool", "bool(x)"),
    alone("bytes", "bytes(x)"),
    behind("contains", ONE, "text.contains(\"…\")"),
    alone("double", "double(x)"),
    alone("duration", "duration(\"1h30m\")"),
    alone("dyn", "dyn(x)"),
    behind("endsWith", ONE, "text.endsWith(\"…\")"),
    of_the_parser("exists", "list.exists(x, condition)"),
    of_the_parser("exists_one", "list.exists_one(x, condition)"),
    of_the_parser("filter", "list.filter(x, condition)"),
    behind("getDate", NONE_OR_ONE, "timestamp(x).getDate()"),
    behind("getDayOfMonth", NONE_OR_ONE, "timestamp(x).getDayOfMonth()"),
    behind("getDayOfWeek", NONE_OR_ONE, "timestamp(x).getDayOfWeek()"),
    behind("getDayOfYear", NONE_OR_ONE, "timestamp(x).getDayOfYear()"),
    behind("getFullYear", NONE_OR_ONE, "timestamp(x).getFullYear()"),
    behind("getHours", NONE_OR_ONE, "timestamp(x).getHours()"),
    behind("getMilliseconds", NONE_OR_ONE, "timestamp(x).getMilliseconds()"),
    behind("getMinutes", NONE_OR_ONE, "timestamp(x).getMinutes()"),
    behind("getMonth", NONE_OR_ONE, "timestamp(x).getMonth()"),
    behind("getSeconds", NONE_OR_ONE, "timestamp(x).getSeconds()"),
    of_the_parser("has", "has(body.x)"),
    behind("hasValue", &[0], "body.?x.hasValue()"),
    alone("int", "int(x)"),
    of_the_parser("map", "list.map(x, value)"),
    Function { name: "matches", alone: &[2], behind: ONE, form: "text.matches(\"…\")" },
    Function { name: "none", alone: NO, behind: NO, form: "optional.none()" },
    Function { name: "of", alone: NO, behind: NO, form: "optional.of(x)" },
    Function { name: "ofNonZeroValue", alone: NO, behind: NO, form: "optional.ofNonZeroValue(x)" },
    of_the_parser("optFlatMap", "body.?x.optFlatMap(x, optional)"),
    of_the_parser("optMap", "body.?x.optMap(x, value)"),
    behind("or", ONE, "body.?x.or(body.?y)"),
    behind("orValue", ONE, "body.?x.orValue(value)"),
    Function { name: "size", alone: ONE, behind: &[0], form: "size(x)" },
    behind("startsWith", ONE, "text.startsWith(\"…\")"),
    alone("string", "string(x)"),
    alone("timestamp", "timestamp(\"2026-11-30T12:00:00Z\")"),
    alone("type", "type(x)"),
    alone("uint", "uint(x)"),
    behind("value", &[0], "body.?x.value()"),
];

/// The namespace of `optional.none()`, `optional.of(x)` and `optional.ofNonZeroValue(x)`.
const OPTIONAL: &str = "optional";
const OF_OPTIONAL: [(&str, usize); 3] = [("none", 0), ("of", 1), ("ofNonZeroValue", 1)];

/// Returns whether the target of a call is the namespace of the function (`optional`) instead of a value.
pub(super) fn is_namespaced(call: &CallExpr) -> bool {
    call.target.as_deref().is_some_and(|target| matches!(&target.expr, Expr::Ident(name) if name == OPTIONAL))
}

/// Checks the name and the form of a call.
pub(super) fn check(call: &CallExpr) -> Result<(), BadCall> {
    let (name, arguments) = (call.func_name.as_str(), call.args.len());
    // Operators are calls of names that cannot be written.
    if name.starts_with(['_', '!', '-', '@']) {
        return Ok(());
    }
    let is_namespaced = is_namespaced(call);
    if is_namespaced && OF_OPTIONAL.contains(&(name, arguments)) {
        return Ok(());
    }
    let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else {
        return Err(BadCall::Unknown(nearest(name, &names())));
    };
    let allowed = if call.target.is_some() { function.behind } else { function.alone };
    if !is_namespaced && allowed.contains(&arguments) { Ok(()) } else { Err(BadCall::Form(function.form)) }
}

/// Returns the name among ours, which is static: texts of cel about other names are not repeated.
pub(super) fn known(name: &str) -> Option<&'static str> {
    FUNCTIONS.iter().map(|function| function.name).find(|known| *known == name)
}

/// Returns all names, sorted.
pub(super) fn names() -> [&'static str; FUNCTIONS.len()] {
    FUNCTIONS.map(|function| function.name)
}

/// Each function by name, with one right call.
#[cfg(test)]
pub(super) fn forms() -> impl Iterator<Item = (&'static str, &'static str)> {
    FUNCTIONS.iter().map(|function| (function.name, function.form))
}

#[cfg(test)]
mod tests {
    use super::super::{ConditionProblem, ValueExpression};
    use super::*;

    #[test]
    fn the_names_are_sorted_and_each_form_is_right() {
        assert!(names().is_sorted());
        for function in FUNCTIONS {
            let text = function.form.replace("list", "body.list").replace("text.", "body.text.");
            let text = text.replace("condition", "x == 1").replace("x, value)", "x, 1)").replace("value)", "1)");
            let text = text.replace("(x)", "(body.x)").replace("x, optional)", "x, optional.of(x))");
            assert!(ValueExpression::compile(&text).is_ok(), "{text}: {:?}", ValueExpression::compile(&text));
        }
    }

    #[test]
    fn what_would_fail_at_every_event_is_a_problem_of_the_text() {
        for (text, expected) in [
            ("getHours(body.at)", "getHours() is called so: timestamp(x).getHours()"),
            ("timestamp(body.at).getHours('UTC', 1)", "getHours() is called so: timestamp(x).getHours()"),
            ("body.at.timestamp()", "timestamp() is called so: timestamp(\"2026-11-30T12:00:00Z\")"),
            ("timestamp()", "timestamp() is called so: timestamp(\"2026-11-30T12:00:00Z\")"),
            ("contains(body.x, 'a')", "contains() is called so: text.contains(\"…\")"),
            ("body.x.startsWith('a', 'b')", "startsWith() is called so: text.startsWith(\"…\")"),
            ("body.x.all(true)", "all() is called so: list.all(x, condition)"),
            ("of(1)", "of() is called so: optional.of(x)"),
            ("optional.of()", "of() is called so: optional.of(x)"),
            ("optional.size(body)", "size() is called so: size(x)"),
        ] {
            let problem = ValueExpression::compile(text).unwrap_err();
            assert_eq!(problem.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn an_unknown_function_is_answered_with_a_near_name_and_the_list() {
        for (text, start) in [
            (
                "timestmp(body.at)",
                "there is no function \"timestmp\"; did you mean \"timestamp\"? The functions are all, bool,",
            ),
            ("lowerAscii(body.x)", "there is no function \"lowerAscii\"; the functions are all, bool, bytes,"),
            (
                "timestamp(body.at).getHour()",
                "there is no function \"getHour\"; did you mean \"getHours\"? The functions are",
            ),
        ] {
            match ValueExpression::compile(text) {
                Err(problem @ ConditionProblem::UnknownFunction { .. }) => {
                    let told = problem.to_string();
                    assert!(told.starts_with(start) && told.ends_with(", uint, value"), "{told}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
