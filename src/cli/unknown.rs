//! A name of a source, a route or a destination that does not exist, told with those that do.

use serde::Deserialize;
use serde_json::Value;

use super::{Exit, terminal};
use crate::config::nearest;
use crate::rules::SourceRules;

/// More known names are only counted.
const LISTED_MAX: usize = 20;

/// A name, and the ones that exist.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Unknown {
    /// `source`, `route` or `destination`.
    what: String,
    name: String,
    known: Vec<String>,
}

impl Unknown {
    /// Reads the unknown names that an answer of the gateway lists.
    pub(crate) fn listed(answer: &Value) -> Vec<Self> {
        let listed = answer.get("unknown").map(terminal::harmless_json);
        listed.and_then(|listed| serde_json::from_value(listed).ok()).unwrap_or_default()
    }

    /// A source that a file does not have.
    pub(crate) fn source(name: &str, lanes: &[SourceRules]) -> Self {
        let known = lanes.iter().map(|lane| lane.source.name.to_string()).collect();
        Self { what: "source".to_owned(), name: terminal::harmless(name), known }
    }

    fn line(&self) -> String {
        let Self { what, name, known } = self;
        if known.is_empty() {
            return format!("there is no {what} `{name}`; none is configured");
        }
        let listed: Vec<&str> = known.iter().take(LISTED_MAX).map(String::as_str).collect();
        let more = known.len().saturating_sub(LISTED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let known_ones = format!("{}{more}", listed.join(", "));
        match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("there is no {what} `{name}`; did you mean `{near}`? Known: {known_ones}"),
            None => format!("there is no {what} `{name}`; known: {known_ones}"),
        }
    }
}

/// Tells why nothing was found, where a name is the reason.
pub(crate) fn tell(unknown: &[Unknown]) -> Result<(), Exit> {
    for one in unknown {
        terminal::tell(format!("hookgate: {}", one.line()));
    }
    if unknown.is_empty() { Ok(()) } else { Err(Exit::Usage) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_name_is_told_with_the_nearest_and_those_that_exist() {
        let line = |name: &str, known: &[&str]| {
            let answer = json!({"unknown": [{"what": "source", "name": name, "known": known}]});
            Unknown::listed(&answer)[0].line()
        };
        assert_eq!(
            line("githb", &["github", "stripe"]),
            "there is no source `githb`; did you mean `github`? Known: github, stripe"
        );
        assert_eq!(line("x\u{1b}", &["github"]), "there is no source `x\u{fffd}`; known: github");
        assert_eq!(line("x", &[]), "there is no source `x`; none is configured");
        let many: Vec<String> = (0..25).map(|n| format!("s{n:02}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(line("other", &many).ends_with("s18, s19 and 5 more"));
        assert!(Unknown::listed(&json!({})).is_empty(), "a gateway of an earlier version");
    }
}
