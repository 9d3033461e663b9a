//! Timestamps and durations as CEL defines them, over a request.

use serde_json::{Value as Json, json};

use super::super::problem::WRONG_TYPE;
use super::super::request::over;
use super::super::{Condition, ConditionError, ConditionProblem, ValueExpression};
use super::*;

fn body() -> Json {
    json!({"at": "2024-02-29T23:30:15.250+02:00", "secs": 1_700_000_000, "rubbish": "soon", "half": 1.5, "long": "1h".repeat(60),
        "span": "1h30m", "loose": "1h tomorrow", "zone": "Europe/Berlin", "list": ["2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"]})
}

fn answer(text: &str) -> Result<bool, ConditionError> {
    let condition = Condition::compile(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
    over(Some(&body()), |view| condition.matches(view)).map_err(ConditionError::bare)
}

#[test]
fn timestamps_and_durations_do_what_cel_says() {
    for text in [
        "timestamp(body.at) == timestamp('2024-02-29T21:30:15.25Z')",
        "timestamp(body.at) < timestamp('2024-03-01T00:00:00Z') && timestamp(body.at) >= timestamp(body.at)",
        "timestamp(body.secs) == timestamp('2023-11-14T22:13:20Z') && int(timestamp(body.secs)) == body.secs",
        "timestamp(timestamp(body.secs)) == timestamp(1700000000)",
        "string(timestamp(body.at)) == '2024-02-29T21:30:15.250Z' || string(timestamp(body.at)) == '2024-02-29T21:30:15.25Z'",
        "string(timestamp(0)) == '1970-01-01T00:00:00Z'",
        "timestamp(body.at) + duration('1h') == timestamp('2024-02-29T22:30:15.25Z')",
        "duration('1h') + timestamp(body.at) - duration('1h') == timestamp(body.at)",
        "timestamp(body.at) - timestamp('2024-02-29T21:00:00Z') == duration('30m15.25s')",
        "timestamp('2024-01-01T00:00:00Z') - timestamp(body.at) < duration('0')",
        "duration(body.span) == duration('5400s') && duration(duration(body.span)) > duration('-1h')",
        "duration('1h') + duration('30m') - duration('1.5h') == duration('0s')",
        "string(duration('1h30m')) == '5400s' && string(duration('-1.5s')) == '-1.5s'",
        "duration('2h30m45s').getHours() == 2 && duration('2h30m45s').getMinutes() == 150",
        "duration('2h30m45s').getSeconds() == 9045 && duration('1s500ms').getMilliseconds() == 1500",
        "timestamp(body.at) > timestamp(body.secs) ? true : false",
        "body.list.exists(at, timestamp(at).getFullYear() == 2025)",
        "body.list.map(at, timestamp(at))[1] - timestamp(body.list[0]) == duration('8784h')",
        "has(body.at) && body.?nope.optMap(at, timestamp(at) > timestamp(0)).orValue(true)",
        "[timestamp(0)] == [timestamp('1970-01-01T00:00:00Z')] && timestamp(0) in [timestamp(0)]",
        "timestamp(body.at) != body.at",
    ] {
        assert_eq!(answer(text), Ok(true), "{text}");
    }
}

#[test]
fn a_part_of_a_moment_is_that_in_utc_unless_a_zone_is_named() {
    for (part, utc, berlin) in [
        ("getFullYear", 2024, 2024),
        ("getMonth", 1, 1),
        ("getDate", 29, 29),
        ("getDayOfMonth", 28, 28),
        ("getDayOfWeek", 4, 4),
        ("getDayOfYear", 59, 59),
        ("getHours", 21, 22),
        ("getMinutes", 30, 30),
        ("getSeconds", 15, 15),
        ("getMilliseconds", 250, 250),
    ] {
        let text = format!("timestamp(body.at).{part}() == {utc} && timestamp(body.at).{part}(body.zone) == {berlin}");
        assert_eq!(answer(&text), Ok(true), "{text}");
    }
    for text in [
        "timestamp(body.at).getHours('+05:30') == 3 && timestamp(body.at).getDate('+05:30') == 1",
        "timestamp(body.at).getHours('-09:00') == 12 && timestamp(body.at).getHours('UTC') == 21",
        "timestamp(body.at).getMonth('Pacific/Auckland') == 2",
    ] {
        assert_eq!(answer(text), Ok(true), "{text}");
    }
}

#[test]
fn what_is_no_moment_and_no_span_is_an_error_that_names_the_function() {
    let failed = |name| ConditionError::FunctionFailed { name: Some(name) };
    for (text, error) in [
        ("timestamp(body.rubbish) > timestamp(0)", failed("timestamp")),
        ("timestamp(body.secs * 1000000) > timestamp(0)", failed("timestamp")),
        ("duration(body.rubbish) > duration('1s')", failed("duration")),
        ("duration(body.loose) > duration('1s')", failed("duration")),
        ("duration(body.long) > duration('1s')", failed("duration")),
        ("timestamp(body.half) > timestamp(0)", WRONG_TYPE),
        ("timestamp(body.at) > body.at", WRONG_TYPE),
        ("timestamp(body.at) + 1 > timestamp(0)", WRONG_TYPE),
        ("timestamp('9999-12-31T23:59:59Z') + duration(body.span) > timestamp(0)", ConditionError::Arithmetic),
        (
            "timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z') > duration(body.span)",
            ConditionError::Arithmetic,
        ),
        ("body.at.getHours() == 1", WRONG_TYPE),
    ] {
        assert_eq!(answer(text), Err(error), "{text}");
    }
    let told = failed("timestamp").to_string();
    assert_eq!(told, "the function timestamp() cannot use its argument");
    assert!(answer("timestamp(body.at).getHours(body.rubbish) == 1").is_err());
}

#[test]
fn what_is_written_out_and_never_right_does_not_load() {
    for (text, column, problem) in [
        ("timestamp('yesterday') < timestamp(body.at)", 11, BadTime::Timestamp),
        ("timestamp('2024-02-30T00:00:00Z') < timestamp(body.at)", 11, BadTime::Timestamp),
        ("timestamp('2024-02-29') < timestamp(body.at)", 11, BadTime::Timestamp),
        ("timestamp(1.5) < timestamp(body.at)", 11, BadTime::Timestamp),
        ("duration('5 minutes') < duration(body.span)", 10, BadTime::Duration),
        ("duration('1d') < duration(body.span)", 10, BadTime::Duration),
        ("duration('1e3s') < duration(body.span)", 10, BadTime::Duration),
        ("duration('') < duration(body.span)", 10, BadTime::Duration),
        ("duration(60) < duration(body.span)", 10, BadTime::Duration),
        ("duration('9999999h') < duration(body.span)", 10, BadTime::Duration),
        ("timestamp(body.at).getHours('Europe/Berln') == 1", 29, BadTime::Zone),
        ("timestamp(body.at).getHours('+25:00') == 1", 29, BadTime::Zone),
        ("timestamp(body.at).getHours(1) == 1", 29, BadTime::Zone),
    ] {
        match Condition::compile(text) {
            Err(ConditionProblem::BadTime { at, problem: found }) => {
                assert_eq!((at.column, found), (column, problem), "{text}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn as_json_they_are_texts() {
    for (text, expected) in [
        ("timestamp(body.at)", json!("2024-02-29T21:30:15.25Z")),
        ("timestamp('9999-12-31T23:59:59.999999999Z')", json!("9999-12-31T23:59:59.999999999Z")),
        ("timestamp('0001-01-01T00:00:00Z')", json!("0001-01-01T00:00:00Z")),
        (
            "{'at': timestamp(0), 'in': [duration('1ns'), duration('-90m')]}",
            json!({"at": "1970-01-01T00:00:00Z", "in": ["0.000000001s", "-5400s"]}),
        ),
    ] {
        let value = over(Some(&body()), |view| ValueExpression::compile(text).unwrap().value(view));
        assert_eq!(value, Ok(expected), "{text}");
    }
}
