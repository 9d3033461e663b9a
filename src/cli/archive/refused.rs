//! `hookgate refused`: requests that were refused for their signature and are still held.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::deed::{Deed, Done, Sure};
use super::filter::{FilterArgs, Outcome};
use super::json::{moment, or_dash, read};
use super::pages::{List, PageRange};
use super::table::{COLUMNS, TableRow, cut, table};
use super::{Asked, counted, ended, show};
use crate::cli::admin::Admin;
use crate::cli::{Exit, terminal};
use crate::event::IdPrefix;

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Command {
    /// List requests that were refused for their signature, the newest first, each with its verdict under the rules in
    /// force.
    List(RefusedListArgs),
    /// Show one request: facts, headers, body, and its verdict under the rules in force.
    Show(ShowArgs),
    /// Store and deliver requests that verify under the rules in force, as of their receipt.
    Admit(AdmitArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate refused list\n\
    \x20 hookgate refused list --source github --outcome bad_signature")]
pub(in crate::cli) struct RefusedListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Only requests refused for this reason; `refused` is any reason. Default: the reasons about the signature.
    #[arg(long, value_enum, env = "HOOKGATE_OUTCOME")]
    outcome: Option<Outcome>,
    #[command(flatten)]
    reach: PageRange,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate refused show 01a1fd76-8a04-7238-9211-740ec6f37b7e\n\
    \x20 hookgate refused show 01a1fd76-8a04-7238-9211-740ec6f37b7e --format json")]
pub(in crate::cli) struct ShowArgs {
    /// The request's id, or its beginning.
    id: IdPrefix,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate refused admit --source github --dry-run\n\
    \x20 hookgate refused admit 01a1fd76-8a04-7238-9211-740ec6f37b7e")]
pub(in crate::cli) struct AdmitArgs {
    /// Only this request: its id, or the beginning of it.
    id: Option<IdPrefix>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    sure: Sure,
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
    unknown: Value,
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
            // Any reason is `refused`; without an outcome only those about the signature are listed.
            let outcome = args.outcome.map(|it| if it == Outcome::Any { Outcome::Refused } else { it });
            let wanted = args.filter.wanted().outcome(outcome);
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
        TableRow { cells: cells.into(), pieces: entry.now.iter().map(Now::line).collect() }
    };
    let rows: Vec<TableRow> = requests.iter().filter_map(read).map(row).collect();
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
        (self.stopped, self.unknown) = (page.stopped, page.unknown);
    }

    fn json(&self, dry_run: bool) -> Value {
        let counts = |counts: &Counts| {
            let Counts { verifies, quarantined, duplicate, unwanted, refused, fails, not_judged } = *counts;
            json!({
                "verifies": verifies, "quarantined": quarantined, "duplicate": duplicate, "unwanted": unwanted,
                "refused": refused, "fails": fails, "not_judged": not_judged,
            })
        };
        let by_source: Map<String, Value> =
            self.by_source.iter().map(|(source, of)| (source.clone(), counts(of))).collect();
        let sample = |one: &Sample| {
            let Now { verdict, secret, why } = &one.now;
            json!({ "id": one.id, "source": one.source, "verdict": verdict, "secret": secret, "why": why })
        };
        json!({
            "dry_run": dry_run, "judged": self.judged, "admitted": self.admitted, "stopped": self.stopped,
            "by_source": by_source, "samples": self.samples.iter().map(sample).collect::<Vec<_>>(),
            "unknown": self.unknown,
        })
    }
}

impl Done for Admission {
    fn lines(&self) -> Vec<String> {
        let row = |(source, counts): (&String, &Counts)| {
            let Counts { verifies, quarantined, duplicate, unwanted, refused, fails, not_judged } = *counts;
            let counts = [verifies, quarantined, duplicate, unwanted, refused, fails, not_judged];
            let cells = std::iter::once(source.clone()).chain(counts.map(|count| count.to_string()));
            TableRow { cells: cells.collect(), pieces: Vec::new() }
        };
        let rows: Vec<TableRow> = self.by_source.iter().map(row).collect();
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

    /// Verified ones and quarantined ones are stored.
    fn count(&self) -> u64 {
        self.by_source.values().map(|counts| counts.verifies + counts.quarantined).sum()
    }

    fn nothing(&self) -> &'static str {
        match self.judged {
            0 => "nothing that was refused for its signature is held; a restart forgets it",
            _ => {
                "nothing was done: under the rules in force none of them is to be admitted; a secret that `env:` names \
                 changes at a restart only, which forgets them: add the new one as `{file: …}` and reload"
            }
        }
    }
}

const SAMPLES_MAX: usize = 20;

/// All pages of what is asked for.
fn ask(args: &AdmitArgs, admin: &Admin, dry_run: bool) -> Result<(Value, Admission), Exit> {
    let (id, filter) = (args.id.as_ref().map(ToString::to_string), args.filter.wanted().json());
    let mut all = Admission::default();
    let mut cursor: Option<String> = None;
    loop {
        let body = json!({ "id": id, "filter": filter, "dry_run": dry_run, "cursor": cursor });
        let answer = admin.post("/api/v1/refused/admit", &body).map_err(|problem| problem.told())?;
        let page: Admission = read(&answer).ok_or_else(|| admin.not_ours().told())?;
        let next = page.next.clone();
        all.add(page);
        // A cursor that leads to itself would never end.
        if next.is_none() || next == cursor || all.stopped.is_some() {
            return Ok((all.json(dry_run), all));
        }
        cursor = next;
    }
}

fn admit(args: &AdmitArgs) -> Result<Exit, Exit> {
    args.filter.without(args.id.as_ref())?;
    // One that was named was looked at.
    let question = args.id.is_none().then_some("admit what verifies");
    let deed = Deed { asked: &args.asked, sure: args.sure, question };
    let Some((_, done)) = deed.run(|admin, dry_run| ask(args, admin, dry_run))? else { return Ok(Exit::Ok) };
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
        assert_eq!((all.judged, all.count()), (6, 2));
        let wanted = "\
SOURCE  VERIFIES  QUARANTINED  DUPLICATE  UNWANTED  REFUSED  FAILS  NOT JUDGED
github  2         0            0          0         0        4      0
such as
  a\u{fffd}  github  fails: no signature matches
  a\u{fffd}  github  fails: no signature matches";
        assert_eq!(all.lines().join("\n"), wanted);
    }
}
