//! A list that comes in pages, read until there are enough entries or no more pages.
//!
//! A page may be empty and still have a next one, because one search of the gateway is bounded.

use serde_json::Value;

use super::super::admin::{Admin, AdminProblem};
use super::filter::{Filter, Wanted};
use super::{Asked, counted};
use crate::cli::terminal;

/// The limit of entries in one page of the gateway.
const PAGE_MAX: usize = 500;

/// How much is listed.
#[derive(Debug, clap::Args)]
pub(super) struct Reach {
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 50, env = "HOOKGATE_LIMIT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Go on where an earlier list ended.
    #[arg(long, value_name = "TEXT", env = "HOOKGATE_CURSOR")]
    cursor: Option<String>,
}

/// A list with filters.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    pub(super) filter: Filter,
    #[command(flatten)]
    pub(super) reach: Reach,
    #[command(flatten)]
    pub(super) asked: Asked,
}

/// A list of the API.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct List {
    pub(super) path: &'static str,
    /// The member of the answer that holds the entries.
    pub(super) member: &'static str,
    /// The noun for one entry, for people.
    pub(super) one: &'static str,
}

/// Entries, and the cursor of the next ones.
pub(in crate::cli) struct Listed {
    pub(in crate::cli) entries: Vec<Value>,
    next: Option<String>,
}

impl List {
    /// Reads at most `limit` entries from `cursor` on.
    pub(in crate::cli) fn read(
        self,
        admin: &Admin,
        wanted: &Wanted,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Listed, AdminProblem> {
        let mut listed = Listed { entries: Vec::new(), next: cursor.map(str::to_owned) };
        loop {
            let rest = limit.saturating_sub(listed.entries.len()).min(PAGE_MAX).to_string();
            let here = wanted.clone().with("limit", Some(&rest)).with("cursor", listed.next.as_deref());
            let mut page = admin.get(&here.at(self.path))?;
            let Some(Value::Array(entries)) = page.get_mut(self.member).map(Value::take) else {
                return Err(admin.not_ours());
            };
            let next = page.get("next").and_then(Value::as_str).map(str::to_owned);
            // A cursor that leads to itself would never end.
            let is_stuck = next.is_some() && next == listed.next;
            listed.entries.extend(entries);
            listed.next = next;
            if listed.next.is_none() || is_stuck || listed.entries.len() >= limit {
                return Ok(listed);
            }
        }
    }

    /// Reads and prints a list; `lines` makes its lines for people.
    pub(super) fn print(
        self,
        asked: &Asked,
        wanted: &Wanted,
        reach: &Reach,
        lines: impl Fn(&[Value]) -> Vec<String>,
    ) -> Result<crate::cli::Exit, crate::cli::Exit> {
        let admin = asked.gateway()?;
        let limit = usize::try_from(reach.limit).unwrap_or(PAGE_MAX);
        let listed = self.read(&admin, wanted, limit, reach.cursor.as_deref()).map_err(|problem| problem.told())?;
        if asked.is_json() {
            listed.entries.iter().for_each(terminal::say_json);
        } else if !listed.entries.is_empty() {
            lines(&listed.entries).iter().for_each(terminal::say);
        }
        terminal::tell(self.told(&listed));
        Ok(crate::cli::Exit::Ok)
    }

    /// Returns the number of entries, and the cursor for more.
    fn told(self, listed: &Listed) -> String {
        let found = match listed.entries.len() {
            0 => format!("no {} found", self.one),
            some => counted(some, self.one),
        };
        match &listed.next {
            Some(next) => format!("{found}; there may be more: --cursor {}", terminal::harmless(next)),
            None => found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_how_many_and_how_to_go_on() {
        let list = List { path: "/", member: "events", one: "event" };
        let told = |count: usize, next: Option<&str>| {
            list.told(&Listed { entries: vec![Value::Null; count], next: next.map(str::to_owned) })
        };
        assert_eq!(told(0, None), "no event found");
        assert_eq!(told(1, None), "1 event");
        assert_eq!(told(50, Some("AbC")), "50 events; there may be more: --cursor AbC");
    }
}
