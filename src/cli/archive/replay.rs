//! `hookgate events replay`: one event directly, many as a job of the gateway.

use serde::Deserialize;
use serde_json::json;

use super::Asked;
use super::filter::{FilterArgs, Outcome};
use super::job::{self, Many, Order, RulesArg};
use super::json::read;
use crate::cli::{Exit, terminal};
use crate::event::IdPrefix;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate events replay 01a1fd76-8a04-7238-9211-740ec6f37b7e\n\
    \x20 hookgate events replay --since 1h --source stripe --to billing --rate 50/s\n\
    \x20 hookgate events replay --since 24h --type 'invoice.*' --rules today --dry-run")]
pub(in crate::cli) struct Args {
    /// The id of one event, or the beginning of it. Filters select many events.
    id: Option<IdPrefix>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Only events with this outcome.
    #[arg(long, value_enum, env = "HOOKGATE_OUTCOME")]
    outcome: Option<Outcome>,
    /// The rules that decide which deliveries an event gets.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_RULES")]
    rules: RulesArg,
    /// Only to this destination. Can be given several times.
    #[arg(long, value_name = "DESTINATION", value_delimiter = ',', env = "HOOKGATE_TO")]
    to: Vec<String>,
    #[command(flatten)]
    many: Many,
    /// Only print what would be done.
    #[arg(long, env = "HOOKGATE_DRY_RUN")]
    dry_run: bool,
    #[command(flatten)]
    asked: Asked,
}

/// The result of a replay of one event, or of its plan.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Done {
    deliveries: Vec<Planned>,
    skipped: Vec<Skipped>,
    queued: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Planned {
    route: String,
    destination: String,
    new: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Skipped {
    route: String,
    destination: String,
    why: String,
}

pub(super) fn run(args: &Args) -> Result<Exit, Exit> {
    let wanted = args.filter.wanted().outcome(args.outcome);
    let Some(id) = &args.id else {
        if wanted.is_empty() {
            terminal::tell("hookgate: say which: an id, or filters such as --since 1h --source stripe");
            return Err(Exit::Usage);
        }
        let order = Order { from: "events", wanted, rules: args.rules, to: args.to.clone(), dry_run: args.dry_run };
        return job::run(&args.asked, &order, &args.many);
    };
    if !wanted.is_empty() || args.many.rate.is_some() || args.many.max.is_some() {
        terminal::tell("hookgate: an id is one event; filters, --rate and --max are for many");
        return Err(Exit::Usage);
    }
    one(&args.asked, (id, None), args.rules, &args.to, args.dry_run)
}

/// Replays one event, to these destinations or to all of its own.
pub(super) fn one(
    asked: &Asked,
    (id, outcome): (&IdPrefix, Option<&str>),
    rules: RulesArg,
    to: &[String],
    dry_run: bool,
) -> Result<Exit, Exit> {
    let admin = asked.gateway()?;
    let mut body = json!({ "rules": rules.word(), "dry_run": dry_run, "outcome": outcome });
    if let Some(members) = body.as_object_mut().filter(|_| !to.is_empty()) {
        members.insert("to".to_owned(), to.into());
    }
    let answer = admin.post(&format!("/api/v1/events/{id}/replay"), &body).map_err(|problem| problem.told())?;
    let done: Done = read(&answer).ok_or_else(|| admin.not_ours().told())?;
    if asked.is_json() {
        terminal::say_json(&answer);
    } else {
        lines(&done, dry_run).iter().for_each(terminal::say);
    }
    Ok(Exit::Ok)
}

fn lines(done: &Done, dry_run: bool) -> Vec<String> {
    let count = if dry_run { done.deliveries.len() } else { usize::try_from(done.queued).unwrap_or(usize::MAX) };
    let word = if dry_run { "would be queued" } else { "queued" };
    let count = if count == 1 { "1 delivery".to_owned() } else { format!("{count} deliveries") };
    let mut lines = vec![format!("{count} {word}")];
    lines.extend(done.deliveries.iter().map(|one| {
        let new = if one.new { ", new" } else { "" };
        format!("  {} (route {}){new}", one.destination, one.route)
    }));
    let skipped = done.skipped.iter();
    lines.extend(skipped.map(|one| match &*one.destination {
        "" => format!("  nothing by route {}: {}", one.route, one.why),
        destination => format!("  not {destination} (route {}): {}", one.route, one.why),
    }));
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_replay_of_one_says_what_goes_where_and_what_does_not() {
        let answer: Value = json!({"dry_run": true, "queued": 0,
            "deliveries": [{"route": "all", "destination": "ci", "new": false}, {"route": "b", "destination": "billing", "new": true}],
            "skipped": [{"route": "c", "destination": "crm", "why": "there is no such destination any more"}]});
        let wanted = "\
2 deliveries would be queued
  ci (route all)
  billing (route b), new
  not crm (route c): there is no such destination any more";
        assert_eq!(lines(&read(&answer).unwrap(), true).join("\n"), wanted);
        let answer: Value = json!({"queued": 1, "deliveries": [{"route": "all", "destination": "ci", "new": false}]});
        assert_eq!(lines(&read(&answer).unwrap(), false), ["1 delivery queued", "  ci (route all)"]);
    }
}
