//! `hookgate providers [NAME]`: the known providers, the proof of their rows, and their facts.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{Exit, terminal};
use crate::config::provider_meant;
use crate::patience::spelled;
use crate::provider::{Budget, FactName, Row, SourceKind, builtin};

/// The format of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// Text for people.
    #[default]
    Text,
    /// JSON for programs.
    Json,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate providers\n\
    \x20 hookgate providers stripe\n\
    \x20 hookgate providers github --format json")]
pub(crate) struct Args {
    /// The provider to explain. Without a name, all providers are listed.
    name: Option<String>,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_FORMAT")]
    format: OutputFormat,
}

pub(crate) fn run(args: &Args) -> Exit {
    match &args.name {
        None => list(args.format),
        Some(name) => match find(name) {
            Some(row) => explain(row, args.format),
            None => return Exit::Failed,
        },
    }
    Exit::Ok
}

/// Finds the row of that name; prints the nearest name when there is none.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    let row = builtin().get(name);
    if row.is_none() {
        let near = provider_meant(name, std::iter::empty());
        let meant = near.map_or_else(String::new, |near| format!(" Did you mean `{near}`?"));
        let name = terminal::harmless(name);
        terminal::tell(format!("hookgate: there is no provider `{name}`.{meant} `hookgate providers` lists all."));
    }
    row
}

fn list(format: OutputFormat) {
    if format == OutputFormat::Json {
        let rows: Vec<Value> = builtin().rows().map(facts).collect();
        terminal::say(Value::from(rows).to_string());
        return;
    }
    let width = builtin().names().map(str::len).max().unwrap_or(0).max(4);
    terminal::say(format!(
        "{:width$}  {:8}  {:26}  {:8}  STOPS SENDING AFTER",
        "NAME", "PROOF", "VERIFIED BY", "WAITS"
    ));
    let mut unproven = 0;
    for row in builtin().rows() {
        unproven += usize::from(!is_proven(row));
        let waits = row.budget().and_then(Budget::total).map_or_else(|| "-".to_owned(), spelled);
        let stops: Vec<String> = row.disable().iter().map(|disable| disable.rule.to_string()).collect();
        let stops = if stops.is_empty() { "-".to_owned() } else { stops.join(", or ") };
        let (name, proof, by) = (row.id(), proof(row.proof()), row.verified_by());
        terminal::say(format!("{name:width$}  {proof:8}  {by:26}  {waits:8}  {stops}"));
    }
    let all = builtin().names().count();
    terminal::tell(format!(
        "{all} providers; {unproven} rest on one table or on memory (proof `list`, `memory`): compare those with the provider's page first"
    ));
}

fn is_proven(row: &Row) -> bool {
    matches!(row.proof(), SourceKind::Sdk | SourceKind::Docs)
}

fn proof(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Sdk => "sdk",
        SourceKind::Docs => "docs",
        SourceKind::List => "list",
        SourceKind::Memory => "memory",
    }
}

fn proof_in_words(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Sdk => "the provider's own SDK agrees with it",
        SourceKind::Docs => "read in the provider's documentation, or in two implementations that quote it",
        SourceKind::List => "UNPROVEN: one third-party table says so",
        SourceKind::Memory => "UNPROVEN: from memory",
    }
}

fn explain(row: &Row, format: OutputFormat) {
    if format == OutputFormat::Json {
        terminal::say(facts(row).to_string());
        return;
    }
    terminal::say(format!("{} ({})", row.title(), row.id()));
    let say = |label: &str, text: String| {
        for (number, line) in wrapped(&text).iter().enumerate() {
            terminal::say(format!("  {:12} {line}", if number == 0 { label } else { "" }));
        }
    };
    let with = |fact: FactName, text: String| if text.is_empty() { text } else { text + &source_of(row, fact) };
    say("proof", format!("{}: {}", proof(row.proof()), proof_in_words(row.proof())));
    say("verified by", row.verified_by());
    say("event type", row.event_text().collect::<Vec<_>>().join(", or "));
    say("delivery id", row.delivery_text().collect::<Vec<_>>().join(", or "));
    say("replay", replay(row).to_owned());
    for (label, because) in row.context() {
        say("needs", format!("`context: {{{label}: …}}`, or: {because}"));
    }
    say("content", row.content().iter().map(|content| content.word()).collect::<Vec<_>>().join(", "));
    say("body", row.body().map_or_else(String::new, |spec| format!("`body: {spec}`")));
    say("largest body", with(FactName::BodyMax, row.body_bytes_max().map_or_else(String::new, size)));
    say("addresses", with(FactName::Ips, addresses(row)));
    say("rotation", row.rotation().unwrap_or_default().to_owned());
    say("waits", with(FactName::Budget, waits(row)));
    say("tries again", with(FactName::Retry, retries(row)));
    say("success", with(FactName::Success, sets(row.success())));
    say("final", with(FactName::Final, sets(row.is_final())));
    for disable in row.disable() {
        say("stops", with(FactName::Disable, format!("after {}: {}", disable.rule, disable.then)));
    }
    say("order", with(FactName::Order, row.order().unwrap_or_default().to_owned()));
    say("recovery", with(FactName::Recovery, row.recovery().unwrap_or_default().to_owned()));
    say("handshakes", handshakes(row));
    say("answers", format!("`hookgate answers {}`", row.id()));
    say("notes", row.notes().unwrap_or_default().to_owned());
    say("source", row.source().to_owned());
    for (source, facts) in other_sources(row) {
        say("", format!("{facts}: {source}"));
    }
}

