//! The plan of a replay of many events, shown before the replay.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PlanJson {
    pub(super) events: u64,
    pub(super) deliveries: u64,
    by_destination: BTreeMap<String, u64>,
    bytes: u64,
    complete: bool,
    samples: Vec<String>,
}

impl PlanJson {
    /// Returns whether nothing was left out of the count.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let at_least = if self.complete { "" } else { " at least; the look ended before the last of them" };
        let (events, deliveries, size) = (self.events, self.deliveries, size(self.bytes));
        let mut lines = vec![format!("events: {events}, deliveries: {deliveries}, {size}{at_least}")];
        let width = self.by_destination.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        lines.extend(self.by_destination.iter().map(|(name, count)| format!("  {name:width$}  {count:>8}")));
        if !self.samples.is_empty() {
            lines.push("such as".to_owned());
            lines.extend(self.samples.iter().map(|id| format!("  {id}")));
        }
        lines
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::archive::json::read;

    #[test]
    fn a_plan_says_how_much_goes_where() {
        let plan = json!({"events": 1204, "deliveries": 2408, "by_destination": {"billing": 1204, "ci": 1204},
            "bytes": 2_000_000, "complete": false, "samples": ["a\u{1b}", "b"]});
        let plan: PlanJson = read(&plan).unwrap();
        let wanted = "\
events: 1204, deliveries: 2408, 1 MiB at least; the look ended before the last of them
  billing      1204
  ci           1204
such as
  a\u{fffd}
  b";
        assert_eq!(plan.lines().join("\n"), wanted);
        let plan: PlanJson = read(&json!({"events": 0, "complete": true})).unwrap();
        assert_eq!(plan.lines(), ["events: 0, deliveries: 0, 0 bytes"]);
    }
}
