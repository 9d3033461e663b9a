//! `hookgate refused`: requests that were refused for their signature and are still held.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::filter::{Filter, Outcome};
use super::pages::{List, Reach};
use super::sheet::{moment, or_dash, read};
use super::table::{COLUMNS, Row, cut, table};
use super::{Asked, consent, counted, ended, show};
use crate::cli::admin::Admin;
use crate::cli::{Exit, terminal};

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Command {
    /// List requests that were refused for their signature, the newest first, each with its verdict under the rules in
    /// force.
    List(ListArgs),
    /// Show one request: facts, headers, body, and its verdict under the rules in force.
    Show(ShowArgs),
    /// Store and deliver requests that verify under the rules in force, as of their receipt.
    Admit(AdmitArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate refused list\n\
    \x20 hookgate refused list --source github --outcome bad_signature")]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    filter: Filter,
    /// Only requests refused for this reason; `refused` is any reason. Default: the reasons about the signature.
    #[arg(long, value_enum, env = "HOOKGATE_OUTCOME")]
    outcome: Option<Outcome>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate refused show 01a1fd76-8a04-7238-9211-740ec6f37b7e\n\
    \x20 hookgate refused show 01a1fd76-8a04-7238-9211-740ec6f37b7e --format json")]
pub(in crate::cli) struct ShowArgs {
    /// The request's id.
    id: Uuid,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate refused admit --source github --dry-run\n\
    \x20 hookgate refused admit 01a1fd76-8a04-7238-9211-740ec6f37b7e")]
pub(in crate::cli) struct AdmitArgs {
    /// Only this request.
    #[arg(conflicts_with_all = ["source", "since", "until"])]
    id: Option<Uuid>,
    /// Only requests to this source.
    #[arg(long, value_name = "NAME", env = "HOOKGATE_SOURCE")]
    source: Option<String>,
    /// Only requests received since TIME, such as 2026-11-21T09:00:00Z, or a span back from now such as 15m, 24h, 7d.
    #[arg(long, value_name = "TIME", env = "HOOKGATE_SINCE")]
    since: Option<String>,
    /// Only requests received before TIME.
    #[arg(long, value_name = "TIME", env = "HOOKGATE_UNTIL")]
    until: Option<String>,
    /// Only print what would be done.
    #[arg(long, env = "HOOKGATE_DRY_RUN")]
    dry_run: bool,
    /// Do not ask for confirmation.
    #[arg(long, env = "HOOKGATE_YES")]
    yes: bool,
    #[command(flatten)]
    asked: Asked,
}

const REFUSED: List = List { path: "/api/v1/refused", member: "refused", one: "refused request" };

/// One refused request in a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    id: String,
    source: String,
    r#type: String,
    received_at: String,
    sender: String,
    outcome: String,
    now: Option<Now>,
}

/// The verdict on a refused request under the rules in force.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Now {
    verdict: String,
    secret: String,
    why: String,
}

impl Now {
    fn line(&self) -> String {
        match (self.secret.as_str(), self.why.as_str()) {
            ("", "") => self.verdict.clone(),
            ("", why) => format!("{}: {why}", self.verdict),
            (secret, "") => format!("{} by `{secret}`", self.verdict),
            (secret, why) => format!("{} by `{secret}`: {why}", self.verdict),
        }
    }
}

/// The result of one call to admit requests, or the sum of all calls.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Admission {
    judged: u64,
    admitted: u64,
    by_source: BTreeMap<String, Counts>,
    samples: Vec<Sample>,
    next: Option<String>,
    stopped: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Counts {
    verifies: u64,
    quarantined: u64,
    duplicate: u64,
    unwanted: u64,
    refused: u64,
    fails: u64,
    not_judged: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Sample {
    id: String,
    source: String,
    #[serde(flatten)]
    now: Now,
}

pub(in crate::cli) fn run(command: &Command) -> Exit {
    ended(match command {
        Command::List(args) => {
            let wanted = args.filter.wanted().outcome(args.outcome);
            REFUSED.print(&args.asked, &wanted, &args.reach, lines)
        }
        Command::Show(args) => shown(args),
        Command::Admit(args) => admit(args),
    })
}

fn lines(requests: &[Value]) -> Vec<String> {
    let row = |entry: Entry| {
        let cells = [
            moment(&entry.received_at),
            or_dash(&entry.id),
            or_dash(&entry.source),
            or_dash(&entry.r#type),
            or_dash(&entry.sender),
            or_dash(&entry.outcome),
        ];
        Row { cells: cells.into(), pieces: entry.now.iter().map(Now::line).collect() }
    };
    let rows: Vec<Row> = requests.iter().filter_map(read).map(row).collect();
    let columns = [("TIME (UTC)", 14), ("ID", 36), ("SOURCE", 16), ("TYPE", 20), ("SENDER", 39), ("REFUSED AS", 17)];
    table(&columns, "NOW", &rows)
}

fn shown(args: &ShowArgs) -> Result<Exit, Exit> {
    let admin = args.asked.gateway()?;
    let answer = admin.get(&format!("/api/v1/refused/{}", args.id)).map_err(|problem| problem.told())?;
    let Some(raw) = answer.get("refused") else { return Err(admin.not_ours().told()) };
    if args.asked.is_json() {
        terminal::say_json(raw);
        return Ok(Exit::Ok);
    }
    let page = show::page_of(raw).ok_or_else(|| admin.not_ours().told())?;
    terminal::say(page);
    if let Some(now) = raw.get("now").and_then(read::<Now>) {
        terminal::say(format!("\nnow         {}", now.line()));
        if !now.secret.is_empty() {
            terminal::say(format!("            hookgate refused admit {}", args.id));
        }
    }
    Ok(Exit::Ok)
}

impl Admission {
    /// Returns the number of requests that are stored, or would be by a plan: verified ones and quarantined ones.
    fn stored(&self) -> u64 {
        self.by_source.values().map(|counts| counts.verifies + counts.quarantined).sum()
    }

    fn add(&mut self, page: Self) {
        self.judged += page.judged;
        self.admitted += page.admitted;
        for (source, counts) in page.by_source {
            let sum = self.by_source.entry(source).or_default();
            sum.verifies += counts.verifies;
            sum.quarantined += counts.quarantined;
            sum.duplicate += counts.duplicate;
            sum.unwanted += counts.unwanted;
            sum.refused += counts.refused;
            sum.fails += counts.fails;
            sum.not_judged += counts.not_judged;
        }
        let room = SAMPLES_MAX.saturating_sub(self.samples.len());
        self.samples.extend(page.samples.into_iter().take(room));
        self.stopped = page.stopped;
    }

    fn lines(&self) -> Vec<String> {
        let row = |(source, counts): (&String, &Counts)| {
            let Counts { verifies, quarantined, duplicate, unwanted, refused, fails, not_judged } = *counts;
            let counts = [verifies, quarantined, duplicate, unwanted, refused, fails, not_judged];
            let cells = std::iter::once(source.clone()).chain(counts.map(|count| count.to_string()));
            Row { cells: cells.collect(), pieces: Vec::new() }
        };
        let rows: Vec<Row> = self.by_source.iter().map(row).collect();
        if rows.is_empty() {
            return Vec::new();
        }
        let columns = [
            ("SOURCE", 40),
            ("VERIFIES", 10),
            ("QUARANTINED", 11),
            ("DUPLICATE", 10),
            ("UNWANTED", 10),
            ("REFUSED", 10),
            ("FAILS", 10),
            ("NOT JUDGED", 10),
        ];
        let mut lines = table(&columns, "", &rows);
        lines.push("such as".to_owned());
        for Sample { id, source, now } in &self.samples {
            lines.push(cut(&format!("  {id}  {source}  {}", now.line()), COLUMNS));
        }
        lines
    }
}

const SAMPLES_MAX: usize = 20;

/// Asks for all pages, and returns their sum.
fn ask(args: &AdmitArgs, admin: &Admin, dry_run: bool) -> Result<Admission, Exit> {
    let mut filter = Map::new();
    for (name, value) in [("source", &args.source), ("since", &args.since), ("until", &args.until)] {
        filter.extend(value.iter().map(|value| (name.to_owned(), value.as_str().into())));
    }
    let mut all = Admission::default();
    let mut cursor: Option<String> = None;
    loop {
        let body = json!({
            "id": args.id.map(|id| id.to_string()), "filter": filter, "dry_run": dry_run, "cursor": cursor,
        });
        let answer = admin.post("/api/v1/refused/admit", &body).map_err(|problem| problem.told())?;
        let page: Admission = read(&answer).ok_or_else(|| admin.not_ours().told())?;
        let next = page.next.clone();
        all.add(page);
        // A cursor that leads to itself would never end.
        if next.is_none() || next == cursor || all.stopped.is_some() {
            return Ok(all);
        }
        cursor = next;
    }
}

fn say(args: &AdmitArgs, dry_run: bool, done: &Admission) {
    if !args.asked.is_json() {
        done.lines().iter().for_each(terminal::say);
        return;
    }
    let counts = |counts: &Counts| {
        let Counts { verifies, quarantined, duplicate, unwanted, refused, fails, not_judged } = *counts;
        json!({
            "verifies": verifies, "quarantined": quarantined, "duplicate": duplicate, "unwanted": unwanted,
            "refused": refused, "fails": fails, "not_judged": not_judged,
        })
    };
    let by_source: Map<String, Value> =
        done.by_source.iter().map(|(source, of)| (source.clone(), counts(of))).collect();
    let sample = |one: &Sample| {
        let Now { verdict, secret, why } = &one.now;
        json!({ "id": one.id, "source": one.source, "verdict": verdict, "secret": secret, "why": why })
    };
    terminal::say_json(&json!({
        "dry_run": dry_run, "judged": done.judged, "admitted": done.admitted, "stopped": done.stopped,
        "by_source": by_source, "samples": done.samples.iter().map(sample).collect::<Vec<_>>(),
    }));
}

fn admit(args: &AdmitArgs) -> Result<Exit, Exit> {
    let admin = args.asked.gateway()?;
    let plan = ask(args, &admin, true)?;
    if args.dry_run || plan.stored() == 0 {
        say(args, true, &plan);
        terminal::tell(match (plan.judged, plan.stored()) {
            (0, _) => "nothing that was refused for its signature is held; a restart forgets it",
            (_, 0) => "nothing was done: under the rules in force none of them is to be admitted",
            _ => "nothing was done; without --dry-run it would be",
        });
        return Ok(Exit::Ok);
    }
    // A request that was named by its id needs no consent.
    if args.id.is_none() {
        plan.lines().iter().for_each(terminal::tell);
        consent::consent(args.yes, "admit what verifies")?;
    }
    let done = ask(args, &admin, false)?;
    say(args, false, &done);
    terminal::tell(format!("admitted: {}", counted(usize::try_from(done.admitted).unwrap_or(usize::MAX), "event")));
    if let Some(why) = &done.stopped {
        terminal::tell(format!("hookgate: it ended early: {why}; what was not admitted is still held"));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_the_refused_says_what_is_said_of_them_now() {
        let entry = |now: Value| {
            json!({"id": "0199f3a1-0000-7000-8000-000000000001", "source": "github", "type": "push", "sender": "192.0.2.7",
                "received_at": "2026-11-21T09:16:30.123Z", "outcome": "bad_signature", "now": now})
        };
        let requests = [entry(json!({"verdict": "verifies", "secret": "new", "why": null})), entry(json!(null))];
        let wanted = "\
TIME (UTC)      ID                                    SOURCE  TYPE  SENDER     REFUSED AS     NOW
11-21 09:16:30  0199f3a1-0000-7000-8000-000000000001  github  push  192.0.2.7  bad_signature  verifies by `new`
11-21 09:16:30  0199f3a1-0000-7000-8000-000000000001  github  push  192.0.2.7  bad_signature";
        assert_eq!(lines(&requests).join("\n"), wanted);
    }

    #[test]
    fn pages_of_a_plan_add_up() {
        let page = json!({"judged": 3, "verifies": 1, "by_source": {"github": {"verifies": 1, "fails": 2}}, "next": "a",
            "samples": [{"id": "a\u{1b}", "source": "github", "verdict": "fails", "secret": null, "why": "no signature matches"}]});
        let page: Admission = read(&page).unwrap();
        let mut all = Admission::default();
        all.add(page.clone());
        all.add(page);
        assert_eq!((all.judged, all.stored()), (6, 2));
        let wanted = "\
SOURCE  VERIFIES  QUARANTINED  DUPLICATE  UNWANTED  REFUSED  FAILS  NOT JUDGED
github  2         0            0          0         0        4      0
such as
  a\u{fffd}  github  fails: no signature matches
  a\u{fffd}  github  fails: no signature matches";
        assert_eq!(all.lines().join("\n"), wanted);
    }
}
