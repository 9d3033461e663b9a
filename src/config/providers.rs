//! Providers by the names that people have for them: titles, products, former names, misspelt names.

use super::nearest;
use crate::provider::{self, Row};

/// A shorter name stands in too many texts.
const CHARS_MIN: usize = 3;

/// Returns the provider that `wanted` probably means: one with this title, alias or word of them, then one of `own` or the
/// built-in names that is spelled alike, then one whose title has `wanted` as a part or whose notes speak of it.
pub fn provider_meant<'k>(wanted: &str, own: impl Iterator<Item = &'k str>) -> Option<String> {
    let builtin = provider::builtin();
    let misspelt = || nearest(wanted, builtin.names().chain(own)).map(str::to_owned);
    best(wanted, called).or_else(misspelt).or_else(|| best(wanted, described))
}

/// The row for which `rank` is lowest; of several, the one with the shortest title.
fn best(wanted: &str, rank: fn(&Row, &str) -> Option<u8>) -> Option<String> {
    let wanted = words(wanted);
    if wanted.len() < CHARS_MIN {
        return None;
    }
    let rows = provider::builtin().rows().filter(|row| row.version_of().is_none());
    let ranked = rows.filter_map(|row| Some((rank(row, &wanted)?, row.title().len(), row.id())));
    ranked.min().map(|(_, _, name)| name.to_owned())
}

/// Ranks a row by its title and its aliases.
fn called(row: &Row, wanted: &str) -> Option<u8> {
    let names = || std::iter::once(row.title()).chain(row.aliases()).map(words);
    let is_one = names().any(|name| joined(&name) == joined(wanted));
    let has_words = names().any(|name| has(&name, wanted));
    if is_one { Some(0) } else { has_words.then_some(1) }
}

/// Ranks a row by parts of its title and by what its notes say.
fn described(row: &Row, wanted: &str) -> Option<u8> {
    let (title, wanted_joined) = (joined(&words(row.title())), joined(wanted));
    let is_near = title.contains(&wanted_joined) || (title.len() > 4 && wanted_joined.contains(&title));
    let is_spoken_of = || row.notes().is_some_and(|notes| has(&words(notes), wanted));
    if is_near { Some(0) } else { is_spoken_of().then_some(1) }
}

/// The words of a text, in small letters, with one space between two.
fn words(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn joined(words: &str) -> String {
    words.replace(' ', "")
}

/// Returns whether `wanted` stands in the text, from the beginning of a word to the end of one.
fn has(words: &str, wanted: &str) -> bool {
    format!(" {words} ").contains(&format!(" {wanted} "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_found_by_its_products_and_by_what_its_notes_say() {
        for (wanted, expected) in [
            ("sharepoint", Some("msgraph")),
            ("microsoft_graph", Some("msgraph")),
            ("outlook", Some("msgraph")),
            ("Office 365", Some("msgraph")),
            ("office365", Some("msgraph")),
            ("one-drive", Some("msgraph")),
            ("teams", Some("msteams_outgoing")),
            ("ms_teams", Some("msteams_outgoing")),
            ("instagram", Some("meta")),
            ("whatsapp", Some("meta")),
            ("facebook", Some("meta")),
            ("twitter", Some("x_twitter")),
            ("confluence_cloud", Some("jira")),
            ("forgejo", Some("gitea")),
            ("sendinblue", Some("brevo")),
            ("azure_devops", None),
            ("gitbuh", Some("github")),
            ("stipe", Some("stripe")),
            ("cloud events", Some("cloudevents")),
            ("google_drive", None),
            ("gdrive", None),
            ("zz", None),
        ] {
            let found = provider_meant(wanted, std::iter::empty());
            assert_eq!(found.as_deref(), expected, "{wanted}");
        }
        assert_eq!(provider_meant("shoop", ["shop"].into_iter()).as_deref(), Some("shop"));
    }

    #[test]
    fn no_alias_is_the_name_or_the_alias_of_two_rows() {
        let builtin = provider::builtin();
        let mut seen = std::collections::BTreeMap::new();
        for row in builtin.rows() {
            for alias in row.aliases() {
                let known = seen.insert(joined(&words(alias)), row.id());
                assert_eq!(known, None, "{alias} of {}", row.id());
                assert!(builtin.get(alias).is_none(), "{alias} of {}", row.id());
            }
        }
    }
}
