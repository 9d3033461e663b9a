//! The content of the picture: three columns of nodes, and edges from each column to the next.

use crate::config::show::Shown;
use crate::deliver::Destinations;

/// The longest text of a line, in characters, for formats that cut nothing themselves.
const CHARS_MAX: usize = 60;
/// The limit of drawn addresses of one destination.
const TARGETS_MAX: usize = 3;

/// Sources, routes and destinations.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) sources: PictureColumn,
    pub(super) routes: PictureColumn,
    pub(super) destinations: PictureColumn,
    /// Edges from a source to a route, by their places in the columns.
    pub(super) heard: Vec<(usize, usize)>,
    /// Edges from a route to a destination.
    pub(super) sent: Vec<(usize, usize)>,
}

/// Nodes from top to bottom.
pub(super) type PictureColumn = Vec<PictureNode>;

#[derive(Clone, Debug)]
pub(super) struct PictureNode {
    pub(super) name: String,
    /// The description, in lines.
    pub(super) lines: Vec<String>,
    /// The special settings.
    pub(super) labels: Vec<String>,
    /// The reason for which nothing goes through the node.
    pub(super) is_idle: Option<&'static str>,
}

impl PictureNode {
    /// Returns all texts of the node: the name, the description, the special settings.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let idle = self.is_idle.into_iter();
        std::iter::once(&self.name).chain(&self.lines).chain(&self.labels).map(String::as_str).chain(idle)
    }
}

impl Picture {
    /// Makes the picture of `shown`, with the addresses of the `destinations`.
    pub(super) fn of(shown: &Shown, destinations: &Destinations) -> Self {
        let (sources, routes) = (shown.names(&["sources"]), shown.names(&["routes"]));
        let services = shown.names(&["destinations"]);
        let place = |names: &[&str], wanted: &str| names.iter().position(|name| *name == wanted);
        let (mut heard, mut sent) = (Vec::new(), Vec::new());
        for (index, route) in routes.iter().enumerate() {
            let from = shown.texts(&["routes", route, "from"]);
            heard.extend(from.iter().filter_map(|from| Some((place(&sources, from)?, index))));
            let to = shown.texts(&["routes", route, "to"]);
            sent.extend(to.iter().filter_map(|to| Some((index, place(&services, to)?))));
        }
        let hosts = |name: &str| {
            let targets = destinations.get(name).into_iter().flat_map(|destination| destination.balance.targets.iter());
            targets.map(|one| one.target.authority()).collect()
        };
        let picture = Self {
            sources: sources.iter().map(|name| source(shown, name)).collect(),
            routes: routes.iter().map(|name| route(shown, name)).collect(),
            destinations: services.iter().map(|name| destination(shown, name, hosts(name))).collect(),
            heard,
            sent,
        };
        picture.with_idle()
    }

    fn with_idle(mut self) -> Self {
        for (index, source) in self.sources.iter_mut().enumerate() {
            source.is_idle = self.heard.iter().all(|(from, _)| *from != index).then_some("no route listens to it");
        }
        for (index, destination) in self.destinations.iter_mut().enumerate() {
            destination.is_idle = self.sent.iter().all(|(_, to)| *to != index).then_some("no route sends to it");
        }
        self
    }
}

fn source(shown: &Shown, name: &str) -> PictureNode {
    let text = |key: &[&str]| shown.texts(&[&["sources", name], key].concat()).first().map(|text| (*text).to_owned());
    let verified = match (text(&["provider"]), text(&["verify", "type"]).as_deref()) {
        (_, Some("none")) => "not verified".to_owned(),
        (Some(provider), _) => format!("provider {provider}"),
        (None, _) => "a scheme of its own".to_owned(),
    };
    let path = text(&["path"]).unwrap_or_default();
    let path = text(&["host"]).unwrap_or_default() + &path;
    let mut labels = Vec::new();
    if text(&["mode"]).as_deref() == Some("sync") {
        labels.push(format!("mode: sync, {}", text(&["deadline"]).unwrap_or_default()));
    }
    if text(&["enforce"]).as_deref() == Some("false") {
        labels.push("enforce: false".to_owned());
    }
    PictureNode { name: name.to_owned(), lines: vec![path, verified], labels, is_idle: None }
}

