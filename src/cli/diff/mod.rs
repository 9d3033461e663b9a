//! `hookgate diff OLD NEW`: recorded events through both files; what would be answered, routed or sent otherwise.
//!
//! Events come from a gateway (what it stored, and what it filtered and laid aside), or from a file of what `hookgate events
//! show --format json` printed. Secrets need not be here: a signature that cannot be judged under the old file is taken as
//! it was judged at receipt. Nothing is sent.

mod compare;
mod recorded;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::check::report;
use super::providers::Format;
use super::{Exit, load, terminal};
use crate::clock::{Clock, SystemClock};
use crate::server::Setup;
use compare::{Difference, Kind};
use recorded::Recorded;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration as it is.
    old: PathBuf,
    /// The configuration as it is to be.
    new: PathBuf,
    /// How far back events are looked at: 15m, 24h, 7d.
    #[arg(long, value_name = "SPAN", default_value = "24h", env = "HOOKGATE_LAST")]
    last: String,
    /// Events of this source only.
    #[arg(long, env = "HOOKGATE_SOURCE")]
    source: Option<String>,
    /// So many events at most, the newest first.
    #[arg(long, value_name = "N", default_value_t = 10_000, env = "HOOKGATE_MAX")]
    max: usize,
    /// A file of events, one JSON object a line, instead of a gateway's; `-` is stdin.
    #[arg(long, value_name = "FILE", env = "HOOKGATE_EVENTS")]
    events: Option<PathBuf>,
    /// So many events are named of each difference.
    #[arg(long, value_name = "N", default_value_t = 3, env = "HOOKGATE_SAMPLES")]
    samples: usize,
    /// The admin listener of the gateway, instead of the old file's.
    #[arg(long, value_name = "URL", env = "HOOKGATE_ADMIN_URL")]
    admin: Option<String>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_FORMAT")]
    format: Format,
}

/// One difference, and the events that have it.
#[derive(Debug, Default)]
struct Group {
    count: usize,
    samples: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Exit {
    match compared(args) {
        Ok(exit) | Err(exit) => exit,
    }
}

fn compared(args: &Args) -> Result<Exit, Exit> {
    let (old, new) = (setup(&args.old)?, setup(&args.new)?);
    let events = recorded::events(args)?;
    let mut groups: BTreeMap<Difference, Group> = BTreeMap::new();
    let (mut changed, mut unjudged) = (0, 0);
    for Recorded { event, is_redacted } in &events {
        let compare::Compared { differences, is_unjudged } = compare::compare(event, &old.live, &new.live);
        unjudged += usize::from(is_unjudged);
        changed += usize::from(!differences.is_empty());
        for difference in differences {
            let group = groups.entry(difference).or_default();
            group.count += 1;
            if group.samples.len() < args.samples {
                let mark = if *is_redacted { " (redacted)" } else { "" };
                group.samples.push(format!("{}{mark}", event.id));
            }
        }
    }
    let redacted = events.iter().filter(|recorded| recorded.is_redacted).count();
    if args.format == Format::Json {
        say_json(events.len(), changed, (unjudged, redacted), &groups);
    } else {
        say(events.len(), changed, (unjudged, redacted), &groups);
    }
    Ok(if changed > 0 { Exit::Findings } else { Exit::Ok })
}

fn setup(file: &Path) -> Result<Setup, Exit> {
    let read = load::load_to_try(file, &load::environment, SystemClock.now());
    let mut checked = read.map_err(|error| {
        terminal::tell(format!("hookgate: cannot read {}: {error}", file.display()));
        Exit::Config
    })?;
    checked.setup.take().ok_or_else(|| {
        report(&checked);
        Exit::Config
    })
}

fn say(all: usize, changed: usize, (unjudged, redacted): (usize, usize), groups: &BTreeMap<Difference, Group>) {
    terminal::say(format!("{all} events: {} as before, {changed} otherwise", all - changed));
    for kind in Kind::ALL {
        let mut of_kind = groups.iter().filter(|(difference, _)| difference.kind == kind).peekable();
        if of_kind.peek().is_some() {
            terminal::say(format!("\n{}", kind.title()));
        }
        for (difference, group) in of_kind {
            terminal::say(terminal::harmless(&format!(
                "  {:>6}  {}: {}",
                group.count, difference.what, difference.change
            )));
            terminal::say(format!("          {}", group.samples.join(", ")));
        }
    }
    if unjudged > 0 {
        terminal::tell(format!(
            "hookgate: the signatures of {unjudged} could not be judged here (no secret, or its time is over); taken as judged at receipt"
        ));
    }
    if redacted > 0 {
        terminal::tell(format!(
            "hookgate: the gateway shows {redacted} of them redacted (`capture.redact`); conditions on such values may say otherwise"
        ));
    }
}

fn say_json(all: usize, changed: usize, (unjudged, redacted): (usize, usize), groups: &BTreeMap<Difference, Group>) {
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
        "events": all, "changed": changed, "signatures_not_judged": unjudged, "redacted": redacted, "differences": groups,
    }));
}
