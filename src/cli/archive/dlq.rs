//! `hookgate dlq`: deliveries that ended without success.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::admin::Admin;
use super::deed::{Deed, Done, Sure};
use super::filter::FilterArgs;
use super::job::{self, Many, Order, RulesArg};
use super::json::{EventJson, Try, member, moment, or_dash, read};
use super::pages::{List, ListArgs};
use super::table::{TableRow, table};
use super::{Asked, answer, counted, ended, replay};
use crate::cli::{Exit, terminal};
use crate::event::IdPrefix;

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Command {
    /// List dead letters.
    #[command(after_help = "Examples:\n\
        \x20 hookgate dlq list\n\
        \x20 hookgate dlq list --destination billing --since 24h")]
    List(ListArgs),
    /// Deliver dead letters again.
    Replay(ReplayArgs),
    /// Drop dead letters for good.
    Drop(DropArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate dlq replay 01a1fd76-8a04-7238-9211-740ec6f37b7e\n\
    \x20 hookgate dlq replay --destination billing --dry-run\n\
    \x20 hookgate dlq replay --destination billing --rate 50/s --yes")]
pub(in crate::cli) struct ReplayArgs {
    /// The event whose dead letters are delivered again: its id, or the beginning of it. Without an id: those that the
    /// filters select, or all.
    id: Option<IdPrefix>,
    #[command(flatten)]
    filter: FilterArgs,
    /// The rules that decide which deliveries an event gets.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_RULES")]
    rules: RulesArg,
    #[command(flatten)]
    many: Many,
    /// Only print what would be done.
    #[arg(long, env = "HOOKGATE_DRY_RUN")]
    dry_run: bool,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate dlq drop 01a1fd76-8a04-7238-9211-740ec6f37b7e\n\
    \x20 hookgate dlq drop --destination audit --until 7d --dry-run")]
pub(in crate::cli) struct DropArgs {
    /// The event whose dead letters are dropped: its id, or the beginning of it.
    id: Option<IdPrefix>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Drop all dead letters.
    #[arg(long, conflicts_with = "id", env = "HOOKGATE_ALL")]
    all: bool,
    #[command(flatten)]
    sure: Sure,
    #[command(flatten)]
    asked: Asked,
}

const DEAD: List = List { path: "/api/v1/dead-letters", member: "dead_letters", one: "dead letter" };

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DeadLetter {
    event: EventJson,
    destination: String,
    died_at: String,
    cause: String,
    attempts: u64,
    last: Option<Try>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Toll {
    dry_run: bool,
    found: u64,
    dropped: u64,
    samples: Vec<String>,
}

pub(in crate::cli) fn run(command: &Command) -> Exit {
    ended(match command {
        Command::List(args) => DEAD.print(&args.asked, &args.filter.wanted(), &args.reach, lines),
        Command::Replay(args) => replay_dead(args),
        Command::Drop(args) => drop_dead(args),
    })
}

fn lines(dead: &[Value]) -> Vec<String> {
    let row = |(dead, answer): (DeadLetter, Option<String>)| {
        let what = format!("{}/{}", or_dash(&dead.event.source), or_dash(&dead.event.r#type));
        let (died, id, tries) = (moment(&dead.died_at), or_dash(&dead.event.id), dead.attempts.to_string());
        let cells = vec![died, id, what, dead.destination, dead.cause, tries];
        TableRow { cells, pieces: dead.last.iter().map(Try::short).chain(answer).collect() }
    };
    let entry = |raw: &Value| Some((read(raw)?, raw.get("answer").and_then(answer::short)));
    let rows: Vec<TableRow> = dead.iter().filter_map(entry).map(row).collect();
    let columns =
        [("DIED (UTC)", 14), ("ID", 36), ("SOURCE/TYPE", 28), ("DESTINATION", 14), ("CAUSE", 18), ("TRIES", 5)];
    table(&columns, "LAST", &rows)
}

fn replay_dead(args: &ReplayArgs) -> Result<Exit, Exit> {
    args.filter.without(args.id.as_ref())?;
    let Some(id) = &args.id else {
        let wanted = args.filter.wanted();
        let order = Order { from: "dead_letters", wanted, rules: args.rules, to: Vec::new(), dry_run: args.dry_run };
        return job::run(&args.asked, &order, &args.many);
    };
    let admin = args.asked.gateway()?;
    let answer = admin.get(&format!("/api/v1/events/{id}")).map_err(|problem| problem.told())?;
    let event: EventJson = member(&admin, &answer, "event").map_err(|problem| problem.told())?;
    // What was looked at is what is replayed, whatever else begins so by then.
    let id = &event.id.parse::<IdPrefix>().map_err(|_none| admin.not_ours().told())?;
    let dead = event.deliveries.into_iter().filter(|delivery| delivery.outcome == "dead_lettered");
    let to: Vec<String> = dead.map(|delivery| delivery.destination).collect();
    if to.is_empty() {
        terminal::tell("hookgate: no delivery of this event is a dead letter");
        return Err(Exit::Failed);
    }
    replay::one(&args.asked, (id, Some("dead_lettered")), args.rules, &to, args.dry_run)
}

fn drop_dead(args: &DropArgs) -> Result<Exit, Exit> {
    args.filter.without(args.id.as_ref())?;
    let wanted = args.filter.wanted();
    if args.id.is_none() && wanted.is_empty() && !args.all {
        terminal::tell("hookgate: select dead letters: an id, filters such as --destination billing, or --all");
        return Err(Exit::Usage);
    }
    let ask = |admin: &Admin, dry_run: bool| {
        let mut body = json!({ "filter": wanted.json(), "all": args.all, "dry_run": dry_run });
        if let (Some(id), Some(members)) = (&args.id, body.as_object_mut()) {
            members.insert("id".to_owned(), id.to_string().into());
        }
        let answer = admin.post("/api/v1/dead-letters/drop", &body).map_err(|problem| problem.told())?;
        let dropped: Toll = read(&answer).ok_or_else(|| admin.not_ours().told())?;
        Ok((answer, dropped))
    };
    let deed = Deed { asked: &args.asked, sure: args.sure, question: Some("drop them") };
    deed.run(ask)?;
    Ok(Exit::Ok)
}

impl Done for Toll {
    fn lines(&self) -> Vec<String> {
        if !self.dry_run {
            return vec![format!("{} dropped", letters(self.dropped))];
        }
        let mut lines = vec![format!("{} would be dropped", letters(self.found))];
        lines.extend(self.samples.iter().map(|id| format!("  such as {id}")));
        lines
    }

    fn count(&self) -> u64 {
        self.found
    }

    fn nothing(&self) -> &'static str {
        "nothing was done: there is no such dead letter"
    }
}

fn letters(count: u64) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), DEAD.one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_dead_letters_says_why_they_died() {
        let dead = [
            json!({"event": {"id": "0199f3a1-0000-7000-8000-000000000001", "source": "stripe", "type": "invoice.paid"}, "copy": 0,
                "route": "all", "destination": "billing", "died_at": "2026-11-21T09:16:30.123Z", "cause": "final", "attempts": 1,
                "last": {"at": "2026-11-21T09:16:30.123Z", "outcome": "http_4xx", "status": 422, "took_ms": 3, "detail": "status 422"},
                "answer": {"status": 422, "body": {"text": "no\n id"}}}),
            json!({"event": {"id": null, "outcome": "unreadable"}, "destination": "ci", "died_at": "2026-11-21T09:16:31.000Z",
                "cause": "corrupt", "attempts": 0, "last": null}),
        ];
        let wanted = "\
DIED (UTC)      ID                                    SOURCE/TYPE          DESTINATION  CAUSE    TRIES  LAST
11-21 09:16:30  0199f3a1-0000-7000-8000-000000000001  stripe/invoice.paid  billing      final    1      status 422 no id
11-21 09:16:31  -                                     -/-                  ci           corrupt  0";
        assert_eq!(lines(&dead).join("\n"), wanted);
    }

    #[test]
    fn what_would_be_dropped_is_said() {
        let plan: Toll = read(&json!({"dry_run": true, "found": 2, "dropped": 0, "samples": ["a"]})).unwrap();
        assert_eq!(plan.lines(), ["2 dead letters would be dropped", "  such as a"]);
    }
}