fn route(shown: &Shown, name: &str) -> PictureNode {
    let texts = |key: &str| shown.texts(&["routes", name, key]);
    let events = texts("events");
    let mut lines = vec![if events.is_empty() { "every event".to_owned() } else { events.join(", ") }];
    lines.extend(texts("when").first().map(|condition| format!("when {}", one_line(condition))));
    let mut labels: Vec<String> =
        texts("order_by").first().map(|key| format!("order_by: {}", one_line(key))).into_iter().collect();
    if shown.names(&["routes", name]).contains(&"transform") {
        labels.push("transform".to_owned());
    }
    PictureNode { name: name.to_owned(), lines, labels, is_idle: None }
}

fn destination(shown: &Shown, name: &str, mut hosts: Vec<String>) -> PictureNode {
    let more = hosts.len().saturating_sub(TARGETS_MAX);
    hosts.truncate(TARGETS_MAX);
    if more > 0 {
        hosts.push(format!("and {more} more"));
    }
    let by = shown.texts(&["destinations", name, "balance", "by"]);
    let labels = by.first().map(|by| format!("balance: {by}")).into_iter().collect();
    PictureNode { name: name.to_owned(), lines: hosts, labels, is_idle: None }
}

/// Returns a text that may have several lines, on one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Cuts a text to [`CHARS_MAX`].
pub(super) fn cut(text: &str) -> String {
    cut_to(text, CHARS_MAX)
}

/// Cuts a text to `columns_max` columns of a typewriter; a character that is not ASCII may be wide.
pub(super) fn cut_to(text: &str, columns_max: usize) -> String {
    if columns(text) <= columns_max {
        return text.to_owned();
    }
    let mut taken = 0;
    let kept = text.chars().take_while(|c| {
        taken += width(*c);
        taken < columns_max
    });
    kept.collect::<String>() + "…"
}

/// Returns a text in lines of at most `columns_max` columns, broken at blanks or before dots where there are any; the
/// last line is cut.
pub(super) fn wrapped(text: &str, columns_max: usize, lines_max: usize) -> Vec<String> {
    let (mut lines, mut rest) = (Vec::new(), text);
    while lines.len() + 1 < lines_max && columns(rest) > columns_max {
        let whole = rest.char_indices().map(|(at, letter)| at + letter.len_utf8());
        let fits = whole.take_while(|end| rest.get(..*end).is_some_and(|text| columns(text) <= columns_max));
        let fits = fits.last().unwrap_or(rest.len());
        let (line, after) = rest.split_at(fits);
        let blank = if after.starts_with(' ') { Some(fits) } else { line.rfind(' ') };
        // Where a break at a word would leave most of a line empty, the word itself is broken.
        let is_late = |at: &usize| at * 3 > fits;
        let end = blank.filter(is_late).or_else(|| line.rfind('.').filter(is_late)).unwrap_or(fits);
        lines.push(rest.get(..end).unwrap_or_default().to_owned());
        rest = rest.get(end..).unwrap_or_default().trim_start();
    }
    lines.push(cut_to(rest, columns_max));
    lines
}

/// Returns the width of a text; a character that is not ASCII may take two columns.
fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

fn width(letter: char) -> usize {
    if letter.is_ascii() { 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_goes_on_in_the_next_line_and_is_cut_after_the_last() {
        assert_eq!(wrapped("a b", 5, 3), ["a b"]);
        assert_eq!(wrapped("aa bbb cc", 6, 3), ["aa bbb", "cc"]);
        assert_eq!(wrapped("aaa bbb cc", 6, 3), ["aaa", "bbb cc"]);
        assert_eq!(wrapped("a body.length", 8, 3), ["a body", ".length"]);
        assert_eq!(wrapped("abcdefghijklm", 4, 3), ["abcd", "efgh", "ijk…"]);
        assert_eq!(wrapped("漢字漢字漢字", 5, 3), ["漢字", "漢字", "漢字"]);
        assert_eq!(wrapped("", 5, 3), [""]);
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        assert_eq!(cut_to("abcde", 5), "abcde");
        assert_eq!(cut_to("abcdef", 5), "abcd…");
        assert_eq!(cut_to("漢字漢字", 5), "漢字…");
    }
}
