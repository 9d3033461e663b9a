//! `POST /api/v1/sources/{source}/redeliveries`: allows repetitions that an operator asked the provider for.
//!
//! The request changes state, so `api::guard` applies.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::PageState;
use super::api::{answer, problem, problem_with};
use super::query::{Kind, UnknownName};
use crate::buffer::{ExpectedIds, PASS_LONGEST, PASSES_MAX};

/// The time without `for`.
const USUAL: Duration = Duration::from_mins(10);
/// The number of repetitions with `all` and without `max`.
const USUAL_MOST: u32 = 100;

/// The body: `{"id": "…", "for": "10m"}` or `{"all": true, "for": "10m", "max": 100}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    id: Option<String>,
    #[serde(default)]
    all: bool,
    max: Option<u32>,
    r#for: Option<String>,
}

impl Ask {
    fn wanted(&self) -> Result<ExpectedIds, &'static str> {
        match (&self.id, self.all, self.max) {
            (Some(id), false, None) if !id.is_empty() && id.len() <= 256 => Ok(ExpectedIds::Id(id.clone())),
            (Some(_), false, None) => Err("`id` is a delivery id of at most 256 bytes"),
            (None, true, max) => match max.unwrap_or(USUAL_MOST) {
                most @ 1..=PASSES_MAX => Ok(ExpectedIds::Any { most }),
                _ => Err("`max` is a number from 1 to 10000"),
            },
            (None, false, _) => Err("say `id`, or `all`"),
            (Some(_), true, _) => Err("say `id` or `all`, not both"),
            (Some(_), false, Some(_)) => Err("`max` goes with `all`"),
        }
    }

    fn long(&self) -> Result<Duration, &'static str> {
        let long = self.r#for.as_deref().map_or(Some(USUAL), duration);
        long.filter(|long| !long.is_zero() && *long <= PASS_LONGEST).ok_or("`for` is from `1s` to `24h`, such as `10m`")
    }
}

/// Parses a whole number and its unit (`s`, `m`, `h`), as in routes.yaml.
fn duration(text: &str) -> Option<Duration> {
    let seconds = [("s", 1), ("m", 60), ("h", 3600)];
    let (number, unit) = seconds.iter().find_map(|(unit, secs)| Some((text.strip_suffix(unit)?, *secs)))?;
    let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| is_plain)?.checked_mul(unit).map(Duration::from_secs)
}

pub(super) async fn redeliveries(State(desk): State<PageState>, Path(source): Path<String>, body: Bytes) -> Response {
    let Ok(ask) = serde_json::from_slice::<Ask>(&body) else {
        let title = "send {\"id\": \"…\", \"for\": \"10m\"} or {\"all\": true, \"max\": 100, \"for\": \"10m\"}";
        return problem(StatusCode::BAD_REQUEST, title);
    };
    let (wanted, long) = match (ask.wanted(), ask.long()) {
        (Ok(wanted), Ok(long)) => (wanted, long),
        (Err(why), _) | (_, Err(why)) => return problem(StatusCode::BAD_REQUEST, why),
    };
    if let Some(unknown) = UnknownName::of(Kind::Source, &source, &desk.panel.archive) {
        return problem_with(StatusCode::NOT_FOUND, "there is no such source", json!({ "unknown": [unknown] }));
    }
    let sources = desk.panel.sources.load();
    let Some(sheet) = sources.iter().find(|sheet| *sheet.name == *source) else {
        return problem(StatusCode::NOT_FOUND, "there is no such source");
    };
    if !sheet.recognises {
        let title = "this source has no deduplication (`dedup`): every repetition is delivered anyway";
        return problem(StatusCode::CONFLICT, title);
    }
    let Ok(until) = desk.panel.buffer.let_through(&sheet.name, wanted, long) else {
        return problem(StatusCode::TOO_MANY_REQUESTS, "10000 redeliveries are waited for already");
    };
    tracing::info!(source, id = ask.id, max = ask.max, %until, "expected redeliveries are allowed on request");
    let max = ask.all.then(|| ask.max.unwrap_or(USUAL_MOST));
    answer(&json!({ "source": source, "id": ask.id, "max": max, "until": until.to_string() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(text: &str) -> Result<(ExpectedIds, u64), &'static str> {
        let ask: Ask = serde_json::from_str(text).unwrap();
        Ok((ask.wanted()?, ask.long()?.as_secs()))
    }

    #[test]
    fn what_is_asked_is_one_id_or_so_many_of_any_and_ends() {
        assert_eq!(ask(r#"{"id":"a","for":"24h"}"#), Ok((ExpectedIds::Id("a".into()), 86_400)));
        assert_eq!(ask(r#"{"id":"a"}"#), Ok((ExpectedIds::Id("a".into()), 600)));
        assert_eq!(ask(r#"{"all":true,"max":10000,"for":"90s"}"#), Ok((ExpectedIds::Any { most: 10_000 }, 90)));
        assert_eq!(ask(r#"{"all":true}"#), Ok((ExpectedIds::Any { most: 100 }, 600)));
        for wrong in [
            r"{}",
            r#"{"id":""}"#,
            r#"{"id":"a","all":true}"#,
            r#"{"id":"a","max":3}"#,
            r#"{"max":3}"#,
            r#"{"all":true,"max":0}"#,
            r#"{"all":true,"max":10001}"#,
            r#"{"id":"a","for":"25h"}"#,
            r#"{"id":"a","for":"0s"}"#,
            r#"{"id":"a","for":"10"}"#,
            r#"{"id":"a","for":"+1m"}"#,
            r#"{"id":"a","for":"m"}"#,
        ] {
            assert!(ask(wrong).is_err(), "{wrong}");
        }
        assert!(ask(&format!(r#"{{"id":"{}"}}"#, "x".repeat(257))).is_err());
    }
}
