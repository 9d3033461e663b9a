//! Recorded requests, from a gateway, or from a file with a gateway's output.

use serde_json::Value;

use super::Args;
use crate::cli::admin::{Admin, AdminProblem};
use crate::cli::archive::{EVENTS, QueryPairs};
use crate::cli::recorded_request::RecordedRequest;
use crate::cli::unknown::{self, Unknown};
use crate::cli::{Exit, load, terminal};
use crate::refusal::{Class, RequestOutcome};

/// Recorded requests, and the numbers of those that no file can judge.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) requests: Vec<RecordedRequest>,
    /// Requests refused for their signature: it is wrong under any file with the same secrets, and unknown without
    /// them.
    pub(super) unsigned: usize,
    /// Requests refused by a rate limit.
    pub(super) limited: usize,
}

impl Records {
    /// Returns whether a request with this outcome can be compared; counts it if not.
    fn takes(&mut self, aside: Option<RequestOutcome>) -> bool {
        let is_unsigned = aside.is_some_and(RequestOutcome::is_for_signature);
        let is_limited = aside == Some(RequestOutcome::Refused(Class::RateLimited));
        self.unsigned += usize::from(is_unsigned);
        self.limited += usize::from(is_limited);
        !is_unsigned && !is_limited
    }
}

pub(super) fn read(args: &Args) -> Result<Records, Exit> {
    let Some(file) = &args.events else { return of_gateway(args) };
    let text = load::read_text(file).map_err(|error| {
        terminal::tell(format!("hookgate: cannot read {}: {error}", file.display()));
        Exit::Failed
    })?;
    let mut records = Records::default();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let sheet: Option<Value> = serde_json::from_str(line).ok();
        let Some(recorded) = sheet.as_ref().and_then(RecordedRequest::read) else {
            let at = number + 1;
            let help = "write what `hookgate events show ID --format json` prints, one event a line";
            terminal::tell(format!("hookgate: {}: line {at} is no recorded event; {help}", file.display()));
            return Err(Exit::Failed);
        };
        let is_wanted = args.source.as_ref().is_none_or(|source| *recorded.event.source == **source);
        if is_wanted && records.takes(recorded.aside) {
            records.requests.push(recorded);
        }
    }
    records.requests.truncate(args.max);
    Ok(records)
}

/// Reads the requests that the gateway stored, and those that it captured.
fn of_gateway(args: &Args) -> Result<Records, Exit> {
    let checked = load::load_or_tell(&args.old).ok_or(Exit::Config)?;
    let admin = Admin::new(args.admin.as_deref(), &checked);
    let mut records = Records::default();
    let mut unknown = Vec::new();
    let mut ids: Vec<String> = listed(args, &admin, None, &mut unknown)?.into_iter().map(|(id, _)| id).collect();
    for aside in ["filtered", "refused"] {
        let listed = listed(args, &admin, Some(aside), &mut unknown)?;
        ids.extend(listed.into_iter().filter(|(_, outcome)| records.takes(*outcome)).map(|(id, _)| id));
    }
    if ids.is_empty() {
        unknown::tell(&unknown)?;
    }
    // Ids begin with the time.
    ids.sort_unstable_by(|one, other| other.cmp(one));
    ids.truncate(args.max);
    for (number, id) in ids.iter().enumerate() {
        if number % 100 == 0 {
            terminal::progress(&format!("{number} of {} events", ids.len()));
        }
        match admin.get(&format!("/api/v1/events/{id}")) {
            // An event that cannot be read any more has no request.
            Ok(answer) => records.requests.extend(answer.get("event").and_then(RecordedRequest::read)),
            // The event was removed after it was listed.
            Err(AdminProblem::Refused { status: 404, .. }) => {}
            Err(problem) => return Err(problem.told()),
        }
    }
    terminal::progress("");
    Ok(records)
}

/// Returns ids, each with its outcome where the request was captured, and adds the names that the gateway does not know.
fn listed(
    args: &Args,
    admin: &Admin,
    aside: Option<&str>,
    unknown: &mut Vec<Unknown>,
) -> Result<Vec<(String, Option<RequestOutcome>)>, Exit> {
    let wanted = QueryPairs::default().with("since", Some(&args.last)).with("source", args.source.as_deref());
    let wanted = wanted.with("outcome", aside);
    let mut listed = EVENTS.read(admin, &wanted, args.max, None).map_err(|problem| problem.told())?;
    *unknown = listed.unknown;
    listed.entries.truncate(args.max);
    let listed = listed.entries.iter().filter_map(|event| {
        let outcome = aside.and(event.get("outcome")).and_then(Value::as_str).and_then(RequestOutcome::of_label);
        Some((event.get("id")?.as_str()?.to_owned(), outcome))
    });
    Ok(listed.collect())
}
