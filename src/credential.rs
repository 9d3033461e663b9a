//! Credentials that senders put into their requests: their places, and requests without them.
//!
//! A place is known from the scheme of a source, never guessed from a value. Names of headers have no case. Names in a
//! query and in a form are compared as they are decoded, and the parts that stay keep their bytes.
//!
//! Not here: the places of each source, and the decision to show or forward a credential.

use std::borrow::Cow;

use serde_json::Value;

/// A place of a request that holds a credential of its sender.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CredentialPlace {
    /// A header, by its lower-case name.
    Header(String),
    /// A parameter of the query.
    Query(String),
    /// A field of a form body.
    Form(String),
    /// A JSON pointer into the body; `*` is any member or element.
    Json(String),
}

impl std::fmt::Display for CredentialPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Form(name) => write!(f, "form:{name}"),
            Self::Json(pointer) => write!(f, "json:{pointer}"),
        }
    }
}

/// Headers that hold credentials whatever the scheme (RFC 9110 §11, RFC 6265).
pub const ALWAYS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// The limit of texts that are looked for in one request, up to three spellings for each credential, and of their
/// bytes.
const VALUES_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 8 * 1024;
/// The limit below which a credential is found as a whole text only: parts of words are not hidden.
const PART_CHARS_MIN: usize = 6;
const WHOLE_CHARS_MIN: usize = 3;

/// A change to one pair of a query or form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair<'a> {
    /// A pair that stays as it is.
    Kept,
    /// A pair that gets this value.
    Shown(&'a str),
    /// A pair that is removed.
    Removed,
}

/// Changes pairs of a query or form, found by their decoded names; the other pairs keep their bytes.
pub fn with_pairs<'q>(query: &'q str, change: impl Fn(&str) -> Pair<'q>) -> Cow<'q, str> {
    let changes: Vec<(&str, Pair<'_>)> = query.split('&').map(|pair| (pair, change(&name_of(pair)))).collect();
    if changes.iter().all(|(_, change)| *change == Pair::Kept) {
        return Cow::Borrowed(query);
    }
    let pairs = changes.into_iter().filter_map(|(pair, change)| match change {
        Pair::Kept => Some(pair.to_owned()),
        Pair::Shown(value) => {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            Some(format!("{name}={value}"))
        }
        Pair::Removed => None,
    });
    Cow::Owned(pairs.collect::<Vec<_>>().join("&"))
}

/// Changes pairs in the query of a target, as [`with_pairs`] does. An empty query is removed together with its `?`.
pub fn with_pairs_of_target<'q>(target: &'q str, change: impl Fn(&str) -> Pair<'q>) -> Cow<'q, str> {
    let Some((path, query)) = target.split_once('?') else { return Cow::Borrowed(target) };
    match with_pairs(query, change) {
        Cow::Borrowed(_) => Cow::Borrowed(target),
        Cow::Owned(query) if query.is_empty() => Cow::Borrowed(path),
        Cow::Owned(query) => Cow::Owned(format!("{path}?{query}")),
    }
}

/// Returns the decoded name of a pair of a query or form.
pub fn name_of(pair: &str) -> String {
    form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// The credentials in one request, to be found wherever else they appear. They are never shown.
#[derive(Default)]
pub struct Credentials(Vec<String>);

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Credentials {
    /// Adds the value of a header: all of it, and what follows the name of a scheme such as `Bearer`.
    pub fn header(&mut self, value: &[u8]) {
        let Ok(value) = std::str::from_utf8(value) else { return };
        self.add(value);
        if let Some((_, token)) = value.trim().split_once(' ') {
            self.add(token.trim());
        }
    }

    /// Adds the values of the pairs of a query or form that `is_credential` names.
    pub fn pairs(&mut self, query: &str, is_credential: impl Fn(&str) -> bool) {
        for pair in query.split('&') {
            let Some((_, raw)) = pair.split_once('=').filter(|_| is_credential(&name_of(pair))) else { continue };
            self.add(raw);
            let decoded = form_urlencoded::parse(pair.as_bytes()).next();
            if let Some((_, value)) = decoded {
                self.add(&value);
            }
        }
    }

    /// Adds a text, as it is and as it stands in URLs.
    pub fn add(&mut self, text: &str) {
        if self.0.len() < VALUES_MAX && text.len() <= VALUE_BYTES_MAX && text.chars().count() >= WHOLE_CHARS_MIN {
            let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
            for text in [text.to_owned(), encoded.replace('+', "%20"), encoded] {
                if !self.0.contains(&text) {
                    self.0.push(text);
                }
            }
            // The longest first: one may be a part of another.
            self.0.sort_by_key(|text| std::cmp::Reverse(text.len()));
        }
    }

    /// Returns whether there are no credentials.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts `instead` in the place of every credential in a text.
    pub fn hide_in(&self, text: &mut String, instead: &str) {
        for credential in &self.0 {
            if text == credential {
                instead.clone_into(text);
            } else if credential.chars().count() >= PART_CHARS_MIN && text.contains(credential.as_str()) {
                *text = text.replace(credential.as_str(), instead);
            }
        }
    }

    /// Puts `instead` in the place of every credential in all texts of a JSON value; the names of members stay.
    pub fn hide_in_json(&self, value: &mut Value, instead: &str) {
        if self.is_empty() {
            return;
        }
        match value {
            Value::String(text) => self.hide_in(text, instead),
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide_in_json(item, instead)),
            Value::Object(members) => members.values_mut().for_each(|member| self.hide_in_json(member, instead)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_taken_out_by_its_decoded_name_and_the_others_keep_their_bytes() {
        let without = |target: &'static str| {
            with_pairs_of_target(target, |name| if name == "token" { Pair::Removed } else { Pair::Kept }).into_owned()
        };
        assert_eq!(without("/a?token=s"), "/a");
        assert_eq!(without("/a?x=%20+&t%6Fken=s&y"), "/a?x=%20+&y");
        assert_eq!(without("/a?token&token=s&b=1"), "/a?b=1");
        assert_eq!(without("/a?tokens=s"), "/a?tokens=s");
        assert_eq!(without("/a?"), "/a?");
        let shown =
            with_pairs_of_target("/a?token=s&b", |name| if name == "token" { Pair::Shown("-") } else { Pair::Kept });
        assert_eq!(shown, "/a?token=-&b");
    }

    #[test]
    fn a_credential_is_hidden_wherever_it_is_said() {
        let mut credentials = Credentials::default();
        credentials.header(b"Bearer s3cr3t-t0ken");
        credentials.pairs("token=a%2Fbcdef&x=kept-as-it-is", |name| name == "token");
        let mut json = serde_json::json!({"a": ["Bearer s3cr3t-t0ken", "xs3cr3t-t0kenx", "/p/a/bcdef", "token=a%2Fbcdef", "kept-as-it-is", 7]});
        credentials.hide_in_json(&mut json, "-");
        assert_eq!(json, serde_json::json!({"a": ["-", "x-x", "/p/-", "token=-", "kept-as-it-is", 7]}));
    }
}
