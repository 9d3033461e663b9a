//! Sources: a [`Source`] and the table that finds it by host and path.
//!
//! Paths are matched as sent, byte for byte, on one canonical form. Nothing is decoded or normalised, so that no second
//! reading of a path could reach a source. A `{name}` segment takes one segment of unreserved characters, which is the
//! value of the parameter `name`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::answer::Answers;
use crate::refusal::OnFailure;

/// The way in which a source answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Store, answer, deliver later.
    Buffered,
    /// Verify, forward, and answer as the internal service does.
    Sync {
        /// The time that the internal service has.
        deadline: Duration,
    },
}

/// One source, with the rules for its requests.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name in routes.yaml.
    pub name: Arc<str>,
    /// The host it answers for; `None` is any.
    pub host: Option<String>,
    /// Its path.
    pub path: PathPattern,
    /// The methods it takes.
    pub methods: Vec<String>,
    /// The media types it takes; empty is any.
    pub content_types: Vec<String>,
    /// The largest body it takes, bytes.
    pub body_bytes_max: u64,
    /// Addresses that may call; empty is any.
    pub allow_ips: Vec<IpNet>,
    /// The public URL that a provider signs, where it signs one.
    pub public_url: Option<String>,
    /// The way in which it answers.
    pub mode: Mode,
    /// The policy for malformed JSON.
    pub on_malformed: OnFailure,
    /// False in observe mode: failed verification, limits and schemas are counted and refuse nothing.
    pub enforce: bool,
    /// The time for which a repeated delivery id is recognised; zero is never.
    pub dedup_window: Duration,
    /// Answers that differ from the defaults: the provider's, changed by the source's own.
    pub answers: Answers,
}

impl Source {
    /// Returns whether events come by this method.
    pub fn takes(&self, method: &str) -> bool {
        self.methods.iter().any(|one| one == method)
    }

    /// Returns whether `sender` may call.
    pub fn allows(&self, sender: IpAddr) -> bool {
        self.allow_ips.is_empty() || self.allow_ips.iter().any(|net| net.contains(&sender))
    }

    /// Returns the URL that the provider signed: the configured public one, never one from the request's headers.
    pub fn signed_url(&self, target: &str) -> String {
        match &self.public_url {
            None => target.to_owned(),
            Some(base) => signed_url(base, target),
        }
    }
}

/// Returns the public URL of a request target. A base without a path takes the target's; a base with a path takes the
/// target's query, unless it has its own.
pub fn signed_url(base: &str, target: &str) -> String {
    let base = base.trim_end_matches('/');
    let has_path = base.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    match (has_path, target.split_once('?')) {
        (false, _) => format!("{base}{target}"),
        (true, Some((_, query))) if !base.contains('?') => format!("{base}?{query}"),
        (true, _) => base.to_owned(),
    }
}

/// A path as routes.yaml writes it: literal segments and `{name}` segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    has_parameters: bool,
}

/// The reason why a path pattern is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathProblem {
    /// The path does not begin with `/`.
    NotAbsolute,
    /// The path has characters that cannot stand in a path as sent, at these bytes.
    Characters(Range<usize>),
    /// A `{name}` does not fill a whole segment, or is no name.
    Parameter(Range<usize>),
    /// Two parameters have one name.
    Repeated(Range<usize>),
}

impl fmt::Display for PathProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "a path begins with `/`",
            Self::Characters(_) => {
                "a path is written as it is sent: letters, digits and `-._~/`, no query, no `//`, no `..`"
            }
            Self::Parameter(_) => "`{name}` stands for one whole segment, as in `/in/shop/{tenant}`",
            Self::Repeated(_) => "two parameters of a path have one name",
        })
    }
}

