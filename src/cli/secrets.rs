//! `hookgate secrets`: every configured secret, by source: its validity, its use, and the action that it needs.
//!
//! Names and dates come from the file, the use from a running gateway. Without a gateway, only the content of the file
//! is printed. A secret that ends soon while it is in use comes first, and decides about the exit code.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::admin::Admin;
use super::providers::OutputFormat;
use super::secret_use::{Advice, SecretUse, Use, judge};
use super::{Exit, check, load, terminal};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::check::CheckedFile;
use crate::config::{Code, Severity};
use crate::secret::{ListedSecret, Validity, in_days};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate secrets\n\
    \x20 hookgate secrets routes.yaml --format json")]
pub(crate) struct Args {
    /// The configuration file; `-` is stdin.
    #[arg(default_value = "routes.yaml", env = "HOOKGATE_CONFIG")]
    file: PathBuf,
    /// The admin listener of the gateway, instead of the file's.
    #[arg(long, value_name = "URL", env = "HOOKGATE_ADMIN_URL")]
    admin: Option<String>,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_FORMAT")]
    format: OutputFormat,
}

/// One line of the result.
struct Line {
    known: SecretUse,
    /// The verdict; `None` without a gateway.
    verdict: Option<Advice>,
}

pub(crate) fn run(args: &Args) -> Exit {
    let Some(checked) = load::load_or_tell(&args.file) else { return Exit::Config };
    if !is_listable(&checked) {
        check::report(&checked);
        return Exit::Config;
    }
    let now = SystemClock.now();
    let lines = match Admin::new(args.admin.as_deref(), &checked).get("/api/v1/sources") {
        Ok(sources) => judged(&checked.secrets, &sources, now),
        Err(problem) => {
            terminal::tell(format!("hookgate: {problem}; this is what the file alone tells"));
            let alone =
                |listed: &ListedSecret| Line { known: SecretUse { listed: listed.clone(), used: None }, verdict: None };
            checked.secrets.iter().map(alone).collect()
        }
    };
    match args.format {
        OutputFormat::Json => {
            let all: Vec<Value> = lines.iter().map(|line| facts(line, now)).collect();
            terminal::say(Value::from(all).to_string());
        }
        OutputFormat::Text => print(&lines, now),
    }
    let is_urgent = lines.iter().any(|line| matches!(line.verdict, Some(Advice::EndsInUse { .. })));
    if is_urgent { Exit::Findings } else { Exit::Ok }
}

/// Returns whether names and dates can be listed. They can be where the secrets themselves cannot be read, as on an
/// operator's own machine.
fn is_listable(checked: &CheckedFile) -> bool {
    let is_secret = |code: Code| matches!(code, Code::UnusableSecret | Code::MissingSecret);
    let mut errors = checked.problems.iter().filter(|problem| problem.severity == Severity::Error);
    let unread = checked.problems.iter().filter(|problem| problem.code == Code::UnusableSecret).count();
    if unread > 0 {
        let them = if unread == 1 { "1 secret".to_owned() } else { format!("{unread} secrets") };
        terminal::tell(format!("hookgate: {them} cannot be read here; `hookgate check` says which"));
    }
    errors.all(|problem| is_secret(problem.code))
}

/// Returns every secret of the file with its use and its verdict, the most urgent first.
fn judged(listed: &[ListedSecret], sources: &Value, now: Timestamp) -> Vec<Line> {
    let with_use = |listed: &ListedSecret| SecretUse { listed: listed.clone(), used: used(listed, sources) };
    let known: Vec<SecretUse> = listed.iter().map(with_use).collect();
    let line = |one: &SecretUse| Line { known: one.clone(), verdict: Some(judge(one, &known, now)) };
    let mut lines: Vec<Line> = known.iter().map(line).collect();
    lines.sort_by_key(|line| !matches!(line.verdict, Some(Advice::EndsInUse { .. })));
    lines
}

/// Returns the gateway's counts for this secret.
fn used(listed: &ListedSecret, sources: &Value) -> Option<Use> {
    let named = |list: &Value, name: &str| -> Option<Value> {
        list.as_array()?.iter().find(|one| one.get("name").and_then(Value::as_str) == Some(name)).cloned()
    };
    let source = named(sources.get("sources")?, &listed.source)?;
    let secret = named(source.get("secrets")?, listed.name.as_str())?;
    let last = secret.get("last_used").and_then(Value::as_str).and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let last = last.and_then(|last| u64::try_from(last.as_millisecond()).ok()).map(Timestamp::from_unix_ms);
    Some(Use { total: secret.get("used_total")?.as_u64()?, last })
}

fn facts(line: &Line, now: Timestamp) -> Value {
    let SecretUse { listed, used } = &line.known;
    json!({
        "source": listed.source,
        "secret": listed.name.as_str(),
        "not_before": listed.validity.first_day(),
        "not_after": listed.validity.last_day(),
        "state": state(listed.validity, now),
        "ends_in_days": listed.validity.days_left(now),
        "used_total": used.map(|used| used.total),
        "last_used": used.and_then(|used| used.last).map(|last| last.to_string()),
        "verdict": line.verdict.as_ref().map(Advice::label),
    })
}

fn state(validity: Validity, now: Timestamp) -> &'static str {
    match () {
        () if validity.until <= now => "expired",
        () if now < validity.from => "not_yet_valid",
        () if validity.days_left(now).is_some() => "ends_soon",
        () => "valid",
    }
}

/// Returns the validity of a secret in words.
fn validity(validity: Validity, now: Timestamp) -> String {
    match (validity.first_day(), validity.last_day()) {
        (_, Some(last)) if validity.until <= now => format!("expired, last day {last}"),
        (Some(first), _) if now < validity.from => format!("not yet, from {first}"),
        (_, Some(last)) => match validity.days_left(now) {
            Some(days) => format!("ends {} ({last})", in_days(days)),
            None => format!("until {last}"),
        },
        (_, None) => "no end".to_owned(),
    }
}

fn print(lines: &[Line], now: Timestamp) {
    let width = |of: &dyn Fn(&Line) -> usize| lines.iter().map(of).max().unwrap_or(0).max(6);
    let (sources, names) =
        (width(&|line| line.known.listed.source.len()), width(&|line| line.known.listed.name.as_str().len()));
    let with_use = lines.iter().any(|line| line.verdict.is_some());
    let head = format!("{:sources$}  {:names$}  {:31}", "SOURCE", "SECRET", "VALID");
    terminal::say(if with_use {
        format!("{head}  {:>8}  {:24}  VERDICT", "USES", "LAST USE")
    } else {
        head.trim_end().to_owned()
    });
    for Line { known: SecretUse { listed, used }, verdict } in lines {
        let (source, name, valid) = (&listed.source, listed.name.as_str(), validity(listed.validity, now));
        let line = format!("{source:sources$}  {name:names$}  {valid:31}");
        let total = used.map_or_else(|| "-".to_owned(), |used| used.total.to_string());
        let last = used.and_then(|used| used.last).map_or_else(|| "-".to_owned(), |last| last.to_string());
        terminal::say(match verdict {
            Some(verdict) => format!("{line}  {total:>8}  {last:24}  {verdict}"),
            None => line.trim_end().to_owned(),
        });
    }
}
