//! The table of providers: those that ship, and those of the user's file.
//!
//! The rows of `rows/*.yaml` are compiled in and read one by one when they are first asked for, so that a start does not
//! pay for 250 providers that nobody uses. A test reads them all.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::row::Row;

/// Name and text of every row that ships, sorted by name.
const SHIPPED: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/rows.rs"));

/// Returns the rows that ship.
pub fn builtin() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| Table {
        rows: SHIPPED.iter().map(|(name, text)| ((*name).to_owned(), Entry::shipped(text))).collect(),
    });
    &TABLE
}

type Entry = LazyLock<Box<Row>, Box<dyn FnOnce() -> Box<Row> + Send>>;

trait Shipped {
    fn shipped(text: &'static str) -> Self;
}

impl Shipped for Entry {
    fn shipped(text: &'static str) -> Self {
        Self::new(Box::new(move || {
            Box::new(Row::parse(text).expect("a row that ships is well formed, which a test checks"))
        }))
    }
}

/// Providers by name.
#[derive(Debug, Default)]
pub struct Table {
    rows: BTreeMap<String, Entry>,
}

impl Table {
    /// Makes a table of these rows.
    pub fn new(rows: impl IntoIterator<Item = Row>) -> Self {
        let ready = |row: Row| (row.id().to_owned(), Entry::new(Box::new(move || Box::new(row))));
        Self { rows: rows.into_iter().map(ready).collect() }
    }

    /// Returns the row of that name.
    pub fn get(&self, name: &str) -> Option<&Row> {
        self.rows.get(name).map(|entry| &***entry)
    }

    /// Returns all names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(String::as_str)
    }

    /// Returns all rows, sorted by name.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().map(|entry| &***entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_that_ships_is_well_formed_and_named_like_its_file() {
        let mut faults = Vec::new();
        for (name, text) in SHIPPED {
            match Row::parse(text) {
                Ok(row) if row.id() == *name => {}
                Ok(row) => faults.push(format!("{name}: calls itself {}", row.id())),
                Err(problem) => faults.push(format!("{name}: {problem}")),
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}
