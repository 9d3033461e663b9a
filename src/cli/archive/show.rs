//! `hookgate events show ID`: one stored event, whole.
//!
//! Headers are shown as they were stored, except the sender's credentials, which the gateway hides: the command of
//! `--curl` has variables in their places.

use serde_json::Value;

use super::super::admin::Admin;
use super::json::{DeliveryJson, EventJson, Failing, ProblemJson, Try, Waits, body, read};
use super::{Asked, answer, curl, pretty};
use crate::cli::{Exit, terminal};
use crate::event::IdPrefix;

/// The gateway's word for a body that was kept as a whole.
const WHOLE: &str = "whole";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate events show 01a1fd76-8a04-7238-9211-740ec6f37b7e\n\
    \x20 hookgate events show 01a1fd76-8a04-7238-9211-740ec6f37b7e --curl --to http://127.0.0.1:9000/ci\n\
    \x20 hookgate events show 01a1fd76-8a04-7238-9211-740ec6f37b7e --body > body.json")]
pub(in crate::cli) struct Args {
    /// The event's id, or its beginning.
    id: IdPrefix,
    /// Print one shell command that sends the same request again.
    #[arg(long, env = "HOOKGATE_CURL")]
    curl: bool,
    /// The URL of --curl, instead of the first URL of the event's destination.
    #[arg(long, value_name = "URL", requires = "curl", env = "HOOKGATE_TO")]
    to: Option<String>,
    /// Print only the body, byte for byte.
    #[arg(long, conflicts_with = "curl", env = "HOOKGATE_BODY")]
    body: bool,
    #[command(flatten)]
    asked: Asked,
}

pub(super) fn run(args: &Args) -> Result<Exit, Exit> {
    let admin = args.asked.gateway()?;
    let answer = admin.get(&format!("/api/v1/events/{}", args.id)).map_err(|problem| problem.told())?;
    let raw = answer.get("event");
    let (Some(raw), Some(event)) = (raw, raw.and_then(read::<EventJson>)) else { return Err(admin.not_ours().told()) };
    let kept = raw.get("body_kept").and_then(Value::as_str).unwrap_or(WHOLE);
    if kept != WHOLE && (args.body || args.curl) {
        terminal::tell(
            "hookgate: the whole body of this request was not captured, so the body cannot be shown or sent again",
        );
        return Err(Exit::Failed);
    }
    if raw.get("redacted").and_then(Value::as_bool) == Some(true) && (args.body || args.curl) {
        terminal::tell(
            "hookgate: the gateway hides parts of this event (`capture`), so the original body is not available here",
        );
        return Err(Exit::Failed);
    }
    if args.body {
        let body = body(raw).ok_or_else(unreadable)?;
        terminal::write(&body);
    } else if args.curl {
        let request = curl::CurlRequest::of(raw).ok_or_else(unreadable)?;
        let url = match &args.to {
            Some(url) => url.clone(),
            None => destination(&admin, &event)?,
        };
        let Some(command) = curl::command(&request, &url) else {
            terminal::tell("hookgate: say where to with --to http://host:port/path");
            return Err(Exit::Usage);
        };
        for name in request.changed() {
            let name = terminal::harmless(name);
            terminal::tell(format!(
                "hookgate: the header {name} held bytes that are no text; it is not sent as it was"
            ));
        }
        let variables = request.variables();
        if !variables.is_empty() {
            let variables = variables.join(", ");
            terminal::tell(format!(
                "the gateway does not show the sender's credentials; before you run this, set {variables} (in a URL percent-encoded)"
            ));
        }
        terminal::say(command);
    } else if args.asked.is_json() {
        terminal::say_json(raw);
    } else {
        terminal::say(page(&event, raw));
    }
    Ok(Exit::Ok)
}

fn unreadable() -> Exit {
    terminal::tell("hookgate: the stored record of this event is damaged and cannot be read");
    Exit::Failed
}

