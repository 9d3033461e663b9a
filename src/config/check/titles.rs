//! Providers by their common names.

use crate::provider;

/// Finds the provider whose title, or a word of it, is this: people use other names for providers than the rows have.
pub(super) fn titled(wanted: &str) -> Option<String> {
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let wanted = plain(wanted);
    if wanted.len() < 3 {
        return None;
    }
    let builtin = provider::builtin();
    let rank = |row: &'static provider::Row| {
        let title = row.title();
        let whole = plain(title);
        let has_word = title.split(|letter: char| !letter.is_alphanumeric()).any(|word| plain(word) == wanted);
        let rank = match () {
            () if whole == wanted => 0,
            () if has_word || whole.contains(&wanted) => 1,
            () if whole.len() > 4 && wanted.contains(&whole) => 2,
            () => return None,
        };
        Some((rank, whole.len(), row.id()))
    };
    builtin.rows().filter(|row| row.version_of().is_none()).filter_map(rank).min().map(|(_, _, name)| name.to_owned())
}
