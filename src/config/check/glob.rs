//! Usable event globs that are probably mistakes: other notations, and types that the provider never sends.
//!
//! A glob takes event types. No glob excludes types, and none is a regular expression. The globs reported here match no
//! type that a provider sends, so their routes would be silent for ever.

use std::collections::BTreeSet;

use super::{Checker, path};
use crate::config::problem::{Code, quoted};
use crate::config::raw;
use crate::config::spans::Seg;
use crate::encoding::is_typographic_quote;
use crate::provider::Row;
use crate::route::EventGlobs;

/// A type is proposed up to so many changed letters.
const CHANGES_MAX: usize = 3;

impl Checker<'_> {
    /// Warns of globs of a route in another notation.
    pub(super) fn doubts_of_globs(&mut self, route: &str, globs: &[String]) {
        for (index, glob) in globs.iter().enumerate() {
            if let Some((message, help)) = doubt_of(glob) {
                self.warning(Code::Misspelt, &path!["routes", route, "events", index], message, Some(help));
            }
        }
    }

    /// Warns of globs that take no event of the provider, in the routes and the schemas of a source.
    pub(super) fn doubts_of_types(&mut self, name: &str, written: &raw::Source, row: Option<&Row>) {
        let Some(row) = row.filter(|row| !row.types().is_empty()) else { return };
        if written.event.as_ref().is_some_and(|event| event.r#type.is_some()) {
            return;
        }
        let raw = self.raw;
        // A route with several sources may name the types of another one.
        let listening = raw.routes.iter().filter(|(_, route)| matches!(&route.from.0[..], [from] if from == name));
        for (route, written) in listening {
            for (index, glob) in written.events.iter().flatten().enumerate() {
                self.doubt_type(row, glob, &path!["routes", route, "events", index]);
            }
        }
        let schemas = written.schemas.iter().flat_map(|schemas| schemas.events.keys());
        for glob in schemas {
            self.doubt_type(row, glob, &path!["sources", name, "schemas", "events", glob]);
        }
    }

    fn doubt_type(&mut self, row: &Row, glob: &str, at: &[Seg<'_>]) {
        let Ok(matcher) = EventGlobs::compile([glob]) else { return };
        if doubt_of(glob).is_some() || row.types().iter().any(|known| matcher.matches(known)) {
            return;
        }
        let (title, read) = (row.title(), row.types_read().map(|read| format!(" in {read}")).unwrap_or_default());
        let message =
            format!("{} is none of the {} event types that {title} had{read}", quoted(glob), row.types().len());
        let near = nearest(glob, row.types());
        let help = near.map(|near| format!("did you mean `{near}`?"));
        let help = help.unwrap_or_else(|| "a type that is newer than this version is taken all the same".to_owned());
        self.warning(Code::Misspelt, at, message, Some(help));
    }
}

/// Returns the message and the help for a glob that is written in another notation, such as a regular expression.
fn doubt_of(glob: &str) -> Option<(String, String)> {
    let shown = quoted(glob);
    if let Some(quote) = glob.chars().find(|letter| is_typographic_quote(*letter)) {
        let message = format!("{shown} has a typographic quote in it ({quote}), which no event type has");
        return Some((message, "write the quotes of YAML, `\"` or `'`, around the glob".to_owned()));
    }
    if glob.starts_with('!') {
        let message = format!("{shown} takes types that begin with `!`; globs exclude nothing");
        let help = "name the types that are wanted, or add `when: event.type != \"…\"`".to_owned();
        return Some((message, help));
    }
    let is_anchored = glob.starts_with('^') || glob.ends_with('$');
    let has_class = [r"\.", r"\w", r"\d", r"\s", ".+", "(?:", "[^"].iter().any(|part| glob.contains(part));
    let has_choice = glob.contains('|') && !glob.contains('{');
    if is_anchored || has_class || has_choice || (glob.contains('(') && glob.contains(')')) || glob == ".*" {
        let message = format!("{shown} looks like a regular expression, and is read as a glob");
        let help = "`*` is any run of characters, `?` one, `{a,b}` either: `orders/*`".to_owned();
        return Some((message, help));
    }
    (glob.trim() != glob).then(|| {
        let message = format!("{shown} begins or ends with white space, which no event type does");
        (message, "take the white space away".to_owned())
    })
}

/// Returns the nearest known type, where one is near; the signs between words count little.
fn nearest<'t>(glob: &str, known: &'t BTreeSet<String>) -> Option<&'t str> {
    let plain = |text: &str| -> String {
        text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let wanted = plain(glob);
    let near = |known: &'t String| {
        let changes = strsim::damerau_levenshtein(&wanted, &plain(known));
        (changes <= CHANGES_MAX && changes * 3 <= wanted.len()).then_some((changes, known.as_str()))
    };
    known.iter().filter_map(near).min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_notations_are_doubted_and_globs_are_not() {
        let doubted = [
            "!invoice.paid",
            "^orders/.*$",
            "\u{201c}orders/*\u{201d}",
            r"invoice\.paid",
            "(a|b)",
            "a|b",
            ".+",
            " push",
            "orders/create$",
        ];
        for glob in doubted {
            assert!(doubt_of(glob).is_some(), "{glob}");
        }
        let globs = [
            "push",
            "invoice.*",
            "pull_request.{opened,closed}",
            "orders/*",
            "*",
            "a[0-9]",
            "[!a]b",
            "x?y",
            "a:b",
            "*.created",
        ];
        for glob in globs {
            assert_eq!(doubt_of(glob), None, "{glob}");
        }
    }

    #[test]
    fn the_nearest_type_is_found_whatever_stands_between_its_words() {
        let known: BTreeSet<String> = ["invoice.paid", "invoice.voided", "charge.refunded"].map(str::to_owned).into();
        for (glob, near) in
            [("invoice_paid", "invoice.paid"), ("Invoice.Payed", "invoice.paid"), ("charge.refund", "charge.refunded")]
        {
            assert_eq!(nearest(glob, &known), Some(near), "{glob}");
        }
        assert_eq!(nearest("customer.created", &known), None);
    }
}