impl PathProblem {
    /// Returns the bytes of the path that are wrong; `None` for all of it.
    pub fn at(&self) -> Option<Range<usize>> {
        match self {
            Self::NotAbsolute => None,
            Self::Characters(at) | Self::Parameter(at) | Self::Repeated(at) => Some(at.clone()),
        }
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

impl PathPattern {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Self, PathProblem> {
        let Some(rest) = text.strip_prefix('/') else { return Err(PathProblem::NotAbsolute) };
        let mut names = Vec::new();
        let mut end = 0;
        for (index, segment) in rest.split('/').enumerate() {
            // Each segment stands behind its slash.
            let start = end + 1;
            end = start + segment.len();
            let at = if segment.is_empty() { start - 1..start } else { start..end };
            if let Some(name) = parameter(segment) {
                if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                    return Err(PathProblem::Parameter(at));
                }
                if names.contains(&name) {
                    return Err(PathProblem::Repeated(at));
                }
                names.push(name);
            } else if segment.contains(['{', '}']) {
                return Err(PathProblem::Parameter(at));
            } else if matches!(segment, "." | "..")
                || !segment.bytes().all(is_unreserved)
                || (segment.is_empty() && index > 0 && !rest.ends_with('/'))
            {
                return Err(PathProblem::Characters(at));
            }
        }
        Ok(Self { text: text.to_owned(), has_parameters: !names.is_empty() })
    }

    /// Returns the pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the names of its parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.text.split('/').filter_map(parameter)
    }

    /// The parameters, each with the pattern as far as it: `token` with `/in/{token}`.
    pub fn places(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut end = 0;
        let segments = self.text.split('/').filter(move |_| self.has_parameters).map(move |segment| {
            let start = end;
            end = start + segment.len() + "/".len();
            (segment, start + segment.len())
        });
        segments.filter_map(move |(segment, end)| Some((parameter(segment)?, self.text.get(..end)?)))
    }

    /// The parameters of a path that it matches, each with its value.
    pub fn values(&self, path: &str) -> Vec<(String, String)> {
        if !self.has_parameters || !self.matches(path) {
            return Vec::new();
        }
        let segments = self.text.split('/').zip(path.split('/'));
        segments.filter_map(|(name, value)| Some((parameter(name)?.to_owned(), value.to_owned()))).collect()
    }

    /// Returns whether the pattern matches a path, as it was sent.
    pub fn matches(&self, path: &str) -> bool {
        if !self.has_parameters {
            return self.text == path;
        }
        let mut wanted = self.text.split('/');
        let mut sent = path.split('/');
        loop {
            match (wanted.next(), sent.next()) {
                (None, None) => return true,
                (Some(pattern), Some(segment)) => {
                    let fits = if pattern.starts_with('{') {
                        !segment.is_empty() && !matches!(segment, "." | "..") && segment.bytes().all(is_unreserved)
                    } else {
                        pattern == segment
                    };
                    if !fits {
                        return false;
                    }
                }
                (None, Some(_)) | (Some(_), None) => return false,
            }
        }
    }
}

/// Returns the name in `{name}`.
fn parameter(segment: &str) -> Option<&str> {
    segment.strip_prefix('{').and_then(|name| name.strip_suffix('}'))
}

/// A table of sources by host and path: exact paths first, patterns after, a source with a host before one without.
#[derive(Debug, Default)]
pub struct SourceTable {
    exact: BTreeMap<String, Vec<(Option<String>, usize)>>,
    patterns: Vec<(PathPattern, Option<String>, usize)>,
}

