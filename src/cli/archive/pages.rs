//! A list that comes in pages, read until there are enough entries or no more pages.
//!
//! A page may be empty and still have a next one, because one search of the gateway is bounded.

use serde_json::Value;

use super::super::admin::{Admin, AdminProblem};
use super::filter::{FilterArgs, QueryPairs};
use super::{Asked, counted};
use crate::cli::unknown::{self, Unknown};
use crate::cli::{Exit, terminal};

/// The limit of entries in one page of the gateway.
const PAGE_MAX: usize = 500;

/// The part of a list that is printed.
#[derive(Debug, clap::Args)]
pub(super) struct PageRange {
    /// The maximum number of entries.
    #[arg(long, value_name = "N", default_value_t = 50, env = "HOOKGATE_LIMIT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// The cursor at the end of an earlier list, to go on from there.
    #[arg(long, value_name = "TEXT", env = "HOOKGATE_CURSOR")]
    cursor: Option<String>,
}

impl PageRange {
    fn limit(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(PAGE_MAX)
    }
}

/// A list with filters.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ListArgs {
    #[command(flatten)]
    pub(super) filter: FilterArgs,
    #[command(flatten)]
    pub(super) reach: PageRange,
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
pub(in crate::cli) struct ListedPage {
    pub(in crate::cli) entries: Vec<Value>,
    next: Option<String>,
    /// Names in the filter that the gateway does not know.
    pub(in crate::cli) unknown: Vec<Unknown>,
}

impl List {
    /// Reads at most `limit` entries from `cursor` on.
    pub(in crate::cli) fn read(
        self,
        admin: &Admin,
        wanted: &QueryPairs,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<ListedPage, AdminProblem> {
        let mut listed = ListedPage { entries: Vec::new(), next: cursor.map(str::to_owned), unknown: Vec::new() };
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
            listed.unknown = Unknown::listed(&page);
            if listed.next.is_none() || is_stuck || listed.entries.len() >= limit {
                return Ok(listed);
            }
        }
    }

    /// Reads and prints a list; `lines` makes its lines for people.
    pub(super) fn print(
        self,
        asked: &Asked,
        wanted: &QueryPairs,
        reach: &PageRange,
        lines: impl Fn(&[Value]) -> Vec<String>,
    ) -> Result<Exit, Exit> {
        let admin = asked.gateway()?;
        let listed =
            self.read(&admin, wanted, reach.limit(), reach.cursor.as_deref()).map_err(|problem| problem.told())?;
        Self::show(asked, &listed, lines)?;
        terminal::tell(self.told(&listed));
        Ok(Exit::Ok)
    }

    /// Prints several lists as one, the newest entry first.
    pub(super) fn print_together(
        self,
        asked: &Asked,
        lists: &[QueryPairs],
        reach: &PageRange,
        lines: impl Fn(&[Value]) -> Vec<String>,
    ) -> Result<Exit, Exit> {
        if reach.cursor.is_some() {
            terminal::tell("hookgate: --cursor goes on with one list, and these are several; narrow them by --until");
            return Err(Exit::Usage);
        }
        let (admin, limit) = (asked.gateway()?, reach.limit());
        let mut all = ListedPage { entries: Vec::new(), next: None, unknown: Vec::new() };
        let mut has_more = false;
        for wanted in lists {
            let listed = self.read(&admin, wanted, limit, None).map_err(|problem| problem.told())?;
            has_more |= listed.next.is_some();
            all.entries.extend(listed.entries);
            all.unknown = listed.unknown;
        }
        // Ids begin with the time of receipt.
        let id = |entry: &Value| entry.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        all.entries.sort_by_key(|entry| std::cmp::Reverse(id(entry)));
        has_more |= all.entries.len() > limit;
        all.entries.truncate(limit);
        Self::show(asked, &all, lines)?;
        let more = if has_more { "; there may be more: a larger --limit, or --until" } else { "" };
        terminal::tell(format!("{}{more}", self.told(&all)));
        Ok(Exit::Ok)
    }

    fn show(asked: &Asked, listed: &ListedPage, lines: impl Fn(&[Value]) -> Vec<String>) -> Result<(), Exit> {
        if listed.entries.is_empty() {
            unknown::tell(&listed.unknown)?;
        }
        if asked.is_json() {
            listed.entries.iter().for_each(terminal::say_json);
        } else if !listed.entries.is_empty() {
            lines(&listed.entries).iter().for_each(terminal::say);
        }
        Ok(())
    }

    /// Returns the number of entries, and the cursor for more.
    fn told(self, listed: &ListedPage) -> String {
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
            list.told(&ListedPage {
                entries: vec![Value::Null; count],
                next: next.map(str::to_owned),
                unknown: Vec::new(),
            })
        };
        assert_eq!(told(0, None), "no event found");
        assert_eq!(told(1, None), "1 event");
        assert_eq!(told(50, Some("AbC")), "50 events; there may be more: --cursor AbC");
    }
}