/// Returns the facts that have other sources, by their source.
fn other_sources(row: &Row) -> BTreeMap<String, String> {
    let mut gathered: BTreeMap<String, String> = BTreeMap::new();
    for (fact, source) in row.sources() {
        let facts =
            gathered.entry(format!("{}, read {} ({})", source.from, source.read, proof(source.proof))).or_default();
        if !facts.is_empty() {
            facts.push_str(", ");
        }
        facts.push_str(&format!("{fact:?}").to_lowercase());
    }
    gathered
}

/// Returns lines of at most `COLUMNS` characters; a longer word stands alone.
fn wrapped(text: &str) -> Vec<String> {
    const COLUMNS: usize = 96;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Describes how a captured and repeated request is recognised.
fn replay(row: &Row) -> &'static str {
    match (row.scheme().is_timed(), row.delivery().is_some()) {
        (true, true) => "the time is signed; within its window the delivery id tells a repetition",
        (true, false) => "the time is signed; within its window nothing tells a repetition",
        (false, true) => {
            "the signature has no time: repetitions are recognised by delivery id and body within `dedup.window`"
        }
        (false, false) => {
            "nothing tells it: `event: {id: \"{body|sha256hex}\"}` with `dedup` does, if equal bodies are never two events"
        }
    }
}

/// Returns the proof of a fact that does not come from the row's own source.
fn source_of(row: &Row, fact: FactName) -> String {
    row.sources().get(&fact).map_or_else(String::new, |source| format!(" [{}]", proof(source.proof)))
}

fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(1024 * 1024) {
        format!("{} MiB", bytes / 1024 / 1024)
    } else {
        format!("{} KiB", bytes / 1024)
    }
}

fn addresses(row: &Row) -> String {
    let Some(ips) = row.ips() else { return String::new() };
    let published = ips.published().map(|place| format!("published at {place}"));
    let ranges: Vec<String> = ips.ranges().iter().map(ToString::to_string).collect();
    let ranges = (!ranges.is_empty()).then(|| ranges.join(", "));
    let read = row.preset().and_then(|preset| preset.read);
    let usable = read.map(|read| format!("as of {read}, for `allow_ips: {}`", row.id()));
    [published, ranges, usable].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

pub(super) fn waits(row: &Row) -> String {
    let Some(budget) = row.budget() else { return String::new() };
    let connect = budget.connect().map(|time| format!("{} for the connection", spelled(time)));
    let total = budget.total().map(|time| format!("{} for the answer", spelled(time)));
    [connect, total].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

pub(super) fn retries(row: &Row) -> String {
    let Some(retry) = row.retry() else { return String::new() };
    let mut parts = Vec::new();
    match retry.attempts() {
        Some(0) => parts.push("never".to_owned()),
        Some(attempts) => parts.push(format!("at most {attempts} times")),
        None => {}
    }
    parts.extend(retry.horizon().map(|over| format!("within {}", spelled(over))));
    let pauses: Vec<String> = retry.schedule().map(spelled).collect();
    parts.extend((!pauses.is_empty()).then(|| format!("after {}", pauses.join(", "))));
    parts.extend((!retry.on().is_empty()).then(|| format!("only on {}", sets(retry.on()))));
    parts.extend(retry.note().map(str::to_owned));
    parts.join("; ")
}

pub(super) fn sets(sets: &[crate::provider::AnswerSet]) -> String {
    sets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn handshakes(row: &Row) -> String {
    let shown = row.handshakes().iter().map(|handshake| {
        let how = match (handshake.captures(), handshake.needs_arming()) {
            (true, _) => " (hands over the secret; while armed only)",
            (false, true) => " (while armed only)",
            (false, false) => "",
        };
        format!("{}{how}", handshake.method())
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn facts(row: &Row) -> Value {
    json!({
        "name": row.id(),
        "title": row.title(),
        "proof": proof(row.proof()),
        "proven": is_proven(row),
        "verified_by": row.verified_by(),
        "event": row.event_text().collect::<Vec<_>>(),
        "delivery": row.delivery_text().collect::<Vec<_>>(),
        "body": row.body().map(ToString::to_string),
        "content": row.content().iter().map(|content| content.word()).collect::<Vec<_>>(),
        "body_max_bytes": row.body_bytes_max(),
        "ips": row.ips().map(|ips| json!({"published": ips.published(), "ranges": ips.ranges().iter().map(ToString::to_string).collect::<Vec<_>>(), "preset": row.preset().is_some()})),
        "rotation": row.rotation(),
        "budget_ms": row.budget().map(|budget| json!({"connect": budget.connect().map(ms), "total": budget.total().map(ms)})),
        "retry": row.retry().map(|_| retries(row)),
        "success": sets(row.success()),
        "final": sets(row.is_final()),
        "disable": row.disable().iter().map(|disable| json!({"rule": disable.rule.to_string(), "then": disable.then})).collect::<Vec<_>>(),
        "order": row.order(),
        "recovery": row.recovery(),
        "notes": row.notes(),
        "source": row.source(),
        "sources": row.sources().iter().map(|(fact, source)| json!({"fact": format!("{fact:?}").to_lowercase(), "proof": proof(source.proof), "from": source.from, "read": source.read.to_string()})).collect::<Vec<_>>(),
    })
}

fn ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
