//! `hookgate parked`: order keys whose head failed, and which wait for a person.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::admin::Admin;
use super::filter::QueryPairs;
use super::json::{moment, or_dash, read};
use super::pages::{List, PageRange};
use super::table::{TableRow, table};
use super::{Asked, consent, ended};
use crate::cli::{Exit, terminal};

/// The limit of keys among which a prefix is looked for.
const KEYS_MAX: usize = 100_000;

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Command {
    /// List parked order keys.
    List(ParkedListArgs),
    /// Retry the event at the head of a key, then deliver the events behind it.
    Release(ReleaseArgs),
    /// Give up the event at the head of a key, then deliver the events behind it.
    Skip(SkipArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate parked list\n\
    \x20 hookgate parked list --destination orders")]
pub(in crate::cli) struct ParkedListArgs {
    /// Only keys of this destination.
    #[arg(long, value_name = "NAME", env = "HOOKGATE_DESTINATION")]
    destination: Option<String>,
    #[command(flatten)]
    reach: PageRange,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate parked release 5be1\n\
    \x20 hookgate parked release 5be1 --format json")]
pub(in crate::cli) struct ReleaseArgs {
    /// The key as `parked list` prints it, or its beginning.
    key: String,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate parked skip 5be1\n\
    \x20 hookgate parked skip 5be1 --yes")]
pub(in crate::cli) struct SkipArgs {
    /// The key as `parked list` prints it, or its beginning.
    key: String,
    /// Do not ask for confirmation.
    #[arg(long, env = "HOOKGATE_YES")]
    yes: bool,
    #[command(flatten)]
    asked: Asked,
}

const PARKED: List = List { path: "/api/v1/parked", member: "parked", one: "parked key" };

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Parked {
    key: String,
    destination: String,
    label: String,
    waiting: u64,
    since: String,
    cause: String,
    head: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Done {
    queued: u64,
    ended: u64,
}

pub(in crate::cli) fn run(command: &Command) -> Exit {
    ended(match command {
        Command::List(args) => {
            let wanted = QueryPairs::default().with("destination", args.destination.as_deref());
            PARKED.print(&args.asked, &wanted, &args.reach, lines)
        }
        Command::Release(args) => release(args),
        Command::Skip(args) => skip(args),
    })
}

fn lines(parked: &[Value]) -> Vec<String> {
    let parked: Vec<Parked> = parked.iter().filter_map(read).collect();
    let shown = shortest(&parked);
    let row = |one: &Parked| {
        let key = one.key.get(..shown).unwrap_or(&one.key).to_owned();
        let (waiting, since, cause) = (one.waiting.to_string(), moment(&one.since), or_dash(&one.cause));
        let cells = vec![key, or_dash(&one.destination), or_dash(&one.label), waiting, since, cause];
        TableRow { cells, pieces: vec![or_dash(&one.head)] }
    };
    let rows: Vec<TableRow> = parked.iter().map(row).collect();
    let columns = [("KEY", 64), ("DESTINATION", 16), ("LABEL", 24), ("WAITING", 8), ("SINCE (UTC)", 14), ("CAUSE", 18)];
    table(&columns, "HEAD", &rows)
}

/// Returns the number of letters that distinguish the listed keys.
fn shortest(parked: &[Parked]) -> usize {
    let mut keys: Vec<&str> = parked.iter().map(|one| one.key.as_str()).collect();
    keys.sort_unstable();
    let shared = |pair: &[&str]| match pair {
        [a, b] => a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count(),
        _ => 0,
    };
    keys.windows(2).map(shared).max().unwrap_or(0).max(19) + 1
}

/// The reason for which a prefix names no key.
#[derive(Debug, PartialEq, Eq)]
enum NoKey {
    None,
    Several(usize),
}

/// Finds the one key with this prefix.
fn named<'a>(parked: &'a [Parked], prefix: &str) -> Result<&'a Parked, NoKey> {
    let prefix = prefix.to_ascii_lowercase();
    let fitting: Vec<&Parked> = parked.iter().filter(|one| one.key.starts_with(&prefix)).collect();
    match fitting.as_slice() {
        _ if prefix.is_empty() => Err(NoKey::None),
        [] => Err(NoKey::None),
        [one] => Ok(one),
        several => several.iter().find(|one| one.key == prefix).copied().ok_or(NoKey::Several(several.len())),
    }
}

fn find(admin: &Admin, prefix: &str) -> Result<Parked, Exit> {
    let listed = PARKED.read(admin, &QueryPairs::default(), KEYS_MAX, None).map_err(|problem| problem.told())?;
    let parked: Vec<Parked> = listed.entries.iter().filter_map(read).collect();
    let found = named(&parked, prefix).map_err(|none| {
        let prefix = terminal::harmless(prefix);
        terminal::tell(match none {
            NoKey::None => {
                format!("hookgate: no parked key is, or begins with, `{prefix}`; see `hookgate parked list`")
            }
            NoKey::Several(keys) => format!("hookgate: {keys} parked keys begin with `{prefix}`; write more of it"),
        });
        Exit::Failed
    })?;
    // The key becomes part of a path.
    if !found.key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(admin.not_ours().told());
    }
    Ok(found.clone())
}

/// Returns `key (label, N waiting for destination)`.
fn told(one: &Parked) -> String {
    format!("{} ({}, {} waiting for {})", one.key, or_dash(&one.label), one.waiting, or_dash(&one.destination))
}

fn release(args: &ReleaseArgs) -> Result<Exit, Exit> {
    let admin = args.asked.gateway()?;
    let found = find(&admin, &args.key)?;
    go_on(&admin, &args.asked, &found, "release")
}

fn skip(args: &SkipArgs) -> Result<Exit, Exit> {
    let admin = args.asked.gateway()?;
    let found = find(&admin, &args.key)?;
    terminal::tell(format!("the head {} of {} would be given up", or_dash(&found.head), told(&found)));
    consent::consent(args.yes, "skip it")?;
    go_on(&admin, &args.asked, &found, "skip")
}

fn go_on(admin: &Admin, asked: &Asked, found: &Parked, how: &str) -> Result<Exit, Exit> {
    let path = format!("{}/{}/{how}", PARKED.path, found.key);
    let answer = admin.post(&path, &json!({})).map_err(|problem| problem.told())?;
    let done: Done = read(&answer).ok_or_else(|| admin.not_ours().told())?;
    if asked.is_json() {
        terminal::say_json(&answer);
    } else {
        terminal::say(format!("{}: queued {}, given up {}", told(found), done.queued, done.ended));
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> Vec<Parked> {
        keys.iter().map(|key| Parked { key: (*key).to_owned(), ..Parked::default() }).collect()
    }

    #[test]
    fn a_key_is_named_by_a_beginning_that_no_other_has() {
        let parked = keys(&["ab12", "ab13", "cd", "cdef"]);
        let found = |prefix: &str| named(&parked, prefix).map(|one| one.key.as_str());
        assert_eq!(found("ab12"), Ok("ab12"));
        assert_eq!(found("AB13"), Ok("ab13"));
        assert_eq!(found("ab"), Err(NoKey::Several(2)));
        assert_eq!(found("cd"), Ok("cd"));
        assert_eq!(found("cde"), Ok("cdef"));
        assert_eq!((found("x"), found("")), (Err(NoKey::None), Err(NoKey::None)));
    }

    #[test]
    fn a_table_of_parked_keys_fits_and_tells_them_apart() {
        let one = |key: &str, label: &str| {
            json!({"key": key, "destination": "billing", "label": label, "waiting": 12, "since": "2026-11-21T09:16:30.123Z",
                "cause": "final", "head": "0199f3a1-0000-7000-8000-000000000001"})
        };
        let parked = [one("0000000100000000aaaa0000", "cus_1"), one("0000000100000000aaab0000", "cus_2\u{1b}[2J")];
        let wanted = "\
KEY                   DESTINATION  LABEL      WAITING  SINCE (UTC)     CAUSE  HEAD
0000000100000000aaaa  billing      cus_1      12       11-21 09:16:30  final  0199f3a1-0000-7000-8000-000000000001
0000000100000000aaab  billing      cus_2\u{fffd}[2J  12       11-21 09:16:30  final  0199f3a1-0000-7000-8000-000000000001";
        assert_eq!(lines(&parked).join("\n"), wanted);
        assert_eq!(shortest(&keys(&["0001", "0002"])), 20);
        assert_eq!(shortest(&keys(&[])), 20);
    }
}
