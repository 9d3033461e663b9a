//! Differences between the expected and the actual result of a test. Hidden values are compared too. The expected text
//! of a hidden value may also be its shown form, such as `Bearer ${TOKEN}`.

use serde_json::Value;

use super::file::ExpectedRequest;
use crate::credential::REDACTED;
use crate::event::KeyHash;
use crate::explain::{BodyShown, Sent, short};
use crate::refusal::PayloadProblem;

/// The limit of reported differences of one body.
const DIFFERENCES_MAX: usize = 5;

/// Compares problems: each expected one must be there, and no other.
pub(super) fn problems(wanted: &[String], got: &[PayloadProblem]) -> Vec<String> {
    let fits = |wanted: &str, problem: &PayloadProblem| {
        let (pointer, message) = wanted.split_once(": ").unwrap_or((wanted, ""));
        let is_at = problem.pointer == pointer.trim() && problem.message.contains(message);
        // A failure on a route has no pointer, and a text with a colon of its own.
        is_at || (problem.pointer.is_empty() && problem.message.contains(wanted))
    };
    let mut found = Vec::new();
    for one in wanted.iter().filter(|one| !got.iter().any(|problem| fits(one, problem))) {
        found.push(format!("quarantine: expected `{one}`"));
    }
    for problem in got.iter().filter(|problem| !wanted.iter().any(|one| fits(one, problem))) {
        found.push(format!("quarantine: got `{}: {}`", problem.pointer, problem.message));
    }
    found
}

/// Compares a delivery. Where several routes send one event there, one of its copies has to be as expected; the nearest
/// is reported.
pub(super) fn outgoing(destination: &str, wanted: &ExpectedRequest, got: &[Sent]) -> Vec<String> {
    let copies = got.iter().filter(|sent| sent.destination == destination);
    let nearest = copies.map(|sent| copy(destination, wanted, sent)).min_by_key(Vec::len);
    nearest.unwrap_or_else(|| vec![format!("outgoing.{destination}: nothing is sent there")])
}

fn copy(destination: &str, wanted: &ExpectedRequest, sent: &Sent) -> Vec<String> {
    let at = |what: &str| format!("outgoing.{destination}.{what}");
    let mut found = Vec::new();
    match (&wanted.error, &sent.error) {
        (Some(wanted), Some(got)) if got.contains(wanted) => {}
        (Some(wanted), got) => {
            let got = got.as_deref().unwrap_or("nothing");
            found.push(format!("{}: expected {wanted}, got {got}", at("error")));
        }
        (None, Some(got)) => found.push(format!("{}: {got}", at("error"))),
        (None, None) => {}
    }
    if let Some(wanted) = &wanted.body {
        let json = |body: &Option<BodyShown>| match body {
            Some(BodyShown::Json(json)) => json.clone(),
            Some(BodyShown::Text(text) | BodyShown::Base64(text)) => Value::from(text.as_str()),
            None => Value::Null,
        };
        let (got, shown) = (json(&sent.compared.body), json(&sent.body));
        let mut differing = Vec::new();
        values(&at("body"), wanted, (&got, Some(&shown)), &mut differing);
        differing.truncate(DIFFERENCES_MAX);
        found.append(&mut differing);
    }
    for (name, value) in &wanted.headers {
        let got = sent.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let got = got.map_or("", |(_, value)| value.as_str());
        let mut compared = sent.compared.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        if got != value && !compared.any(|(_, digest)| *digest == KeyHash::of(value)) {
            found.push(format!("{}: expected `{value}`, got `{got}`", at(&format!("headers.{name}"))));
        }
    }
    found
}

/// Finds the places at which two values differ; differences report the shown form of `got`.
fn values(at: &str, wanted: &Value, (got, shown): (&Value, Option<&Value>), found: &mut Vec<String>) {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => {
            for (name, value) in wanted {
                let shown = shown.and_then(|shown| shown.get(name));
                match got.get(name) {
                    Some(got) => values(&format!("{at}.{name}"), value, (got, shown), found),
                    None => found.push(format!("{at}.{name}: expected {}, and it is not there", short(value))),
                }
            }
            for name in got.keys().filter(|name| !wanted.contains_key(*name)) {
                // A name may be the value of a variable.
                let is_shown = shown.is_some_and(|shown| shown.get(name).is_some());
                let name = if is_shown { name } else { REDACTED };
                found.push(format!("{at}.{name}: is there, and is not expected"));
            }
        }
        (Value::Array(wanted), Value::Array(got)) if wanted.len() == got.len() => {
            for (index, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                let shown = shown.and_then(|shown| shown.get(index));
                values(&format!("{at}[{index}]"), wanted, (got, shown), found);
            }
        }
        _ if is_same(wanted, got) || Some(wanted) == shown => {}
        _ => {
            let got = shown.map_or_else(|| REDACTED.to_owned(), short);
            found.push(format!("{at}: expected {}, got {got}", short(wanted)));
        }
    }
}

/// Compares two values. Numbers are equal when their values are: YAML and a transform may write them in two ways.
fn is_same(wanted: &Value, got: &Value) -> bool {
    match (wanted, got) {
        // Integers are compared to the last digit.
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => one.as_f64() == other.as_f64(),
        _ => wanted == got,
    }
}
