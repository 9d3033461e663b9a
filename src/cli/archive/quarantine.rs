//! `hookgate quarantine`: events that were answered as accepted and are held back.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::admin::Admin;
use super::deed::{Deed, Done, Sure};
use super::json::{EventJson, ProblemJson, moment, or_dash, read};
use super::pages::{List, ListArgs};
use super::table::{COLUMNS, TableRow, cut, table};
use super::{Asked, ended};
use crate::cli::{Exit, terminal};
use crate::event::IdPrefix;

/// The limit of listed problems of an event; `events show` has all.
const PROBLEMS_MAX: usize = 2;

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Command {
    /// List quarantined events, the oldest first, each with its problems.
    #[command(after_help = "Examples:\n\
        \x20 hookgate quarantine list\n\
        \x20 hookgate quarantine list --source stripe --format json")]
    List(ListArgs),
    /// Re-evaluate quarantined events under the rules in force; events without problems are delivered.
    Judge(JudgeArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate quarantine judge --dry-run\n\
    \x20 hookgate quarantine judge --source stripe --yes")]
pub(in crate::cli) struct JudgeArgs {
    /// Only events of this source.
    #[arg(long, value_name = "NAME", env = "HOOKGATE_SOURCE")]
    source: Option<String>,
    /// Only this event: its id, or the beginning of it.
    #[arg(long, env = "HOOKGATE_ID")]
    id: Option<IdPrefix>,
    #[command(flatten)]
    sure: Sure,
    #[command(flatten)]
    asked: Asked,
}

const QUARANTINE: List = List { path: "/api/v1/quarantine", member: "quarantine", one: "quarantined event" };

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Judgement {
    judged: u64,
    deliveries: u64,
    by_source: BTreeMap<String, Counts>,
    samples: Vec<Sample>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Counts {
    admitted: u64,
    unwanted: u64,
    kept: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sample {
    id: String,
    source: String,
    verdict: String,
    problems: Vec<ProblemJson>,
}

pub(in crate::cli) fn run(command: &Command) -> Exit {
    ended(match command {
        Command::List(args) => QUARANTINE.print(&args.asked, &args.filter.wanted(), &args.reach, lines),
        Command::Judge(args) => judge(args),
    })
}

fn lines(events: &[Value]) -> Vec<String> {
    let row = |event: EventJson| {
        let mut pieces: Vec<String> = event.problems.iter().take(PROBLEMS_MAX).map(ProblemJson::short).collect();
        let more = event.problems.len().saturating_sub(PROBLEMS_MAX);
        pieces.extend((more > 0).then(|| format!("and {more} more")));
        let cells = [moment(&event.received_at), or_dash(&event.id), or_dash(&event.source), or_dash(&event.r#type)];
        TableRow { cells: cells.into(), pieces: vec![pieces.join("; ")] }
    };
    let rows: Vec<TableRow> = events.iter().filter_map(read).map(row).collect();
    table(&[("TIME (UTC)", 14), ("ID", 36), ("SOURCE", 16), ("TYPE", 24)], "PROBLEMS", &rows)
}

fn judge(args: &JudgeArgs) -> Result<Exit, Exit> {
    let ask = |admin: &Admin, dry_run: bool| {
        let mut body = Map::from_iter([("dry_run".to_owned(), Value::from(dry_run))]);
        body.extend(args.source.iter().map(|source| ("source".to_owned(), source.as_str().into())));
        body.extend(args.id.iter().map(|id| ("id".to_owned(), id.to_string().into())));
        let answer = admin.post("/api/v1/quarantine/judge", &Value::Object(body)).map_err(|problem| problem.told())?;
        let judged: Judgement = read(&answer).ok_or_else(|| admin.not_ours().told())?;
        Ok((answer, judged))
    };
    let deed = Deed { asked: &args.asked, sure: args.sure, question: Some("let out what is admitted") };
    let Some((planned, done)) = deed.run(ask)? else { return Ok(Exit::Ok) };
    if done.count() != planned {
        terminal::tell(format!(
            "{} were admitted, and {planned} in the plan: events or rules came between",
            done.count()
        ));
    }
    terminal::tell(format!("deliveries queued: {}", done.deliveries));
    Ok(Exit::Ok)
}

impl Done for Judgement {
    fn lines(&self) -> Vec<String> {
        let row = |(source, counts): (&String, &Counts)| {
            let counts = [counts.admitted, counts.unwanted, counts.kept].map(|count| count.to_string());
            TableRow { cells: std::iter::once(source.clone()).chain(counts).collect(), pieces: Vec::new() }
        };
        let rows: Vec<TableRow> = self.by_source.iter().map(row).collect();
        if rows.is_empty() {
            return Vec::new();
        }
        let mut lines = table(&[("SOURCE", 40), ("ADMITTED", 10), ("UNWANTED", 10), ("KEPT", 10)], "", &rows);
        if !self.samples.is_empty() {
            lines.push("such as".to_owned());
        }
        for sample in &self.samples {
            let problem = sample.problems.first().map(|problem| format!(": {}", problem.short())).unwrap_or_default();
            let line = format!("  {}  {}  {}{problem}", sample.id, sample.source, sample.verdict);
            lines.push(cut(&line, COLUMNS));
        }
        lines
    }

    fn count(&self) -> u64 {
        self.by_source.values().map(|counts| counts.admitted).sum()
    }

    fn nothing(&self) -> &'static str {
        match self.judged {
            0 => "nothing was in quarantine that could be judged",
            _ => "nothing was done: the current rules admit none of these events",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_of_the_quarantine_says_what_is_wrong() {
        let problem = |pointer: &str, message: &str| json!({"pointer": pointer, "message": message});
        let event = |at: u8, problems: Vec<Value>| {
            json!({"id": format!("0199f3a1-0000-7000-8000-00000000000{at}"), "source": "github", "type": "push",
                "received_at": "2026-11-21T09:16:30.123Z", "outcome": "quarantined", "deliveries": [], "problems": problems})
        };
        let three = vec![problem("/ref", "is missing"), problem("", "is no object"), problem("/x", "is long")];
        let events = [event(1, vec![problem("/ref", "is missing")]), event(2, three)];
        let wanted = "\
TIME (UTC)      ID                                    SOURCE  TYPE  PROBLEMS
11-21 09:16:30  0199f3a1-0000-7000-8000-000000000001  github  push  /ref: is missing
11-21 09:16:30  0199f3a1-0000-7000-8000-000000000002  github  push  /ref: is missing; /: is no object; and 1 more";
        assert_eq!(lines(&events).join("\n"), wanted);
    }

    #[test]
    fn a_judgement_is_told_by_source() {
        let answer = json!({"dry_run": true, "judged": 5, "admitted": 3, "unwanted": 1, "kept": 1, "deliveries": 0,
            "by_source": {"github": {"judged": 4, "admitted": 3, "unwanted": 0, "kept": 1}, "stripe": {"judged": 1, "unwanted": 1}},
            "samples": [{"id": "a", "source": "github", "verdict": "kept", "problems": [{"pointer": "/ref", "message": "is missing"}]}]});
        let wanted = "\
SOURCE  ADMITTED  UNWANTED  KEPT
github  3         0         1
stripe  0         1         0
such as
  a  github  kept: /ref: is missing";
        assert_eq!(read::<Judgement>(&answer).unwrap().lines().join("\n"), wanted);
        assert!(Judgement::default().lines().is_empty());
    }
}
