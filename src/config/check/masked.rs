//! Transforms for people: the same text with `${NAME}` in the place of each value of a variable, compiled once more.
//!
//! An expression that does not compile without the value, such as a number that a variable gives, becomes the text
//! [`REDACTED`]. Where a transform has no such value there is none of these, and nothing is done twice.

use super::headers::Valued;
use super::shape::numbers;
use super::{Checker, path};
use crate::condition::ValueExpression;
use crate::config::raw;
use crate::config::spans::Seg;
use crate::credential::REDACTED;
use crate::script::Script;
use crate::shape::{HeaderEdits, Making, Place, Transform};

impl Checker<'_> {
    /// Returns a checked transform as people are shown it; `None` if no value of a variable has to be masked in it.
    pub(super) fn masked_transform(&mut self, route: &str, written: &raw::Transform) -> Option<Transform> {
        let at = path!["routes", route, "transform"];
        let headers = written.headers.as_ref().map(|headers| self.edits_for_people(route, headers));
        let (headers, is_masked) = headers.unwrap_or_default();
        let places = written.set.keys().map(|place| [&at[..], &path!["set", place]].concat());
        let mut expressions = places.chain([[&at[..], &path!["body"]].concat()]);
        if !is_masked && !expressions.any(|at| self.spans.masked(&at).is_some()) {
            return None;
        }
        let making = match (&written.body, &written.js) {
            (Some(text), _) => Making::Expression(self.masked_value(&[&at[..], &path!["body"]].concat(), text)?),
            (None, Some(file)) => {
                let text = (self.world.read)(&self.beside(file)).ok()?;
                let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                Making::Script(Script::compile(&String::from_utf8(text).ok()?, &name).ok()?, numbers(written))
            }
            (None, None) => Making::Received,
        };
        let set = written.set.iter().map(|(place, text)| {
            let at = [&at[..], &path!["set", place]].concat();
            Some((Place::parse(place).ok()?, self.masked_value(&at, text)?))
        });
        let mut set = set.collect::<Option<Vec<_>>>()?;
        set.sort_by(|(one, _), (other, _)| one.order(other));
        let remove = written.remove.iter().map(|place| Place::parse(place).ok()).collect::<Option<_>>()?;
        Some(Transform { making, set, remove, headers })
    }

    fn masked_value(&self, at: &[Seg<'_>], text: &str) -> Option<ValueExpression> {
        let masked = self.spans.masked(at).map(|masked| masked.text);
        let compiled = ValueExpression::compile(masked.as_deref().unwrap_or(text));
        let hidden = || ValueExpression::compile(&format!("\"{REDACTED}\"")).ok();
        compiled.ok().or_else(hidden)
    }

    /// The headers as they are shown, and whether one of them is sent otherwise. They have been checked.
    fn edits_for_people(&mut self, route: &str, written: &raw::HeaderEdits) -> (HeaderEdits, bool) {
        let at = path!["routes", route, "transform", "headers"];
        let (mut edits, mut is_masked) = (HeaderEdits::default(), false);
        for (name, text) in &written.set {
            let at = [&at[..], &path!["set", name]].concat();
            let Some(Valued { value, shown }) = self.header_of_text(&at, (name, text)) else { continue };
            is_masked |= shown.is_some();
            edits.set.extend(name.parse().ok().map(|name| (name, shown.unwrap_or(value))));
        }
        edits.remove.extend(written.remove.iter().filter_map(|name| name.parse().ok()));
        (edits, is_masked)
    }
}
