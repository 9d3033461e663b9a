//! What people do not get to see of stored requests: places in JSON bodies and headers, replaced where they are shown.
//!
//! Only what is shown is changed; what is stored, delivered and judged stays as it came. A body that is no JSON cannot be
//! looked into, so where places of bodies are named, it is not shown at all.

use std::fmt;

use serde_json::Value;

/// Stands where something is not shown.
pub const REDACTED: &str = "[redacted]";
/// The longest place.
const STEPS_MAX: usize = 64;
const HEADER: &str = "header:";

/// What is not shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redaction {
    places: Vec<Vec<Step>>,
    headers: Vec<String>,
    hides_bodies: bool,
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

/// Why a text names nothing to redact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRedaction {
    /// It is neither a place nor a header.
    Form,
    /// It leads too deep.
    TooDeep,
}

impl fmt::Display for BadRedaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => {
                f.write_str("it is neither a place such as `/data/card/number` or `/**/email`, nor `header:NAME`")
            }
            Self::TooDeep => write!(f, "it has more than {STEPS_MAX} steps"),
        }
    }
}

impl Redaction {
    /// Nothing of any body is shown.
    #[must_use]
    pub fn without_bodies(mut self) -> Self {
        self.hides_bodies = true;
        self
    }

    /// Adds `/data/card/number`, `/**/email` or `header:authorization`.
    pub fn add(&mut self, text: &str) -> Result<(), BadRedaction> {
        if let Some(name) = text.strip_prefix(HEADER) {
            let name = name.trim().to_ascii_lowercase();
            http::HeaderName::from_bytes(name.as_bytes()).ok().ok_or(BadRedaction::Form)?;
            self.headers.push(name);
            return Ok(());
        }
        let path = text.strip_prefix('/').ok_or(BadRedaction::Form)?;
        let steps: Vec<Step> = path.split('/').map(step).collect();
        if steps.len() > STEPS_MAX {
            return Err(BadRedaction::TooDeep);
        }
        self.places.push(steps);
        Ok(())
    }

    /// Whether bodies are shown at all.
    pub fn shows_bodies(&self) -> bool {
        !self.hides_bodies
    }

    /// Whether there is anything that is not shown.
    pub fn hides_anything(&self) -> bool {
        self.touches_bodies() || !self.headers.is_empty()
    }

    /// Whether anything of a body is not shown.
    pub fn touches_bodies(&self) -> bool {
        self.hides_bodies || !self.places.is_empty()
    }

    /// Whether the value of this header is not shown.
    pub fn hides_header(&self, name: &str) -> bool {
        self.headers.iter().any(|hidden| hidden.eq_ignore_ascii_case(name))
    }

    /// Whether the host that was called is not shown.
    pub fn hides_host(&self) -> bool {
        self.hides_header("host")
    }

    /// Whether the sender's address is not shown: whoever hides the header that tells of it hides it.
    pub fn hides_sender(&self) -> bool {
        self.hides_header("x-forwarded-for")
    }

    /// Whether the place with these steps, or anything above it, is not shown.
    pub fn hides(&self, steps: &[&str]) -> bool {
        self.hides_bodies
            || self
                .places
                .iter()
                .any(|place| (1..=steps.len()).any(|end| fits(place, steps.get(..end).unwrap_or(steps))))
    }

    /// Replaces what is not shown of a body.
    pub fn apply(&self, body: &mut Value) {
        if self.hides_bodies {
            *body = Value::from(REDACTED);
        } else if !self.places.is_empty() {
            let places: Vec<&[Step]> = self.places.iter().map(Vec::as_slice).collect();
            walk(body, &places);
        }
    }
}

fn step(text: &str) -> Step {
    match text {
        "*" => Step::Any,
        "**" => Step::AnyDepth,
        name => Step::Name(name.replace("~1", "/").replace("~0", "~")),
    }
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

/// `places` are what is left of the places on the way to `value`. JSON of ours is at most as deep as its parser allows.
fn walk(value: &mut Value, places: &[&[Step]]) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                enter(member, name, places);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                enter(item, &index.to_string(), places);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn enter(value: &mut Value, name: &str, places: &[&[Step]]) {
    let mut below: Vec<&[Step]> = Vec::new();
    for place in places {
        follow(place, name, &mut below);
    }
    if below.iter().any(|place| place.is_empty()) {
        *value = Value::from(REDACTED);
    } else if !below.is_empty() {
        walk(value, &below);
    }
}

/// What is left of a place after one step.
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
mod tests {
    use serde_json::json;

    use super::*;

    fn redaction(texts: &[&str]) -> Redaction {
        let mut redaction = Redaction::default();
        for text in texts {
            redaction.add(text).unwrap();
        }
        redaction
    }

    #[test]
    fn places_are_replaced_wherever_they_are() {
        let mut body = json!({
            "email": "a@b", "data": {"object": {"card": {"number": "4242", "brand": "visa"}, "email": {"deep": 1}}},
            "items": [{"email": "c@d", "n": 1}, {"n": 2}],
        });
        redaction(&["/data/object/card/number", "/**/email", "/items/*/n"]).apply(&mut body);
        let wanted = json!({
            "email": REDACTED, "data": {"object": {"card": {"number": REDACTED, "brand": "visa"}, "email": REDACTED}},
            "items": [{"email": REDACTED, "n": REDACTED}, {"n": REDACTED}],
        });
        assert_eq!(body, wanted);
    }

    #[test]
    fn a_place_below_a_hidden_one_is_hidden() {
        let redaction = redaction(&["/customer", "/**/email"]);
        assert!(redaction.hides(&["customer", "name"]));
        assert!(redaction.hides(&["a", "b", "email"]));
        assert!(!redaction.hides(&["customers"]));
        assert!(!redaction.hides(&[]));
    }

    #[test]
    fn headers_are_named_in_any_case() {
        let redaction = redaction(&["header:Authorization"]);
        assert!(redaction.hides_header("authorization"));
        assert!(!redaction.touches_bodies());
    }

    #[test]
    fn what_is_neither_is_refused() {
        let mut redaction = Redaction::default();
        for text in ["", "email", "header:", "header:a b", &"/a".repeat(65)] {
            assert!(redaction.add(text).is_err(), "{text}");
        }
    }
}
