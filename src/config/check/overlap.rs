//! Places of one transform that conflict with each other.
//!
//! The order is defined: all of `set`, an outer place before the places in it, then `remove` in its order. So an object
//! may be set and a member put into it, or a part of it removed. An edit that can never work or have an effect is an
//! error: one place set twice, a member of a value that is always a text, a place that is set and then removed. A place
//! that is removed twice does no harm, and is a warning. With `-` every `set` appends and a `remove` finds nothing in a
//! list, so such places are not reported. Elements of a list move up when an earlier one is removed; such places are
//! not reported either.

use super::{Checker, path};
use crate::condition::ValueExpression;
use crate::config::problem::{Code, Problem, quoted};
use crate::config::spans::Span;
use crate::shape::BodyPlace;

/// A place, and its span in the file.
type Written<'p> = (&'p BodyPlace, Span);

impl Checker<'_> {
    /// Reports conflicts between `set` and `remove` of a route's transform; invalid places have been reported.
    pub(super) fn overlaps(&mut self, route: &str, set: &[(BodyPlace, ValueExpression)], remove: &[Option<BodyPlace>]) {
        let at = path!["routes", route, "transform"];
        let key = |place: &BodyPlace| {
            self.spans.of_key(&[&at[..], &path!["set", place.as_str()]].concat()).unwrap_or(Span::TOP)
        };
        let item = |index: usize| self.spans.of(&[&at[..], &path!["remove", index]].concat()).unwrap_or(Span::TOP);
        let set: Vec<(Written<'_>, bool)> =
            set.iter().map(|(place, value)| ((place, key(place)), value.is_scalar())).collect();
        let remove = remove.iter().enumerate();
        let remove: Vec<Written<'_>> =
            remove.filter_map(|(index, place)| Some((place.as_ref()?, item(index)))).collect();
        let mut found = Vec::new();
        for (index, ((inner, _), _)) in set.iter().enumerate() {
            let before = set.get(..index).unwrap_or_default();
            let outer = before.iter().rev().find(|((outer, _), is_scalar)| {
                !outer.is_at_an_end() && (outer.is_same(inner) || (*is_scalar && outer.holds(inner)))
            });
            found.extend(outer.zip(set.get(index)).map(|((outer, _), (inner, _))| self.set_in_vain(*outer, *inner)));
        }
        for (written, _) in &set {
            let taken = removed_with(written.0, &remove, &remove);
            found.extend(taken.map(|taken| self.set_and_removed(*written, *taken)));
        }
        for (index, written) in remove.iter().enumerate() {
            let (before, after) = remove.split_at_checked(index).unwrap_or_default();
            let others: Vec<Written<'_>> = before.iter().chain(after.iter().skip(1)).copied().collect();
            // Of two equal places, the later one is reported.
            let others: Vec<Written<'_>> =
                others.into_iter().filter(|(other, span)| !other.is_same(written.0) || *span < written.1).collect();
            let taken = removed_with(written.0, &others, &remove);
            found.extend(taken.map(|taken| self.removed_twice(*written, *taken)));
        }
        for problem in found {
            self.problems.push(problem);
        }
    }

    /// Reports an `inner` that is the same place as `outer`, or lies in a value that has no places.
    fn set_in_vain(&self, outer: Written<'_>, inner: Written<'_>) -> Problem {
        let ((outer, outer_span), (inner, inner_span)) = (outer, inner);
        let (one, other) = (quoted(outer.as_str()), quoted(inner.as_str()));
        let file = self.spans.file_of(inner_span);
        if outer.is_same(inner) {
            // The later one in the file is at fault.
            let (first, second) =
                if outer_span < inner_span { (outer_span, inner_span) } else { (inner_span, outer_span) };
            let message = format!("{one} and {other} are one place, and it is set twice");
            let problem = Problem::error(Code::DuplicateKey, self.spans.file_of(second), second, message);
            return problem.help("remove one").second(self.spans.file_of(first), first, "first set here");
        }
        let message = format!("{other} can never be set: {one} is set before, to what has no members");
        let problem = Problem::error(Code::InvalidValue, file, inner_span, message);
        let problem =
            problem.help(format!("set {one} to a map such as `{{\"name\": body.name}}`, or set its members only"));
        problem.second(self.spans.file_of(outer_span), outer_span, "set here")
    }

    fn set_and_removed(&self, set: Written<'_>, removed: Written<'_>) -> Problem {
        let ((set, set_span), (removed, removed_span)) = (set, removed);
        let message = if set.is_same(removed) {
            format!("{} is set, and then removed again", quoted(set.as_str()))
        } else {
            format!("{} is set, and then removed with {}", quoted(set.as_str()), quoted(removed.as_str()))
        };
        let problem = Problem::error(Code::InvalidValue, self.spans.file_of(set_span), set_span, message);
        let place = quoted(removed.as_str());
        let help =
            format!("`remove` comes after `set`: to put something else in the place of {place}, set {place} itself");
        problem.help(help).second(self.spans.file_of(removed_span), removed_span, "removed here")
    }

    fn removed_twice(&self, one: Written<'_>, other: Written<'_>) -> Problem {
        let ((inner, span), (outer, outer_span)) = (one, other);
        let message = format!("{} is removed with {} already", quoted(inner.as_str()), quoted(outer.as_str()));
        let problem = Problem::warning(Code::Unused, self.spans.file_of(span), span, message);
        problem.help("take one of the two away").second(self.spans.file_of(outer_span), outer_span, "removed here")
    }
}

/// Finds the one of `others` that removes `place`, unless one of `all` removed places moves the other places.
fn removed_with<'w, 'p>(place: &BodyPlace, others: &'w [Written<'p>], all: &[Written<'_>]) -> Option<&'w Written<'p>> {
    let taken = others.iter().find(|(other, _)| !other.is_at_an_end() && other.holds(place))?;
    let moved = all.iter().any(|(other, _)| !other.is_same(taken.0) && (other.moves(place) || other.moves(taken.0)));
    // Of several removals at one place of a list, the first removes the value that was set; the others remove elements
    // that moved up.
    let is_moving = taken.0.moves(place) && all.iter().filter(|(other, _)| other.is_same(taken.0)).count() > 1;
    (!moved && !is_moving).then_some(taken)
}