/// Returns the first URL of the first destination that the event went to.
fn destination(admin: &Admin, event: &EventJson) -> Result<String, Exit> {
    let known = admin.get("/api/v1/destinations").map_err(|problem| problem.told())?;
    let known = known.get("destinations").and_then(Value::as_array).ok_or_else(|| admin.not_ours().told())?;
    let url_of = |delivery: &DeliveryJson| {
        let named = known.iter().find(|one| one.get("name").and_then(Value::as_str) == Some(&delivery.destination))?;
        Some((delivery.destination.clone(), named.get("urls")?.get(0)?.as_str()?.to_owned()))
    };
    let Some((name, url)) = event.deliveries.iter().find_map(url_of) else {
        terminal::tell("hookgate: none of the event's destinations is configured any more; choose a URL with --to");
        return Err(Exit::Failed);
    };
    if url.contains("${") {
        terminal::tell(format!(
            "hookgate: the gateway does not show all of {url} ({name}); say where to with --to URL"
        ));
        return Err(Exit::Usage);
    }
    terminal::tell(format!("to the destination {name}; --to sends it elsewhere"));
    Ok(url)
}

/// Returns the page of a request that was not stored.
pub(super) fn page_of(raw: &Value) -> Option<String> {
    read::<EventJson>(raw).map(|event| page(&event, raw))
}

/// Returns the page of an event, for people.
fn page(event: &EventJson, raw: &Value) -> String {
    let mut lines = facts(event);
    section(&mut lines, "headers", event.headers.iter().map(|(name, value)| format!("  {name}: {value}")));
    let answers = raw.get("deliveries").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let answers = answers.iter().map(|delivery| delivery.get("answer")).chain(std::iter::repeat(None));
    let deliveries = event.deliveries.iter().zip(answers);
    let told = deliveries.flat_map(|(one, answer)| {
        let answer = answer.map(answer::lines).unwrap_or_default();
        delivery(one).into_iter().chain(answer)
    });
    section(&mut lines, "deliveries", told);
    section(&mut lines, "problems", event.problems.iter().map(|problem| format!("  {}", ProblemJson::short(problem))));
    let failing = event.failing_routes.iter().map(|Failing { route, why }| format!("  {route}: {why}"));
    section(&mut lines, "routes in force that fail on it", failing);
    lines.push(String::new());
    match raw.get("body_kept").and_then(Value::as_str) {
        Some("nothing") => {
            lines.push("the body was not kept".to_owned());
            return lines.join("\n");
        }
        Some("part") => lines.push("the body was not kept whole; it began:".to_owned()),
        _ => {}
    }
    lines.push(match body(raw).map(String::from_utf8) {
        Some(Ok(text)) if text.is_empty() => "the body is empty".to_owned(),
        Some(Ok(text)) => terminal::harmless_lines(&pretty::pretty(&text).unwrap_or(text)),
        Some(Err(binary)) => {
            format!("the body is {} bytes that are no text; --body writes them", binary.as_bytes().len())
        }
        None => "the body cannot be read any more".to_owned(),
    });
    lines.join("\n")
}

fn facts(event: &EventJson) -> Vec<String> {
    let verified = match (event.verified.as_str(), event.unverified.as_str()) {
        ("", "") => "none asked for".to_owned(),
        ("", failed) => format!("no: {failed}"),
        (secret, _) => secret.to_owned(),
    };
    let hidden = match event.hidden.as_slice() {
        [] => String::new(),
        places => format!("{} (credentials of the sender)", places.join(", ")),
    };
    let request = format!("{} {}, {} bytes", event.method, event.target, event.bytes);
    let facts = [
        ("event", event.id.as_str()),
        ("source", &event.source),
        ("type", &event.r#type),
        ("received", &event.received_at),
        ("request", &request),
        ("host", &event.host),
        ("sender", &event.sender),
        ("verified", &verified),
        ("delivery id", &event.delivery_id),
        ("not shown", &hidden),
        ("same id as", &event.same_id_as),
        ("outcome", &event.outcome),
        ("kept until", &event.kept_until),
    ];
    facts.iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| format!("{name:12}{text}")).collect()
}

fn section(lines: &mut Vec<String>, name: &str, inside: impl Iterator<Item = String>) {
    let inside: Vec<String> = inside.collect();
    if !inside.is_empty() {
        lines.extend([String::new(), name.to_owned()]);
        lines.extend(inside);
    }
}

