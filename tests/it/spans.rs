//! `server.tracing`: the spans of a request and of its deliveries belong together; a dead collector costs no answer.

use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::support::{Collector, Gateway, Receiver, Reply, SOON, Site, attribute, eventually, free_port, github};

fn site(collector: &str, sample: &str, rest: &str) -> Site {
    Site::new(rest).server(&format!("tracing: {{otlp: \"{collector}\", sample: {sample}}}"), rest)
}

fn delivered(gateway: &Gateway, count: u64) {
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], count);
}

fn named<'s>(spans: &'s [Span], name: &str) -> Vec<&'s Span> {
    let mut found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    found.sort_by_key(|span| span.start_time_unix_nano);
    found
}

/// Returns the `traceparent` that names this span as the parent.
fn parent_of(span: &Span) -> String {
    format!("00-{}-{}-01", HEXLOWER.encode(&span.trace_id), HEXLOWER.encode(&span.span_id))
}

#[test]
fn a_request_its_commit_and_both_tries_are_one_trace() {
    let (collector, receiver) = (Collector::start(), Receiver::start());
    receiver.script("/app", [Reply::status(503)]);
    let gateway = site(&collector.url(), "100%", &Site::plain_rest(&receiver.url("/app"), "")).start();
    let id = gateway.accept(&github("{\"secret\":\"payload\"}").with("X-Private", "header"));
    delivered(&gateway, 1);
    let spans = collector.wait_for(4);
    assert_eq!(spans.len(), 4, "{spans:?}");
    let request = named(&spans, "receive github")[0];
    assert_eq!((request.kind, request.parent_span_id.len()), (SpanKind::Server as i32, 0));
    assert_eq!(HEXLOWER.encode(&request.trace_id), id.replace('-', ""), "the trace is the event");
    let says = |span: &Span, key: &str| attribute(span, key).unwrap_or_default();
    assert_eq!(says(request, "hookgate.outcome"), "accepted");
    assert_eq!(says(request, "http.response.status_code"), "200");
    assert_eq!((says(request, "hookgate.event_id"), says(request, "hookgate.event_type")), (id, "push".into()));
    let commit = named(&spans, "commit")[0];
    assert_eq!((&commit.trace_id, &commit.parent_span_id), (&request.trace_id, &request.span_id));
    let tries = named(&spans, "deliver app");
    let seen = receiver.seen();
    for (at, (attempt, outcome, status)) in [("1", "http_5xx", "503"), ("2", "success", "200")].into_iter().enumerate()
    {
        let span = tries[at];
        assert_eq!((&span.trace_id, &span.parent_span_id), (&request.trace_id, &request.span_id));
        assert_eq!(span.kind, SpanKind::Client as i32);
        assert_eq!((says(span, "hookgate.attempt"), says(span, "hookgate.outcome")), (attempt.into(), outcome.into()));
        assert_eq!(
            (says(span, "http.response.status_code"), says(span, "hookgate.route")),
            (status.into(), "all".into())
        );
        assert!(span.end_time_unix_nano > span.start_time_unix_nano);
        assert_eq!(seen[at].header("traceparent"), Some(parent_of(span)), "the service is told which try it was");
    }
    assert_ne!(tries[0].span_id, tries[1].span_id);
    let all = format!("{spans:?}");
    assert!(!all.contains("payload") && !all.contains("X-Private") && !all.contains("header"), "{all}");
}

