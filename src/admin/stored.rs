//! `/api/v1/events`, `dead-letters`, `quarantine`, `parked`, `destinations`: stored events, and commands on them.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::api::{Answered, answer, problem, unavailable};
use super::hidden::Redactions;
use super::named::{self, Among};
use super::query::{Kind, ListQuery, ReplayRules, UnknownName, Which, cursor_text, parse};
use super::{PageState, explained, hidden, json, now, standing};
use crate::archive::{DeliveryState, EventFilter, ReplayChoice, ReplayScope};
use crate::buffer::{Command, ParkedKey, StoredEvent, WISHES_MAX};
use crate::clock::Timestamp;
use crate::event::EventId;

/// Answers a page of a list, with the names in its filter that the gateway does not know.
pub(super) fn page(
    name: &str,
    entries: Vec<Value>,
    next: Option<&Vec<u8>>,
    (desk, which): (&PageState, &Which),
) -> Response {
    let unknown = which.unknown(&desk.panel.archive);
    answer(&json!({ name: entries, "next": cursor_text(next), "unknown": unknown }))
}

pub(super) async fn events(State(desk): State<PageState>, ListQuery(which): ListQuery) -> Answered {
    let archive = &desk.panel.archive;
    if let Some(outcome) = which.outcome.as_deref().and_then(explained::CapturedRequest::of) {
        let wants = move |it| outcome.wants(it);
        return explained::list(&desk, "events", &which, wants, |_desk, _captured| json!({})).await;
    }
    let (filter, limit, cursor) = (which.filter(archive)?, which.limit(), which.cursor()?);
    let since = filter.since.unwrap_or(Timestamp::from_unix_ms(0));
    let found = archive.off_thread(move |archive| {
        archive.buffer().events(cursor.as_deref(), since, limit, &|found: &StoredEvent| filter.wants(found))
    });
    let found = found.await.map_err(unavailable)?;
    let mut redactions = Redactions::of(&desk);
    let entries = found.entries.iter().map(|found| json::event(found, redactions.event(found.event.as_ref())));
    let entries = entries.collect();
    Ok(page("events", entries, found.next.as_ref(), (&desk, &which)))
}

/// Answers that nothing has an id.
pub(super) fn none() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "there is no such event; it may be past the time that events are kept, and requests that were not stored are forgotten at a restart",
    )
}

/// Finds the stored event that a text names.
async fn named(desk: &PageState, text: &str) -> Result<StoredEvent, Response> {
    find(desk, named::id(desk, text, Among::All, none).await?).await
}

/// Finds a stored event.
pub(super) async fn find(desk: &PageState, id: EventId) -> Result<StoredEvent, Response> {
    let found = desk.panel.archive.off_thread(move |archive| archive.buffer().find(id)).await.map_err(unavailable)?;
    found.ok_or_else(none)
}

pub(super) async fn event(State(desk): State<PageState>, Path(id): Path<String>) -> Answered {
    let id = named::id(&desk, &id, Among::All, none).await?;
    if let Some(captured) = desk.panel.capture.find(id) {
        let redaction = hidden::redaction(&desk, &captured.event.source);
        return Ok(answer(&json!({ "event": json::whole_captured(&captured, &redaction, json!({})) })));
    }
    let found = find(&desk, id).await?;
    let shown = tokio::task::spawn_blocking(move || now::sheet(&desk, &found)).await;
    let shown = shown.map_err(|_broke_off| problem(StatusCode::INTERNAL_SERVER_ERROR, "the page broke off"))?;
    Ok(answer(&json!({ "event": shown })))
}

/// The body of a replay of one event.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReplayOne {
    outcome: Option<String>,
    rules: ReplayRules,
    to: Vec<String>,
    dry_run: bool,
}

pub(super) async fn replay(State(desk): State<PageState>, Path(id): Path<String>, body: Bytes) -> Answered {
    let asked: ReplayOne = parse(&body, "{\"rules\": \"original\", \"to\": [\"destination\"], \"dry_run\": false}")?;
    let found = named(&desk, &id).await?;
    if found.is_quarantined {
        return Err(problem(
            StatusCode::CONFLICT,
            "the event is in quarantine; re-evaluate it with `hookgate quarantine judge`, which delivers it if the rules admit it",
        ));
    }
    let archive = &desk.panel.archive;
    let outcome = asked.outcome.as_deref().map(DeliveryState::parse);
    if outcome == Some(None) {
        return Err(problem(StatusCode::BAD_REQUEST, "`outcome` is that of a delivery"));
    }
    let filter = EventFilter { outcome: outcome.flatten(), ..EventFilter::default() };
    let choice = ReplayChoice { scope: ReplayScope::Events, filter, rules: asked.rules.into(), to: asked.to };
    let chosen = choice.of((&archive.rules(), &archive.destinations()), &found, None);
    let copies = || chosen.deliveries.iter().map(|(copy, _)| copy).chain(chosen.skipped.iter().map(|(copy, _)| copy));
    if let Some(to) = choice.to.iter().find(|to| !copies().any(|copy| ***to == *copy.destination)) {
        return Err(problem(StatusCode::NOT_FOUND, &format!("no route sends this event to `{to}`")));
    }
    let deliveries: Vec<Value> =
        chosen.deliveries.iter().map(|(copy, is_new)| json::copy(copy, json!({ "new": is_new }))).collect();
    let failed = chosen.failed.iter().map(|error| json!({ "route": error.route, "why": error.fault.to_string() }));
    let skipped: Vec<Value> =
        chosen.skipped.iter().map(|(copy, why)| json::copy(copy, json!({ "why": why }))).chain(failed).collect();
    let mut queued = 0;
    if !asked.dry_run && !chosen.wishes.is_empty() {
        queued = archive.buffer().command(chosen.wishes).await.map_err(unavailable)?.queued;
        tracing::info!(event = %id, queued, "an event is replayed on request");
    }
    Ok(answer(&json!({ "dry_run": asked.dry_run, "deliveries": deliveries, "skipped": skipped, "queued": queued })))
}

