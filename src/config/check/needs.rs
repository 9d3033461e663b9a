//! Comparison of conditions and keys with the schemas of their sources. It finds members that an expression reads
//! without a test although they may be missing, and members that it uses as booleans although they are something else.
//!
//! These are warnings only, and only where a schema of an event type that the route accepts makes them certain.

use super::expression::Passage;
use super::{Checker, path};
use crate::condition::{ConditionPlace, Needed};
use crate::config::problem::quoted;
use crate::config::spans::Seg;
use crate::route::{Cover, EventGlobs, OnError, Route};
use crate::rules::SourceRules;
use crate::schema::{Member, Outline, Outlines, SchemaSet};

/// An expression of a route, and the members that it needs.
struct Reader<'r> {
    at: Vec<Seg<'r>>,
    what: &'static str,
    text: &'r str,
    needs: Vec<Needed>,
}

impl Checker<'_> {
    /// Compares every route with the schemas of its sources, and then drops the outlines of the schemas.
    pub(super) fn what_routes_need(&mut self, lanes: &mut [SourceRules]) {
        for lane in lanes {
            let Some(outlines) = lane.schemas.as_mut().map(SchemaSet::take_outlines) else { continue };
            for route in &lane.routes {
                self.what_a_route_needs(route, &outlines);
            }
        }
    }

    fn what_a_route_needs(&mut self, route: &Route, outlines: &Outlines) {
        for reader in readers(route) {
            for (place, words) in doubts(route, &reader, outlines) {
                self.doubt_in(&reader.at, Passage::whole(reader.what, reader.text), place, words);
            }
        }
    }
}

/// Finds the members of an expression that probably make it fail: the place of each, with a message and a help. Each
/// member is reported once.
fn doubts(route: &Route, reader: &Reader<'_>, outlines: &Outlines) -> Vec<(ConditionPlace, (String, String))> {
    let (mut said, mut found): (Vec<Vec<&str>>, Vec<_>) = (Vec::new(), Vec::new());
    for need in &reader.needs {
        let names: Vec<&str> = need.steps.iter().map(|(name, _)| name.as_str()).collect();
        for outline in wanted(route, outlines) {
            let no_truth = if need.as_truth { no_truth(reader, need, &names, outline) } else { None };
            let doubt = no_truth.or_else(|| may_be_missing(route, reader, need, &names, outline));
            let Some((steps, place, message, help)) = doubt else { continue };
            let member: Vec<&str> = names.iter().copied().take(steps).collect();
            if !said.contains(&member) {
                said.push(member);
                found.push((place, (message, help)));
            }
        }
    }
    found
}

/// Finds a member that may be missing: the number of steps that lead to it, its place, the message and the help.
fn may_be_missing(
    route: &Route,
    reader: &Reader<'_>,
    need: &Needed,
    names: &[&str],
    outline: Outline<'_>,
) -> Option<(usize, ConditionPlace, String, String)> {
    let members = outline.members(names.iter().copied());
    let index = members.iter().enumerate().skip(need.sure).find(|(_, member)| **member == Member::Optional)?.0;
    let (_, place) = need.steps.get(index)?;
    let member = format!("body.{}", names.get(..=index)?.join("."));
    let schema = quoted(outline.name().as_str());
    let then = match route.on_error {
        OnError::Quarantine => "is kept in quarantine",
        OnError::NoMatch => "is no match",
    };
    let message = format!(
        "by the schema {schema} an event may come without `{member}`; the {} fails on it, and it {then}",
        reader.what
    );
    let optional = match member.rsplit_once('.') {
        Some((before, last)) => format!("{before}.?{last}"),
        None => member.clone(),
    };
    let help = if reader.what == "condition" {
        format!("write `has({member}) && …` or `{optional}.orValue(…)`, or name it in `required` of the schema")
    } else {
        format!("write `{optional}` for events that have none, or name it in `required` of the schema")
    };
    Some((index + 1, *place, message, help))
}

/// Finds a member that can never be true or false; returns the same as [`may_be_missing`].
fn no_truth(
    reader: &Reader<'_>,
    need: &Needed,
    names: &[&str],
    outline: Outline<'_>,
) -> Option<(usize, ConditionPlace, String, String)> {
    let types = outline.types(names.iter().copied());
    if types.is_empty() || types.contains(&"boolean") {
        return None;
    }
    let (_, place) = need.steps.last()?;
    let (member, schema) = (format!("body.{}", names.join(".")), quoted(outline.name().as_str()));
    let what = types.join(" or ");
    let message = format!(
        "by the schema {schema} `{member}` is of type {what}, never true or false; the {} fails on it",
        reader.what
    );
    Some((names.len(), *place, message, format!("compare it, such as `{member} == …`")))
}

fn readers(route: &Route) -> Vec<Reader<'_>> {
    let name = &*route.name;
    let when = route.when.as_ref().map(|when| Reader {
        at: path!["routes", name, "when"].to_vec(),
        what: "condition",
        text: when.text(),
        needs: when.needs(),
    });
    let order = route.order_by.as_ref().map(|key| Reader {
        at: path!["routes", name, "order_by"].to_vec(),
        what: "key",
        text: key.text(),
        needs: key.needs(),
    });
    let balance = route.to.iter().filter_map(|to| {
        let key = to.balance_by.as_ref()?;
        Some(Reader {
            at: path!["destinations", &*to.destination, "balance", "key"].to_vec(),
            what: "key",
            text: key.text(),
            needs: key.needs(),
        })
    });
    when.into_iter().chain(order).chain(balance).collect()
}

/// Returns the schemas of the types that a route accepts.
fn wanted<'o>(route: &'o Route, outlines: &'o Outlines) -> impl Iterator<Item = Outline<'o>> {
    let globs = route.events.as_ref().map(EventGlobs::written);
    let may_want = move |schema: &str| {
        let covers = |wide: &str, narrow: &str| Cover::new(wide).is_some_and(|wide| wide.takes_all_of(narrow));
        globs.is_none_or(|globs| {
            globs.iter().any(|glob| {
                let is_type = !glob.contains(['*', '?', '[', '{', '\\']);
                if is_type {
                    outlines.glob_of(glob) == Some(schema) && !outlines.has_exact(glob)
                } else {
                    covers(schema, glob) || covers(glob, schema)
                }
            })
        })
    };
    outlines.of(move |event_type| route.wants_type(Some(event_type)), may_want)
}
