//! The effective values of sources: those taken over from the provider's row, and the defaults.

use std::time::Duration;

use super::origin::Origin;
use super::process::written_body;
use super::tree::{FilledValue, Tree};
use super::words::size;
use crate::config::check::usual_body;
use crate::config::{raw, units};
use crate::limit::Rate;
use crate::patience::spelled;
use crate::provider::{BodySpec, Retry, Row};
use crate::route::OnError;
use crate::rules::SourceRules;
use crate::schema::SchemaSet;
use crate::source::Mode;

pub(super) fn fill(tree: &mut Tree, lanes: &[SourceRules], raw: &raw::File) {
    let body = written_body(tree, raw);
    let public_url = tree.at(&["server", "public_url"]).cloned();
    for route in lanes.iter().flat_map(|lane| &lane.routes) {
        if let Some(written) = tree.entry("routes").and_then(|routes| routes.entry(&route.name)) {
            written.fill(&["on_error"], on_error(route.on_error), &Origin::Default);
        }
    }
    for lane in lanes {
        if let Some(source) = tree.entry("sources").and_then(|sources| sources.entry(&lane.source.name)) {
            let is_written = has_size(raw, &lane.source.name);
            let is_usual = lane.source.body_bytes_max == usual_body(raw);
            if let Some(body) = body.clone().filter(|_| is_usual && !is_written) {
                source.graft(&["body_max"], body);
            }
            fill_source(source, lane, is_written);
            let limit = raw.sources.get(&*lane.source.name).and_then(|written| written.rate_limit.as_ref());
            if let Some(raw::RateLimit { rate: units::WrittenRate { count, per }, .. }) = limit {
                let usual = Rate::new(*count, *per, None);
                source.fill(&["rate_limit", "burst"], usual.burst.get(), &Origin::Default);
            }
            if let Some(url) = public_url.clone() {
                source.graft(&["public_url"], url.taken_over_from("server"));
            }
        }
    }
}

const fn on_error(on_error: OnError) -> &'static str {
    match on_error {
        OnError::Quarantine => "quarantine",
        OnError::NoMatch => "no_match",
    }
}

/// Returns whether `body` of a source is written as a maximum size.
fn has_size(raw: &raw::File, source: &str) -> bool {
    raw.sources.get(source).and_then(|written| written.body.as_ref()).is_some_and(|body| body.size().is_some())
}

fn fill_body(tree: &mut Tree, spec: &BodySpec, origin: &Origin) {
    match spec {
        BodySpec::Auto | BodySpec::Json | BodySpec::Form => tree.fill(&["body"], spec.to_string(), origin),
        BodySpec::Field { .. } if tree.at(&["body"]).is_some() => {}
        BodySpec::Field { name, or_form } => {
            tree.fill(&["body", "form"], FilledValue::Text(name.clone()), origin);
            if *or_form {
                tree.fill(&["body", "else"], "form", origin);
            }
        }
    }
}

fn fill_source(tree: &mut Tree, lane: &SourceRules, has_size: bool) {
    let (source, row) = (&lane.source, lane.provider.as_ref());
    // The row's value is in force where nothing raises it.
    let by_row = |is_of_row: bool| match row {
        Some(row) if is_of_row => Origin::Provider(row.id().to_owned()),
        _ => Origin::Default,
    };
    let usual = Origin::Default;
    tree.fill(&["methods"], FilledValue::List(source.methods.clone()), &usual);
    let body = source.body_bytes_max;
    if !has_size {
        fill_body(tree, &lane.body.spec, &by_row(row.is_some_and(|row| row.body().is_some())));
        tree.fill(&["body_max"], size(body), &by_row(row.and_then(Row::body_bytes_max) == Some(body)));
    }
    if source.dedup_window > Duration::ZERO {
        let window = source.dedup_window;
        let is_of_row = row.and_then(Row::retry).and_then(Retry::horizon) == Some(window);
        tree.fill(&["dedup", "window"], spelled(window), &by_row(is_of_row));
    }
    match source.mode {
        Mode::Buffered => tree.fill(&["mode"], "buffered", &usual),
        Mode::Sync { deadline } => tree.fill(&["deadline"], spelled(deadline), &usual),
    }
    tree.fill(&["enforce"], source.enforce, &usual);
    tree.fill(&["failure_brake"], lane.budget.has_brake(), &usual);
    if let Some(row) = row {
        only(tree, "type", row.event_text(), &by_row(true));
        only(tree, "id", row.delivery_text(), &by_row(true));
    }
    if let Some(quota) = &lane.quota {
        let per = if quota.is_per_sender() { "ip" } else { "source" };
        tree.fill(&["rate_limit", "per"], per, &usual);
    }
    if let Some(schemas) = &lane.schemas {
        fill_schemas(tree, schemas);
    }
}

/// Fills in the type or id of events where the row has one expression for it; several cannot be written there.
fn only<'t>(tree: &mut Tree, key: &str, mut written: impl Iterator<Item = &'t str>, origin: &Origin) {
    if let (Some(one), None) = (written.next(), written.next()) {
        tree.fill(&["event", key], FilledValue::Text(one.to_owned()), origin);
    }
}

fn fill_schemas(tree: &mut Tree, schemas: &SchemaSet) {
    tree.fill(&["schemas", "on_missing"], schemas.on_missing().word(), &Origin::Default);
    tree.fill(&["schemas", "on_invalid"], schemas.on_invalid().word(), &Origin::Default);
}