/// Returns the lines of a delivery, and of each of its attempts.
fn delivery(delivery: &DeliveryJson) -> Vec<String> {
    let tries = if delivery.attempts == 1 { "1 try".to_owned() } else { format!("{} tries", delivery.attempts) };
    let mut told = vec![format!("{} (route {}): {}, {tries}", delivery.destination, delivery.route, delivery.outcome)];
    let more = [("", &delivery.cause), ("ended ", &delivery.ended_at), ("next ", &delivery.next_at)];
    told.extend(more.iter().filter(|(_, text)| !text.is_empty()).map(|(word, text)| format!("{word}{text}")));
    told.extend(delivery.waits.iter().filter(|waits| !waits.is_retry()).map(Waits::told));
    told.extend((!delivery.order_key.is_empty()).then(|| format!("in order by {}", delivery.order_key)));
    told.extend((delivery.replays > 0).then(|| format!("replays {}", delivery.replays)));
    let tries = if delivery.tries.is_empty() { delivery.last.as_slice() } else { &delivery.tries };
    let mut lines = vec![format!("  {}", told.join(", "))];
    lines.extend(tries.iter().map(one_try));
    lines
}

fn one_try(one: &Try) -> String {
    let took = one.took_ms.map(|took| format!("  {took} ms")).unwrap_or_default();
    format!("    {}  {}  {}{took}", one.at, one.outcome, one.short())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use data_encoding::BASE64;

    use super::*;

    fn stored(body: Value) -> Value {
        json!({"id": "0199f3a1-0000-7000-8000-000000000001", "source": "github", "type": "push", "delivery_id": "d-1",
            "received_at": "2026-11-21T09:16:30.123Z", "bytes": 14, "verified": "main", "outcome": "queued", "same_id_as": null,
            "kept_until": null, "host": "hooks.example.com", "sender": "192.0.2.7", "method": "POST", "target": "/in/github?a=b", "headers": [["x-evil", "a\u{1b}[31m"]], "body": body,
            "problems": [{"pointer": "/id", "message": "is no number"}],
            "failing_routes": [{"route": "audit", "why": "condition failed: there is no \"qty\""}],
            "deliveries": [{"copy": 0, "route": "all", "destination": "ci", "outcome": "queued", "attempts": 1, "replays": 0,
                "next_at": "2026-11-21T09:16:31.000Z", "ended_at": null,
                "waits": {"for": "breaker", "until": "2026-11-21T09:16:50.000Z", "last_error": {"status": 500, "detail": "status 500"}}, "cause": null, "order_key": null, "last": null,
                "tries": [{"at": "2026-11-21T09:16:30.200Z", "outcome": "http_5xx", "status": 500, "took_ms": 12, "detail": "status 500"}]}]})
    }

    #[test]
    fn an_event_is_shown_with_all_that_is_known_of_it() {
        let raw = stored(json!({"text": "{\"a\":[1.0]}"}));
        let wanted = "\
event       0199f3a1-0000-7000-8000-000000000001
source      github
type        push
received    2026-11-21T09:16:30.123Z
request     POST /in/github?a=b, 14 bytes
host        hooks.example.com
sender      192.0.2.7
verified    main
delivery id d-1
outcome     queued

headers
  x-evil: a\u{fffd}[31m

deliveries
  ci (route all): queued, 1 try, next 2026-11-21T09:16:31.000Z, waits because the destination's circuit is open until \
2026-11-21T09:16:50.000Z (last error: status 500)
    2026-11-21T09:16:30.200Z  http_5xx  status 500  12 ms

problems
  /id: is no number

routes in force that fail on it
  audit: condition failed: there is no \"qty\"

{
  \"a\": [
    1.0
  ]
}";
        assert_eq!(page(&read(&raw).unwrap(), &raw), wanted);
    }

    #[test]
    fn a_body_that_is_no_text_is_only_named() {
        let raw = stored(json!({"base64": BASE64.encode(b"\xff\x00\x01")}));
        let page = page(&read(&raw).unwrap(), &raw);
        assert!(page.ends_with("\n\nthe body is 3 bytes that are no text; --body writes them"), "{page}");
        assert_eq!(body(&raw).unwrap(), b"\xff\x00\x01");
        assert_eq!(body(&stored(json!({"text": "\u{1b}"}))).unwrap(), b"\x1b");
        assert_eq!(body(&stored(json!(null))), None);
    }
}
