//! Redaction of requests where they are shown: places in JSON bodies, headers and parameters of the query are replaced.
//!
//! Some places are chosen by the operator, others are known to hold a sender's credential. Redaction changes only what
//! is shown: a request is stored, delivered and judged as it came. A body that is not JSON cannot be searched for
//! places, so it is not shown at all when places of bodies are named.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::credential::{
    ALWAYS, CredentialPlace, Credentials, Pair, REDACTED, is_secret_name, segment_at, with_names, with_pairs,
};

use crate::payload::unescaped;

/// The steps of the longest place.
const STEPS_MAX: usize = 64;
const HEADER: &str = "header:";
const QUERY: &str = "query:";

/// The parts of a request that are hidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    /// The places that the operator chose.
    chosen: Places,
    hides_bodies: bool,
    /// The places of senders' credentials.
    credentials: Places,
    /// Values of variables of the configuration, each with the text that is written for it.
    values: Vec<Veiled>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Places {
    json: Vec<Vec<Step>>,
    headers: Vec<String>,
    query: Vec<String>,
    form: Vec<String>,
    path: Vec<String>,
}

/// A hidden value, and the text that is shown instead.
#[derive(Clone, PartialEq, Eq)]
struct Veiled {
    value: String,
    written: String,
}

impl fmt::Debug for Veiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// One step of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A member or an index.
    Name(String),
    /// Any one step.
    Any,
    /// Any steps, or none.
    AnyDepth,
}

/// The reason for which a text names nothing to redact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRedaction {
    /// A text that is neither a place nor a header.
    Form,
    /// `~` stands before something else than `0` and `1`.
    Escape,
    /// It leads too deep.
    TooDeep,
}

impl fmt::Display for BadRedaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str(
                "it is neither a place such as `/data/card/number` or `/**/email`, nor `header:NAME` or `query:NAME`",
            ),
            Self::Escape => f.write_str("`~` is written `~0` and `/` inside a name `~1` (RFC 6901)"),
            Self::TooDeep => write!(f, "it has more than {STEPS_MAX} steps"),
        }
    }
}

impl Redaction {
    /// Hides all bodies.
    #[must_use]
    pub fn without_bodies(mut self) -> Self {
        self.hides_bodies = true;
        self
    }

    /// Adds a text such as `/data/card/number`, `/**/email`, `header:authorization` or `query:token`.
    pub fn add(&mut self, text: &str) -> Result<(), BadRedaction> {
        if let Some(name) = text.strip_prefix(HEADER) {
            let name = name.trim().to_ascii_lowercase();
            http::HeaderName::from_bytes(name.as_bytes()).ok().ok_or(BadRedaction::Form)?;
            self.chosen.headers.push(name);
            return Ok(());
        }
        if let Some(name) = text.strip_prefix(QUERY) {
            let name = Some(name.trim()).filter(|name| !name.is_empty()).ok_or(BadRedaction::Form)?;
            self.chosen.query.push(name.to_owned());
            return Ok(());
        }
        self.chosen.json.push(steps(text)?);
        Ok(())
    }

    /// Adds the places of the credentials of a request's sender, and the headers that hold a credential of any sender.
    #[must_use]
    pub fn with_credentials(mut self, places: &[CredentialPlace]) -> Self {
        self.credentials.headers.extend(ALWAYS.map(str::to_owned));
        for place in places {
            match place {
                CredentialPlace::Header(name) => self.credentials.headers.push(name.clone()),
                CredentialPlace::Query(name) => self.credentials.query.push(name.clone()),
                CredentialPlace::Form(name) => self.credentials.form.push(name.clone()),
                // A place of a scheme has no more steps than a chosen place.
                CredentialPlace::Json(pointer) => self.credentials.json.extend(steps(pointer)),
                CredentialPlace::Path(place) => self.credentials.path.push(place.clone()),
            }
        }
        self
    }

    /// Adds the value of a variable of the configuration; `written` is shown in its place.
    pub fn add_value(&mut self, value: String, written: String) {
        self.values.push(Veiled { value, written });
    }

    /// Returns a redaction that hides the values of variables only.
    #[must_use]
    pub fn only_values(&self) -> Self {
        Self { values: self.values.clone(), ..Self::default() }
    }

    /// Returns whether bodies are shown at all.
    pub fn shows_bodies(&self) -> bool {
        !self.hides_bodies
    }

    /// Returns whether the operator chose to hide anything.
    pub fn hides_anything(&self) -> bool {
        let Places { json, headers, query, form: _, path: _ } = &self.chosen;
        self.hides_bodies || !json.is_empty() || !headers.is_empty() || !query.is_empty()
    }

