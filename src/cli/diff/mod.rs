//! `hookgate diff OLD NEW`: recorded events under both files, and the differences in answers, routes and deliveries.
//!
//! The events come from a gateway (stored ones, and captured ones that were filtered or refused), or from a file with
//! the output of `hookgate events show --format json`. Secrets need not be here: a signature that cannot be judged
//! under one of the files is taken as it was judged at receipt, under both. Requests that were refused for their
//! signature or by a limit are counted and not compared. Nothing is sent.

mod compare;
mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::check::report;
use super::providers::OutputFormat;
use super::{Exit, load, terminal};
use crate::clock::{Clock, SystemClock};
use crate::server::{Live, Setup};
use compare::{Difference, DifferenceKind};
use records::Records;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate diff routes.yaml new.yaml\n\
    \x20 hookgate diff routes.yaml new.yaml --last 7d --source stripe\n\
    \x20 hookgate diff routes.yaml new.yaml --events events.json")]
pub(crate) struct Args {
    /// The current configuration file.
    old: PathBuf,
    /// The new configuration file.
    new: PathBuf,
    /// The time back from now within which events are compared: 15m, 24h, 7d.
    #[arg(long, value_name = "SPAN", default_value = "24h", env = "HOOKGATE_LAST")]
    last: String,
    /// Only events of this source.
    #[arg(long, env = "HOOKGATE_SOURCE")]
    source: Option<String>,
    /// The maximum number of events, the newest first.
    #[arg(long, value_name = "N", default_value_t = 10_000, env = "HOOKGATE_MAX")]
    max: usize,
    /// A file of events, one JSON object a line, instead of the events of a gateway; `-` is stdin.
    #[arg(long, value_name = "FILE", env = "HOOKGATE_EVENTS")]
    events: Option<PathBuf>,
    /// The number of events that are named for each difference.
    #[arg(long, value_name = "N", default_value_t = 3, env = "HOOKGATE_SAMPLES")]
    samples: usize,
    /// The admin listener of the gateway, instead of the old file's.
    #[arg(long, value_name = "URL", env = "HOOKGATE_ADMIN_URL")]
    admin: Option<String>,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_FORMAT")]
    format: OutputFormat,
}

/// A file that is tried out.
struct Tried {
    setup: Setup,
    stood_in_for: BTreeSet<String>,
}

impl Tried {
    const fn live(&self) -> &Live {
        &self.setup.live
    }

    /// Returns whether a secret of a source is not here, so that it may be the one under which a signature is right.
    fn lacks_a_secret_of(&self, source: &str) -> bool {
        self.stood_in_for.contains(source)
    }
}

/// One difference, and the events that have it.
#[derive(Debug, Default)]
struct Group {
    count: usize,
    samples: Vec<String>,
}

/// The numbers of compared requests.
#[derive(Debug, Default)]
struct Counts {
    /// Requests with a difference.
    changed: usize,
    /// Requests whose signatures could not be judged here.
    unjudged: usize,
    /// Requests with hidden parts.
    redacted: usize,
}

pub(crate) fn run(args: &Args) -> Exit {
    match compared(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn compared(args: &Args) -> Result<Exit, Exit> {
    let (old, new) = (tried(&args.old)?, tried(&args.new)?);
    let records = records::read(args)?;
    let mut groups: BTreeMap<Difference, Group> = BTreeMap::new();
    let mut counts = Counts::default();
    for recorded in &records.requests {
        let compare::Compared { differences, is_unjudged } = compare::compare(recorded, &old, &new);
        counts.unjudged += usize::from(is_unjudged);
        counts.changed += usize::from(!differences.is_empty());
        counts.redacted += usize::from(recorded.is_redacted);
        for difference in differences {
            let group = groups.entry(difference).or_default();
            group.count += 1;
            if group.samples.len() < args.samples {
                let mark = if recorded.is_redacted { " (redacted)" } else { "" };
                group.samples.push(format!("{}{mark}", recorded.event.id));
            }
        }
    }
    // The difference that concerns most requests comes first.
    let mut groups: Vec<(Difference, Group)> = groups.into_iter().collect();
    groups.sort_by_key(|(difference, group)| (difference.kind, std::cmp::Reverse(group.count)));
    if args.format == OutputFormat::Json {
        say_json(&records, &counts, &groups);
    } else {
        say(&records, &counts, &groups);
    }
    Ok(if counts.changed > 0 { Exit::Findings } else { Exit::Ok })
}

fn tried(file: &Path) -> Result<Tried, Exit> {
    let read = load::load_to_try(file, &load::environment, SystemClock.now());
    let mut checked = read.map_err(|error| {
        terminal::tell(format!("hookgate: cannot read {}: {error}", file.display()));
        Exit::Config
    })?;
    let setup = checked.setup.take().ok_or_else(|| {
        report(&checked);
        Exit::Config
    })?;
    Ok(Tried { setup, stood_in_for: checked.stood_in_for })
}

fn say(records: &Records, counts: &Counts, groups: &[(Difference, Group)]) {
    let (all, changed) = (records.requests.len(), counts.changed);
    let events = if all == 1 { "event" } else { "events" };
    terminal::say(format!("{all} {events}: {} unchanged, {changed} changed", all - changed));
    let left_out = [(records.unsigned, "refused for their signature"), (records.limited, "refused by a limit")];
    let left_out: Vec<String> =
        left_out.iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{count} {why}")).collect();
    if !left_out.is_empty() {
        terminal::say(format!("not compared: {}", left_out.join(", ")));
    }
    for kind in DifferenceKind::ALL {
        let mut of_kind = groups.iter().filter(|(difference, _)| difference.kind == kind).peekable();
        if of_kind.peek().is_some() {
            terminal::say(format!("\n{}", kind.title()));
        }
        for (difference, group) in of_kind {
            terminal::say(terminal::harmless(&format!(
                "  {:>6}  {}: {}",
                group.count, difference.what, difference.change
            )));
            let more = match group.count - group.samples.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            terminal::say(format!("          {}{more}", group.samples.join(", ")));
        }
    }
    let Counts { unjudged, redacted, .. } = counts;
    if *unjudged > 0 {
        terminal::tell(format!(
            "hookgate: the signatures of {unjudged} could not be checked here (secret missing or expired); the verdict at receipt is used"
        ));
    }
    if *redacted > 0 {
        terminal::tell(format!(
            "hookgate: the gateway shows {redacted} of them redacted (`capture.redact`); conditions on such values may say otherwise"
        ));
    }
}

fn say_json(records: &Records, counts: &Counts, groups: &[(Difference, Group)]) {
    let groups: Vec<Value> = groups
        .iter()
        .map(|(difference, group)| {
            json!({
                "kind": difference.kind.label(), "what": difference.what, "change": difference.change,
                "count": group.count, "samples": group.samples,
            })
        })
        .collect();
    terminal::say_json(&json!({
        "events": records.requests.len(), "changed": counts.changed,
        "not_compared": { "signature": records.unsigned, "limit": records.limited },
        "signatures_not_judged": counts.unjudged, "redacted": counts.redacted, "differences": groups,
    }));
}
