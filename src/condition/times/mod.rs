//! Timestamps and durations, as far as they differ from cel's own.
//!
//! cel brings `timestamp()`, `duration()` and their methods. In three things cel differs from CEL's definition, and the
//! differences are corrected here. cel's timestamp keeps the offset with which it is written, and its methods answer in
//! that offset instead of in UTC. cel ignores the rest of a text after a duration. cel accepts `1e3` and `nan` as
//! numbers of a duration. So `timestamp(x)` becomes [`UTC`]`(timestamp(x))` and `duration(x)` becomes
//! `duration(`[`SPELLED`]`(x))`.
//!
//! Literals are tried when the text is loaded: `duration("5 minutes")` would fail at every event.
//! As a key, and as JSON, a timestamp is RFC 3339 in UTC and a duration is seconds with an `s`, as `string()` writes
//! them. There is no `now()`: the same event always gives the same answer.

use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};
use cel::common::functions::Function;
use cel::common::types::{CelDuration, CelInt, CelString, CelTimestamp, DYN_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{Context, Env, ExecutionError, Value};

use super::ENVIRONMENT;

/// The function that puts a timestamp into UTC; its name cannot be written in CEL.
const UTC: &str = "@utc";
/// The function that passes well-formed durations only; its name cannot be written in CEL.
const SPELLED: &str = "@spelled";

const TIMESTAMP: &str = "timestamp";
const DURATION: &str = "duration";

/// Longest text of a duration; a longer text is not a duration.
const DURATION_BYTES_MAX: usize = 64;

/// A literal that is invalid as a timestamp, a duration or a time zone, whatever the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTime {
    /// The text of a `timestamp(…)`.
    Timestamp,
    /// The text of a `duration(…)`.
    Duration,
    /// The time zone of a method.
    Zone,
}

impl std::fmt::Display for BadTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Timestamp => {
                "this is no timestamp; write RFC 3339, such as \"2026-11-30T12:00:00Z\", or Unix seconds"
            }
            Self::Duration => "this is no duration; write numbers with h, m, s, ms, us or ns, such as \"1h30m\"",
            Self::Zone => {
                "this is no time zone; write a name such as \"Europe/Berlin\", or an offset such as \"+01:00\""
            }
        })
    }
}

/// Adds the functions of this file to cel's environment.
pub(super) fn add_to(environment: &mut Env) {
    for (name, id, function) in [(UTC, "timestamp_in_utc", in_utc as Function), (SPELLED, "spelled_duration", spelled)]
    {
        environment.add_overload(name, id, vec![DYN_TYPE], function).expect("no other function has this name");
    }
}

/// Rewrites a call of `timestamp` or `duration`; leaves others as they are.
pub(super) fn prepare(node: &mut IdedExpr) {
    let id = node.id;
    let wrapped = |name: &str, inner: IdedExpr| {
        Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args: vec![inner] })
    };
    let Expr::Call(call) = &mut node.expr else { return };
    match (call.func_name.as_str(), call.args.as_mut_slice()) {
        (TIMESTAMP, [_]) => {
            let inner = std::mem::take(&mut node.expr);
            node.expr = wrapped(UTC, IdedExpr { id, expr: inner });
        }
        (DURATION, [argument]) => {
            let inner = std::mem::take(argument);
            *argument = IdedExpr { id, expr: wrapped(SPELLED, inner) };
        }
        _ => {}
    }
}

/// Checks that a literal argument can be read; the error holds the id of the argument.
pub(super) fn check(call: &CallExpr) -> Result<(), (u64, BadTime)> {
    let [argument] = call.args.as_slice() else { return Ok(()) };
    let Expr::Literal(literal) = &argument.expr else { return Ok(()) };
    let tried = match (call.func_name.as_str(), call.target.is_some()) {
        (TIMESTAMP, false) => evaluates(call).then_some(()).ok_or(BadTime::Timestamp),
        (DURATION, false) => {
            let is_spelled = matches!(literal, LiteralValue::String(text) if is_spelled(text.inner()));
            (is_spelled && evaluates(call)).then_some(()).ok_or(BadTime::Duration)
        }
        (name, true) if name.starts_with("get") => {
            let epoch = IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Int(CelInt::from(0))) };
            let epoch = CallExpr { func_name: TIMESTAMP.to_owned(), target: None, args: vec![epoch] };
            let target = Some(Box::new(IdedExpr { id: 0, expr: Expr::Call(epoch) }));
            evaluates(&CallExpr { target, ..call.clone() }).then_some(()).ok_or(BadTime::Zone)
        }
        _ => Ok(()),
    };
    tried.map_err(|problem| (argument.id, problem))
}

/// Returns whether a call whose arguments are all literals gives a value.
fn evaluates(call: &CallExpr) -> bool {
    let node = IdedExpr { id: 0, expr: Expr::Call(call.clone()) };
    let context = Context::with_env(Arc::clone(&ENVIRONMENT));
    Value::resolve_val(&node, &context).is_ok()
}

/// Returns a timestamp or a duration as `string()` writes it.
pub(super) fn written(value: &dyn Val) -> Option<String> {
    if let Some(moment) = value.downcast_ref::<CelTimestamp>() {
        let utc = moment.inner().to_utc();
        // A leap second has nanoseconds above one thousand million.
        let fraction = fraction(utc.timestamp_subsec_nanos() % 1_000_000_000);
        return Some(format!("{}{fraction}Z", utc.format("%Y-%m-%dT%H:%M:%S")));
    }
    let span = value.downcast_ref::<CelDuration>()?.inner();
    let (secs, nanos) = (span.num_seconds(), span.subsec_nanos());
    let sign = if secs < 0 || nanos < 0 { "-" } else { "" };
    Some(format!("{sign}{}{}s", secs.unsigned_abs(), fraction(nanos.unsigned_abs())))
}

fn fraction(nanos: u32) -> String {
    if nanos == 0 { String::new() } else { format!(".{nanos:09}").trim_end_matches('0').to_owned() }
}

fn in_utc<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [moment] = arguments.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(1, arguments.len()));
    };
    let moment = moment.downcast_ref::<CelTimestamp>().ok_or_else(ExecutionError::missing_argument_or_target)?;
    Ok(CowVal::owned(CelTimestamp::from(moment.inner().to_utc().fixed_offset())))
}

fn spelled<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let given = arguments.pop().ok_or_else(|| ExecutionError::invalid_argument_count(1, 0))?;
    match given.downcast_ref::<CelString<'_>>() {
        Some(text) if !is_spelled(text.inner()) => Err(ExecutionError::function_error(DURATION, "not a duration")),
        _ => Ok(given),
    }
}

/// Returns whether the whole text is a duration: `-? ((digits (. digits)? unit)+ | 0)`, of at most
/// [`DURATION_BYTES_MAX`] bytes.
fn is_spelled(text: &str) -> bool {
    let is_short = text.len() <= DURATION_BYTES_MAX;
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let is_there = !rest.is_empty();
    while is_short && !rest.is_empty() {
        match after_one(rest) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    is_short && is_there
}

/// Returns the text after its first number and unit; `None` if it begins with anything else.
fn after_one(text: &str) -> Option<&str> {
    let after_digits = |text: &str| {
        let after = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
        (after.len() < text.len()).then_some(text.len() - after.len())
    };
    let mut rest = text.get(after_digits(text)?..)?;
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.get(after_digits(fraction)?..)?;
    }
    ["ms", "us", "ns", "h", "m", "s"].iter().find_map(|unit| rest.strip_prefix(unit))
}

#[cfg(test)]
mod tests;