    /// Returns whether anything of a body is hidden.
    pub fn touches_bodies(&self) -> bool {
        let of_credentials = &self.credentials;
        self.hides_bodies
            || !self.chosen.json.is_empty()
            || !of_credentials.json.is_empty()
            || !of_credentials.form.is_empty()
    }

    /// Returns whether the value of this header is hidden.
    pub fn hides_header(&self, name: &str) -> bool {
        self.chose_header(name) || self.credentials.headers.iter().any(|hidden| hidden.eq_ignore_ascii_case(name))
    }

    /// Returns whether the operator chose to hide the value of this header.
    pub fn chose_header(&self, name: &str) -> bool {
        self.chosen.headers.iter().any(|hidden| hidden.eq_ignore_ascii_case(name))
    }

    /// Returns whether the value of this parameter of the query is hidden.
    pub fn hides_query(&self, name: &str) -> bool {
        self.chose_query(name) || self.credentials.query.iter().any(|hidden| hidden.eq_ignore_ascii_case(name))
    }

    /// Returns whether the operator chose to hide the value of this parameter of the query.
    pub fn chose_query(&self, name: &str) -> bool {
        self.chosen.query.iter().any(|hidden| hidden == name)
    }

    /// Returns a query as it is shown.
    pub fn query<'q>(&self, query: &'q str) -> Cow<'q, str> {
        with_pairs(query, |name| if self.hides_query(name) { Pair::Shown(REDACTED) } else { Pair::Kept })
    }

    /// A path as it is shown: with the names of parameters that hold a credential.
    pub fn path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        with_names(path, self.credentials.path.iter().map(String::as_str))
    }

    /// A path with its query as it is shown.
    pub fn target<'t>(&self, target: &'t str) -> Cow<'t, str> {
        let Some((path, query)) = target.split_once('?') else { return self.path(target) };
        match (self.path(path), self.query(query)) {
            (Cow::Borrowed(_), Cow::Borrowed(_)) => Cow::Borrowed(target),
            (path, query) => Cow::Owned(format!("{path}?{query}")),
        }
    }

    /// Returns the places of a target that are hidden.
    pub fn hidden_in(&self, target: &str) -> Vec<CredentialPlace> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| self.hides_query(name));
        let path = self.credentials.path.iter().filter(|place| segment_at(place, path).is_some());
        let query = query.map(|(name, _)| CredentialPlace::Query(name.into_owned()));
        query.chain(path.cloned().map(CredentialPlace::Path)).collect()
    }

    /// Returns whether any parameter of the path is hidden.
    pub fn hides_path(&self) -> bool {
        !self.credentials.path.is_empty()
    }

    /// Returns a form as it is shown; `None` where other parts of bodies are hidden, or no fields of forms.
    pub fn form(&self, body: &str) -> Option<String> {
        let is_form = !self.hides_bodies && self.chosen.json.is_empty() && self.credentials.json.is_empty();
        let hides = |name: &str| self.credentials.form.iter().any(|hidden| hidden.eq_ignore_ascii_case(name));
        let shown = |name: &str| if hides(name) { Pair::Shown(REDACTED) } else { Pair::Kept };
        (is_form && !self.credentials.form.is_empty()).then(|| with_pairs(body, shown).into_owned())
    }

    /// The credentials that stand in a request, so that they are found wherever else they are said. `params` are the
    /// parameters of its path that are known: those of its source at the time.
    pub fn credentials_in<'h>(
        &self,
        (target, params): (&str, &[(String, String)]),
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        body: &[u8],
    ) -> Credentials {
        let mut found = Credentials::default();
        let hidden = &self.credentials;
        for (name, value) in headers {
            if hidden.headers.iter().any(|hidden| hidden.eq_ignore_ascii_case(name)) {
                found.header(value);
            }
        }
        let is_one = |names: &[String], name: &str| names.iter().any(|hidden| hidden.eq_ignore_ascii_case(name));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        found.pairs(query, |name| is_one(&hidden.query, name));
        let segments = hidden.path.iter().filter_map(|place| path.get(segment_at(place, path)?));
        let params = params.iter().filter(|(name, _)| is_secret_name(name)).map(|(_, value)| value.as_str());
        // What is shown in the place of a value is none.
        let is_value = |text: &&str| *text != REDACTED && !text.starts_with('{');
        segments.chain(params).filter(is_value).for_each(|value| found.add(value));
        if let Some(body) = std::str::from_utf8(body).ok().filter(|_| !hidden.form.is_empty()) {
            found.pairs(body, |name| is_one(&hidden.form, name));
        }
        if let Some(mut json) = serde_json::from_slice(body).ok().filter(|_: &Value| !hidden.json.is_empty()) {
            let places: Vec<&[Step]> = hidden.json.iter().map(Vec::as_slice).collect();
            walk(&mut json, &places, &mut |value| {
                if let Value::String(text) = &*value {
                    found.add(text);
                }
            });
        }
        found
    }

    /// Puts what is written in the place of the values of variables.
    pub fn hide_values_in(&self, text: &mut String) {
        for Veiled { value, written } in &self.values {
            if text.contains(value.as_str()) {
                *text = text.replace(value.as_str(), written);
            }
        }
    }

    /// Replaces the values of variables by their written texts, in every text of a JSON value.
    pub fn hide_values(&self, json: &mut Value) {
        match json {
            Value::String(text) => self.hide_values_in(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide_values(item)),
            Value::Object(members) => members.values_mut().for_each(|member| self.hide_values(member)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Returns whether the host that was called is hidden.
    pub fn hides_host(&self) -> bool {
        self.hides_header("host")
    }

    /// Returns whether the sender's address is hidden: that is so where `x-forwarded-for` is hidden.
    pub fn hides_sender(&self) -> bool {
        self.hides_header("x-forwarded-for")
    }

    /// Returns whether the place with these steps, or a place above it, is hidden.
    pub fn hides(&self, steps: &[&str]) -> bool {
        self.hides_bodies
            || self.places().any(|place| (1..=steps.len()).any(|end| fits(place, steps.get(..end).unwrap_or(steps))))
    }

    /// Replaces the hidden parts of a body.
    pub fn apply(&self, body: &mut Value) {
        if self.hides_bodies {
            *body = Value::from(REDACTED);
            return;
        }
        let places: Vec<&[Step]> = self.places().collect();
        if !places.is_empty() {
            walk(body, &places, &mut |value| *value = Value::from(REDACTED));
        }
    }

    /// Returns the hidden places in bodies, chosen ones and those of credentials.
    fn places(&self) -> impl Iterator<Item = &[Step]> {
        self.chosen.json.iter().chain(&self.credentials.json).map(Vec::as_slice)
    }
}

/// Reads the steps of a text such as `/data/card/number`.
fn steps(text: &str) -> Result<Vec<Step>, BadRedaction> {
    let path = text.strip_prefix('/').ok_or(BadRedaction::Form)?;
    let steps: Vec<Step> = path.split('/').map(step).collect::<Result<_, _>>()?;
    if steps.len() > STEPS_MAX { Err(BadRedaction::TooDeep) } else { Ok(steps) }
}

fn step(text: &str) -> Result<Step, BadRedaction> {
    Ok(match text {
        "*" => Step::Any,
        "**" => Step::AnyDepth,
        name => Step::Name(unescaped(name).map_err(|_tilde| BadRedaction::Escape)?),
    })
}

fn fits(place: &[Step], steps: &[&str]) -> bool {
    match (place.split_first(), steps.split_first()) {
        (None, None) => true,
        (Some((Step::AnyDepth, rest)), _) if fits(rest, steps) => true,
        (Some((Step::AnyDepth, _)), Some((_, below))) => fits(place, below),
        (Some((Step::Any, rest)), Some((_, below))) => fits(rest, below),
        (Some((Step::Name(name), rest)), Some((step, below))) => name == step && fits(rest, below),
        _ => false,
    }
}

/// Calls `found` for every value at one of the places. `places` are the rest of the places on the way to `value`. Our
/// JSON is at most as deep as its parser allows.
fn walk(value: &mut Value, places: &[&[Step]], found: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                enter(member, name, places, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                enter(item, &index.to_string(), places, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn enter(value: &mut Value, name: &str, places: &[&[Step]], found: &mut dyn FnMut(&mut Value)) {
    let mut below: Vec<&[Step]> = Vec::new();
    for place in places {
        follow(place, name, &mut below);
    }
    if below.iter().any(|place| place.is_empty()) {
        found(value);
    } else if !below.is_empty() {
        walk(value, &below, found);
    }
}

/// Adds the rest of a place after one step to `below`.
fn follow<'p>(place: &'p [Step], name: &str, below: &mut Vec<&'p [Step]>) {
    match place.split_first() {
        Some((Step::Name(wanted), rest)) if wanted == name => below.push(rest),
        Some((Step::Any, rest)) => below.push(rest),
        Some((Step::AnyDepth, rest)) => {
            below.push(place);
            follow(rest, name, below);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