impl SourceTable {
    /// Makes a table over sources in their order.
    pub fn new<'a>(sources: impl IntoIterator<Item = &'a Source>) -> Self {
        let mut table = Self::default();
        for (index, source) in sources.into_iter().enumerate() {
            let host = source.host.as_ref().map(|host| host.to_ascii_lowercase());
            if source.path.has_parameters {
                table.patterns.push((source.path.clone(), host, index));
            } else {
                table.exact.entry(source.path.text.clone()).or_default().push((host, index));
            }
        }
        for candidates in table.exact.values_mut() {
            candidates.sort_by_key(|(host, index)| (host.is_none(), *index));
        }
        table.patterns.sort_by_key(|(_, host, index)| (host.is_none(), *index));
        table
    }

    /// Returns the index of the source at `host` and `path`.
    pub fn find(&self, host: &str, path: &str) -> Option<usize> {
        let fits = |wanted: &Option<String>| wanted.as_deref().is_none_or(|wanted| wanted == host);
        let exact = self.exact.get(path).and_then(|candidates| candidates.iter().find(|(wanted, _)| fits(wanted)));
        if let Some((_, index)) = exact {
            return Some(*index);
        }
        self.patterns
            .iter()
            .find(|(pattern, wanted, _)| fits(wanted) && pattern.matches(path))
            .map(|(_, _, index)| *index)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn source(name: &str, path: &str, host: Option<&str>) -> Source {
        Source {
            name: name.into(),
            host: host.map(str::to_owned),
            path: PathPattern::parse(path).unwrap(),
            methods: vec!["POST".into()],
            content_types: Vec::new(),
            body_bytes_max: 1024,
            allow_ips: Vec::new(),
            public_url: None,
            mode: Mode::Buffered,
            on_malformed: OnFailure::Quarantine,
            enforce: true,
            dedup_window: Duration::ZERO,
            answers: Answers::default(),
        }
    }

    #[test]
    fn a_source_with_a_host_wins_over_one_without() {
        let sources = [source("any", "/in/a", None), source("named", "/in/a", Some("Hooks.Example.com"))];
        let table = SourceTable::new(&sources);
        assert_eq!(table.find("hooks.example.com", "/in/a"), Some(1));
        assert_eq!(table.find("other.example.com", "/in/a"), Some(0));
    }

    #[test]
    fn no_second_spelling_of_a_path_reaches_a_source() {
        let sources = [source("a", "/in/a", None), source("t", "/in/shop/{tenant}", None)];
        let table = SourceTable::new(&sources);
        let spellings = [
            "/in/a/",
            "//in/a",
            "/in//a",
            "/in/./a",
            "/in/x/../a",
            "/in/%61",
            "/IN/a",
            "/in/a;x",
            "/in%2Fa",
            "/in/a%00",
            "/in\\a",
        ];
        for path in spellings {
            assert_eq!(table.find("h", path), None, "{path}");
        }
        for path in ["/in/shop/", "/in/shop/..", "/in/shop/a%2Fb", "/in/shop/a;b", "/in/shop/a/b"] {
            assert_eq!(table.find("h", path), None, "{path}");
        }
        assert_eq!(table.find("h", "/in/shop/acme-1"), Some(1));
    }

    #[test]
    fn a_pattern_that_is_none_says_why() {
        assert_eq!(PathPattern::parse("in/a"), Err(PathProblem::NotAbsolute));
        assert_eq!(PathPattern::parse("/in/a?b"), Err(PathProblem::Characters(4..7)));
        assert_eq!(PathPattern::parse("/in//a"), Err(PathProblem::Characters(3..4)));
        assert_eq!(PathPattern::parse("/in/x{a}"), Err(PathProblem::Parameter(4..8)));
        assert_eq!(PathPattern::parse("/in/{a}/{a}"), Err(PathProblem::Repeated(8..11)));
    }

    #[test]
    fn parameters_have_the_values_that_were_sent() {
        let pattern = PathPattern::parse("/in/{tenant}/shop/{n}").unwrap();
        assert_eq!(pattern.parameters().collect::<Vec<_>>(), ["tenant", "n"]);
        let places = [("tenant", "/in/{tenant}"), ("n", "/in/{tenant}/shop/{n}")];
        assert_eq!(pattern.places().collect::<Vec<_>>(), places);
        let pairs = [("tenant", "acme-1"), ("n", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pattern.values("/in/acme-1/shop/2"), pairs);
        for other in ["/in/acme-1/shop", "/in/acme-1/news/2", "/in/acme-1/shop/..", "/in//shop/2"] {
            assert_eq!(pattern.values(other), [], "{other}");
        }
        assert_eq!(PathPattern::parse("/in/a").unwrap().values("/in/a"), []);
    }

    #[test]
    fn the_signed_url_is_the_configured_one() {
        let mut source = source("s", "/in/s", None);
        assert_eq!(source.signed_url("/in/s?a=1"), "/in/s?a=1");
        source.public_url = Some("https://hooks.example.com".into());
        assert_eq!(source.signed_url("/in/s?a=1"), "https://hooks.example.com/in/s?a=1");
        source.public_url = Some("https://hooks.example.com/square".into());
        assert_eq!(source.signed_url("/in/s?a=1"), "https://hooks.example.com/square?a=1");
        assert_eq!(source.signed_url("/in/s"), "https://hooks.example.com/square");
    }
}