#[test]
fn a_trace_that_the_sender_names_is_continued_over_a_restart_and_its_flag_decides_nothing() {
    let (collector, receiver) = (Collector::start(), Receiver::start());
    receiver.always("/app", Reply::status(503));
    let site = site(&collector.url(), "100%", &Site::plain_rest(&receiver.url("/app"), ""));
    let mut gateway = site.start();
    let theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    gateway.accept(&github("{}").with("Traceparent", theirs).with("Tracestate", "theirs=1"));
    receiver.wait_for(1);
    gateway.stop();
    let spans = collector.wait_for(3);
    let request = named(&spans, "receive github")[0].clone();
    assert_eq!(HEXLOWER.encode(&request.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(HEXLOWER.encode(&request.parent_span_id), "b7ad6b7169203331");
    receiver.well("/app");
    let gateway = site.start();
    delivered(&gateway, 1);
    let last = receiver.seen().last().unwrap().clone();
    assert_eq!(last.header("tracestate").as_deref(), Some("theirs=1"));
    let try_after = eventually("the try after the restart", SOON, || {
        let spans = collector.spans();
        named(&spans, "deliver app")
            .into_iter()
            .find(|span| Some(parent_of(span)) == last.header("traceparent"))
            .cloned()
    });
    assert_eq!((&try_after.trace_id, &try_after.parent_span_id), (&request.trace_id, &request.span_id));
    assert_eq!(attribute(&try_after, "hookgate.outcome").as_deref(), Some("success"));
}

#[test]
fn a_refused_request_has_a_span_and_a_header_that_names_no_trace_is_not_passed_on() {
    let (collector, receiver) = (Collector::start(), Receiver::start());
    let gateway = site(&collector.url(), "100%", &Site::plain_rest(&receiver.url("/app"), "")).start();
    assert_eq!(gateway.send(&github("{}").without("X-Hub-Signature-256")).status, 401);
    let refused = collector.wait_for(1).remove(0);
    assert_eq!(attribute(&refused, "hookgate.outcome").as_deref(), Some("missing_signature"));
    let aside = gateway.admin("/api/v1/events?outcome=missing_signature").json();
    assert_eq!(attribute(&refused, "hookgate.event_id").as_deref(), aside["events"][0]["id"].as_str());
    let id = gateway.accept(&github("{}").with("Traceparent", "00-nonsense").with("Tracestate", "theirs=1"));
    let seen = receiver.wait_for(1).remove(0);
    let traceparent = seen.header("traceparent").unwrap();
    assert!(traceparent.starts_with(&format!("00-{}-", id.replace('-', ""))), "{traceparent}");
    assert_eq!(seen.header("tracestate"), None);
}

#[test]
fn a_share_of_the_events_is_recorded_whole_and_the_others_say_that_they_are_not() {
    let (collector, receiver) = (Collector::start(), Receiver::start());
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let mut gateway = site(&collector.url(), "50%", &rest).start();
    let mut connection = gateway.connect();
    let sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for at in 0..200 {
        let request = github("{}");
        let request = if at % 2 == 0 { request.with("Traceparent", sampled) } else { request };
        assert_eq!(connection.send(&request).unwrap().status, 200);
    }
    delivered(&gateway, 200);
    assert!(gateway.stop().success(), "what waits is sent at the end");
    let spans = collector.spans();
    let events = |name: &str| {
        let mut events: Vec<String> =
            named(&spans, name).iter().map(|span| attribute(span, "hookgate.event_id").unwrap()).collect();
        events.sort_unstable();
        events
    };
    let recorded = events("receive github");
    assert!((60..=140).contains(&recorded.len()), "{}", recorded.len());
    assert_eq!(recorded, events("deliver app"), "a request and its deliveries agree");
    for seen in receiver.seen() {
        let flag = if recorded.contains(&seen.event_id()) { "-01" } else { "-00" };
        assert!(seen.header("traceparent").unwrap().ends_with(flag));
    }
}

#[test]
fn none_are_sent_when_none_are_wanted() {
    let (collector, receiver) = (Collector::start(), Receiver::start());
    let mut gateway = site(&collector.url(), "0%", &Site::plain_rest(&receiver.url("/app"), "")).start();
    for _ in 0..20 {
        gateway.accept(&github("{}"));
    }
    delivered(&gateway, 20);
    assert!(receiver.seen().iter().all(|seen| seen.header("traceparent").unwrap().ends_with("-00")));
    assert!(gateway.stop().success());
    assert_eq!(collector.spans().len(), 0);
}

#[test]
fn a_collector_that_is_down_costs_its_spans_and_no_answer() {
    let receiver = Receiver::start();
    // Nothing listens, or a listener never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for port in [free_port(), silent.local_addr().unwrap().port()] {
        loses_its_spans_only(&receiver, port);
    }
}

fn loses_its_spans_only(receiver: &Receiver, collector_port: u16) {
    let collector = format!("http://127.0.0.1:{collector_port}");
    let mut gateway = site(&collector, "100%", &Site::plain_rest(&receiver.url("/app"), "")).start();
    let mut connection = gateway.connect();
    for _ in 0..2000 {
        assert_eq!(connection.send(&github("{}")).unwrap().status, 200);
    }
    delivered(&gateway, 2000);
    let lost = || gateway.metrics().sum("hookgate_spans_dropped_total", &[]);
    eventually("what is lost is counted", SOON, || (lost() > 0).then_some(()));
    let began = Instant::now();
    assert!(gateway.stop().success());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(gateway.log().matches("spans did not reach the collector").count(), 1, "one line a minute");
}

#[test]
fn another_collector_takes_a_restart_and_a_reload_says_so() {
    let (collector, receiver) = (Collector::start(), Receiver::start());
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = site(&collector.url(), "100%", &rest);
    let gateway = site.start();
    let site = site.server("", &rest);
    gateway.reload();
    assert!(gateway.log().contains("change at the next restart only"));
    gateway.accept(&github("{}"));
    collector.wait_for(3);
    drop(site);
}