pub(super) async fn dead_letters(State(desk): State<PageState>, ListQuery(which): ListQuery) -> Answered {
    let archive = &desk.panel.archive;
    let (filter, limit, cursor) = (which.filter(archive)?, which.limit(), which.cursor()?);
    let destination = which.destination.clone();
    let found = archive
        .off_thread(move |archive| {
            let mut page = archive.buffer().dead_letters(destination.as_deref(), cursor.as_deref(), limit)?;
            page.entries.retain(|dead| filter.wants_dead(dead));
            Ok(page)
        })
        .await
        .map_err(unavailable)?;
    let mut redactions = Redactions::of(&desk);
    let entries = found.entries.iter();
    let entries = entries.map(|dead| json::dead_letter(dead, redactions.event(dead.found.event.as_ref()))).collect();
    Ok(page("dead_letters", entries, found.next.as_ref(), (&desk, &which)))
}

/// The dead letters to drop: those of one event, those that a filter selects, or all.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Drop {
    id: Option<String>,
    all: bool,
    filter: Which,
    dry_run: bool,
}

pub(super) async fn drop_dead(State(desk): State<PageState>, body: Bytes) -> Answered {
    let asked: Drop = parse(&body, "{\"id\": \"…\"} or {\"filter\": {…}, \"dry_run\": true}")?;
    let archive = &desk.panel.archive;
    if let Some(id) = &asked.id {
        return drop_of_one(&desk, id, asked.dry_run).await;
    }
    if asked.filter.is_empty() && !asked.all {
        return Err(problem(StatusCode::BAD_REQUEST, "say which: `id`, a `filter`, or `all`"));
    }
    let mut filter = asked.filter.without_pages()?.filter(archive)?;
    filter.outcome = Some(DeliveryState::DeadLettered);
    let destination = asked.filter.destination.clone();
    let (filter, mut cursor) = (std::sync::Arc::new(filter), None);
    let (mut found, mut dropped, mut samples) = (0_u64, 0, Vec::new());
    loop {
        let (filter, destination, from) = (std::sync::Arc::clone(&filter), destination.clone(), cursor.clone());
        let page = archive.off_thread(move |archive| {
            let mut page = archive.buffer().dead_letters(destination.as_deref(), from.as_deref(), WISHES_MAX)?;
            page.entries.retain(|dead| filter.wants_dead(dead));
            Ok(page)
        });
        let page = page.await.map_err(unavailable)?;
        found += page.entries.len() as u64;
        let ids = page.entries.iter().filter_map(|dead| dead.found.event.as_ref()).map(|event| event.id.to_string());
        samples.extend(ids.take(5_usize.saturating_sub(samples.len())));
        let wishes: Vec<Command> =
            page.entries.iter().map(|dead| Command::Drop { seq: dead.found.seq, copy: dead.copy }).collect();
        if !asked.dry_run && !wishes.is_empty() {
            dropped += archive.buffer().command(wishes).await.map_err(unavailable)?.ended;
        }
        let Some(next) = page.next else { break };
        cursor = Some(next);
    }
    if dropped > 0 {
        tracing::info!(dropped, "dead letters are dropped, as asked");
    }
    let unknown = asked.filter.unknown(archive);
    Ok(answer(&json!({
        "dry_run": asked.dry_run, "found": found, "dropped": dropped, "samples": samples, "unknown": unknown,
    })))
}

pub(super) async fn quarantine(State(desk): State<PageState>, ListQuery(which): ListQuery) -> Answered {
    let archive = &desk.panel.archive;
    let (filter, limit, cursor) = (which.filter(archive)?, which.limit(), which.cursor()?);
    let found = archive
        .off_thread(move |archive| {
            let mut page = archive.buffer().quarantine(cursor.as_deref(), limit)?;
            page.entries.retain(|found| filter.wants(found));
            Ok(page)
        })
        .await
        .map_err(unavailable)?;
    let mut redactions = Redactions::of(&desk);
    let entries = found.entries.iter().map(|found| json::quarantined(found, redactions.event(found.event.as_ref())));
    Ok(page("quarantine", entries.collect(), found.next.as_ref(), (&desk, &which)))
}

