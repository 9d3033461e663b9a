//! Events that were recorded: out of a gateway, or out of a file of what it showed.

use bytes::Bytes;
use data_encoding::BASE64;
use serde_json::Value;

use super::Args;
use crate::cli::admin::{Admin, AdminProblem};
use crate::cli::{Exit, load, terminal};
use crate::event::{EventData, EventId, HeaderBytes};

/// Events of one page.
const PAGE: usize = 500;

/// One event, as it was shown.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) event: EventData,
    /// Something of it was not shown.
    pub(super) is_redacted: bool,
}

pub(super) fn events(args: &Args) -> Result<Vec<Recorded>, Exit> {
    let Some(file) = &args.events else { return of_gateway(args) };
    let text = load::read_text(file).map_err(|error| {
        terminal::tell(format!("hookgate: cannot read {}: {error}", file.display()));
        Exit::Failed
    })?;
    let mut events = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let sheet: Option<Value> = serde_json::from_str(line).ok();
        let Some(recorded) = sheet.as_ref().and_then(read) else {
            let at = number + 1;
            let help = "write what `hookgate events show ID --format json` prints, one event a line";
            terminal::tell(format!("hookgate: {}: line {at} is no recorded event; {help}", file.display()));
            return Err(Exit::Failed);
        };
        events.push(recorded);
    }
    let is_wanted = |recorded: &Recorded| args.source.as_ref().is_none_or(|source| *recorded.event.source == **source);
    events.retain(is_wanted);
    events.truncate(args.max);
    Ok(events)
}

/// What the gateway stored, and what it filtered.
fn of_gateway(args: &Args) -> Result<Vec<Recorded>, Exit> {
    let checked = load::load_or_tell(&args.old).ok_or(Exit::Config)?;
    let admin = Admin::new(args.admin.as_deref(), &checked);
    let mut ids = ids(args, &admin, "")?;
    ids.extend(self::ids(args, &admin, "filtered")?);
    ids.truncate(args.max);
    let mut events = Vec::new();
    for (number, id) in ids.iter().enumerate() {
        if number % 100 == 0 {
            terminal::progress(&format!("{number} of {} events", ids.len()));
        }
        match admin.get(&format!("/api/v1/events/{id}")) {
            // One that cannot be read any more has no request.
            Ok(answer) => events.extend(answer.get("event").and_then(read)),
            // It was let go since it was listed.
            Err(AdminProblem::Refused { status: 404, .. }) => {}
            Err(problem) => return Err(problem.told()),
        }
    }
    terminal::progress("");
    Ok(events)
}

fn ids(args: &Args, admin: &Admin, outcome: &str) -> Result<Vec<String>, Exit> {
    let (mut ids, mut cursor): (Vec<String>, Option<String>) = (Vec::new(), None);
    loop {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("since", &args.last).append_pair("limit", &PAGE.to_string());
        let named = [("source", args.source.as_deref()), ("cursor", cursor.as_deref()), ("outcome", Some(outcome))];
        for (name, value) in named {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                query.append_pair(name, value);
            }
        }
        let answer = admin.get(&format!("/api/v1/events?{}", query.finish())).map_err(|problem| problem.told())?;
        let page = answer.get("events").and_then(Value::as_array).ok_or_else(|| admin.not_ours().told())?;
        ids.extend(page.iter().filter_map(|event| Some(event.get("id")?.as_str()?.to_owned())));
        cursor = answer.get("next").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() || ids.len() >= args.max {
            ids.truncate(args.max);
            return Ok(ids);
        }
    }
}

/// Reads what `GET /api/v1/events/{id}` shows.
fn read(sheet: &Value) -> Option<Recorded> {
    let text = |name: &str| sheet.get(name).and_then(Value::as_str);
    let received: jiff::Timestamp = text("received_at")?.parse().ok()?;
    let header = |pair: &Value| {
        let (name, value) = (pair.get(0)?.as_str()?, pair.get(1)?.as_str()?);
        Some((name.to_owned(), HeaderBytes(Bytes::from(value.to_owned()))))
    };
    let body = sheet.get("body")?;
    let body = match (body.get("text"), body.get("base64")) {
        (Some(text), _) => Bytes::from(text.as_str()?.to_owned()),
        (None, encoded) => Bytes::from(BASE64.decode(encoded?.as_str()?.as_bytes()).ok()?),
    };
    let event = EventData {
        id: EventId::parse(text("id")?)?,
        source: text("source")?.into(),
        received_at_ms: u64::try_from(received.as_millisecond()).ok()?,
        event_type: text("type").map(str::to_owned),
        delivery_id: text("delivery_id").map(str::to_owned),
        verified_by: text("verified").map(str::to_owned),
        method: text("method")?.to_owned(),
        target: text("target")?.to_owned(),
        params: sheet.get("params").and_then(|params| serde_json::from_value(params.clone()).ok()).unwrap_or_default(),
        headers: sheet.get("headers")?.as_array()?.iter().filter_map(header).collect(),
        copies: Vec::new(),
        problems: Vec::new(),
        unverified: None,
        host: text("host").map(str::to_owned),
        sender: text("sender").and_then(|sender| sender.parse().ok()),
        body,
    };
    Some(Recorded { event, is_redacted: sheet.get("redacted").and_then(Value::as_bool).unwrap_or(false) })
}
