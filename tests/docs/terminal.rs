//! The comparison of a command's output with the output on a page.
//!
//! Ids, times, durations and runs of spaces are not compared. A line `…` stands for any lines, `…` in a line for any text.

use std::collections::BTreeMap;

use regex::Regex;

const ELLIPSIS: &str = "…";

/// Compares outputs, and learns which id of the page stands for which real one.
#[derive(Debug)]
pub(crate) struct Comparison {
    id: Regex,
    masks: Vec<(Regex, &'static str)>,
    pub(crate) ids: BTreeMap<String, String>,
}

impl Comparison {
    pub(crate) fn new() -> Self {
        let masks = [
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
            (r"\b\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
            (r"\b\d+(\.\d+)? ?(ms|µs|s)\b", "TOOK"),
            (r"\bevt_\w+", "EVT"),
            (r" +", " "),
        ];
        Self {
            id: Regex::new(masks[0].0).unwrap(),
            masks: masks.iter().map(|(mask, word)| (Regex::new(mask).unwrap(), *word)).collect(),
            ids: BTreeMap::new(),
        }
    }

    fn masked(&self, line: &str) -> String {
        let masks = self.masks.iter();
        masks.fold(line.trim_end().to_owned(), |line, (mask, word)| mask.replace_all(&line, *word).into_owned())
    }

    /// Returns whether `real` is what the page shows; then the ids of both belong together.
    pub(crate) fn fits(&mut self, shown: &[String], real: &[String]) -> bool {
        let mut pairs = Vec::new();
        let is_alike = self.lines(shown, real, &mut pairs);
        for (shown, real) in pairs.into_iter().filter(|_| is_alike) {
            let of = |line| self.id.find_iter(line).map(|id| id.as_str().to_owned()).collect::<Vec<_>>();
            self.ids.extend(of(shown).into_iter().zip(of(real)));
        }
        is_alike
    }

    fn lines<'a>(&self, shown: &'a [String], real: &'a [String], pairs: &mut Vec<(&'a str, &'a str)>) -> bool {
        let Some((first, rest)) = shown.split_first() else { return real.is_empty() };
        if first == ELLIPSIS {
            return (0..=real.len()).any(|skipped| {
                let before = pairs.len();
                let fits = self.lines(rest, &real[skipped..], pairs);
                if !fits {
                    pairs.truncate(before);
                }
                fits
            });
        }
        let Some((real, others)) = real.split_first() else { return false };
        pairs.push((first, real));
        self.line(first, real) && self.lines(rest, others, pairs)
    }

    fn line(&self, shown: &str, real: &str) -> bool {
        let (shown, real) = (self.masked(shown), self.masked(real));
        let mut parts = shown.split(ELLIPSIS);
        let Some(mut rest) = real.strip_prefix(parts.next().unwrap()) else { return false };
        let parts: Vec<&str> = parts.collect();
        let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
        for part in between {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(shown: &str, real: &str) -> bool {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        Comparison::new().fits(&lines(shown), &lines(real))
    }

    #[test]
    fn a_page_may_leave_lines_and_ends_of_lines_out() {
        assert!(fits("a\n…\nz", "a\nb\nc\nz") && fits("a\n…", "a") && fits("a … c…", "a b c d"));
        assert!(!fits("a\n…\nz", "a\nb") && !fits("a", "a\nb") && !fits("a", "b") && !fits("a…", "b a"));
        assert!(fits("at 2026-11-30T21:11:59.480Z  5 ms", "at 2026-12-01T00:00:00.1Z 17 ms"));
    }
}