/// Drops the dead letters of one event.
async fn drop_of_one(desk: &PageState, id: &str, dry_run: bool) -> Answered {
    let found = named(desk, id).await?;
    let copies = found.fate.iter().flat_map(|fate| &fate.copies);
    let wishes: Vec<Command> = (0_u16..)
        .zip(copies)
        .filter(|(_, copy)| copy.is_dead())
        .map(|(copy, _)| Command::Drop { seq: found.seq, copy })
        .collect();
    let (count, mut dropped) = (wishes.len(), 0);
    if !dry_run && count > 0 {
        dropped = desk.panel.archive.buffer().command(wishes).await.map_err(unavailable)?.ended;
    }
    let id = found.event.as_ref().map(|event| event.id.to_string());
    let samples: Vec<String> = id.filter(|_| count > 0).into_iter().collect();
    Ok(answer(&json!({ "dry_run": dry_run, "found": count, "dropped": dropped, "samples": samples })))
}

/// The quarantined events to re-evaluate.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Judge {
    source: Option<String>,
    id: Option<String>,
    dry_run: bool,
}

pub(super) async fn judge(State(desk): State<PageState>, body: Bytes) -> Answered {
    let asked: Judge = parse(&body, "{\"source\": \"…\", \"dry_run\": true}")?;
    let id = match &asked.id {
        Some(id) => Some(named::id(&desk, id, Among::All, none).await?),
        None => None,
    };
    let archive = &desk.panel.archive;
    let unknown = asked.source.as_deref().and_then(|source| UnknownName::of(Kind::Source, source, archive));
    let judged = archive.judge(asked.source, id, asked.dry_run).await.map_err(unavailable)?;
    if !asked.dry_run {
        tracing::info!(queued = judged.granted.queued, "quarantined events were re-evaluated on request");
    }
    let unknown: Vec<UnknownName> = unknown.into_iter().collect();
    Ok(answer(&json::with(json::judged(&judged, asked.dry_run), json!({ "unknown": unknown }))))
}

pub(super) async fn parked(State(desk): State<PageState>, ListQuery(which): ListQuery) -> Answered {
    let (limit, cursor, destination) = (which.limit(), which.cursor()?, which.destination.clone());
    let found = desk
        .panel
        .archive
        .off_thread(move |archive| archive.buffer().parked(destination.as_deref(), cursor.as_deref(), limit));
    let found = found.await.map_err(unavailable)?;
    let redaction = desk.panel.capture.redaction();
    let entries = found.entries.iter().map(|parked| hidden::without_keys(json::parked(parked), &redaction)).collect();
    Ok(page("parked", entries, found.next.as_ref(), (&desk, &which)))
}

pub(super) async fn release(State(desk): State<PageState>, Path(key): Path<String>) -> Response {
    unpark(&desk, &key, Command::Release).await
}

pub(super) async fn skip(State(desk): State<PageState>, Path(key): Path<String>) -> Response {
    unpark(&desk, &key, Command::Skip).await
}

async fn unpark(desk: &PageState, key: &str, wish: fn(ParkedKey) -> Command) -> Response {
    let none = || problem(StatusCode::NOT_FOUND, "no order key is parked under this name");
    let Some(parsed) = ParkedKey::parse(key) else { return none() };
    match desk.panel.archive.buffer().command(vec![wish(parsed)]).await {
        Ok(granted) if granted.missed > 0 => none(),
        Ok(granted) => {
            tracing::info!(
                key,
                queued = granted.queued,
                ended = granted.ended,
                "a parked order key was released or skipped on request"
            );
            answer(&json!({ "queued": granted.queued, "ended": granted.ended }))
        }
        Err(error) => unavailable(error),
    }
}

pub(super) async fn destinations(State(desk): State<PageState>) -> Response {
    // Reading the age of queues may touch the disk.
    let listed = tokio::task::spawn_blocking(move || listed_destinations(&desk)).await;
    listed.unwrap_or_else(|_broke_off| problem(StatusCode::INTERNAL_SERVER_ERROR, "the list broke off"))
}

fn listed_destinations(desk: &PageState) -> Response {
    let (buffer, table) = (desk.panel.archive.buffer(), desk.panel.archive.destinations());
    let (now, moment) = (Instant::now(), desk.panel.archive.clock().now());
    let destinations: Vec<Value> = buffer
        .destinations()
        .iter()
        .map(|name| {
            let urls = table.get(name).map(|destination| destination.urls());
            let book = json::counters(name, urls.as_deref(), &buffer.counters(name));
            let (standing, depth) = (desk.panel.deliverer.standing(name), buffer.depth(name));
            let due = (depth.ready, buffer.oldest_age(name));
            json::with(book, standing::members(standing.as_ref(), due, (now, moment)))
        })
        .collect();
    let mut shown = json!({ "destinations": destinations });
    // The path of a URL may be a secret from a variable.
    desk.panel.capture.redaction().hide_values(&mut shown);
    answer(&shown)
}
