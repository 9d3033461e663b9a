//! The cost of each gate: the parts of the sum that `benches/gateway` shows.
//!
//! With recorded deliveries of `tests/payloads/github` (1 KB, 7.7 KB, 23.6 KB): **verify** (headers and body to a
//! verdict), **parse** and **schema** (a valid body, and one that breaks its schema, its report included), **commit**
//! (1, 8 and 64 events of 7.7 KB appended and synced, on the disk of `CARGO_TARGET_DIR`), **condition** and **value**
//! (CEL over a parsed event of 2 KiB), **script** (JavaScript over the same, including making and dropping its engine).
#![expect(clippy::expect_used, reason = "a benchmark stops at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hookgate::buffer::{Buffer, BufferParams, Fsync};
use hookgate::clock::{Clock, SystemClock, Timestamp};
use hookgate::condition::{Condition, ValueExpression, View};
use hookgate::event::{Dispatch, Event, EventData, EventId};
use hookgate::payload::Payload;
use hookgate::provider::{Message, SignRequest, Verified, Verifier, builtin};
use hookgate::refusal::OnFailure;
use hookgate::schema::{Asserted, SchemaParams, SchemaSet, SchemaVerdict};
use hookgate::script::{LossyNumbers, Script};
use hookgate::secret::{Secret, SecretName};
use serde_json::json;

const FILES: [(&str, &str); 3] =
    [("1KB", "security_advisory.published.json"), ("7.7KB", "push.json"), ("23.6KB", "pull_request.opened.json")];

fn payload(file: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads/github").join(file);
    Bytes::from(std::fs::read(path).expect("the payload is in the tree"))
}

fn verify(criterion: &mut Criterion) {
    let secret = |text: &str| Secret::new(SecretName::new("a"), text.as_bytes().to_vec()).expect("not empty");
    let scheme = builtin().get("github").expect("a built-in row").scheme().clone();
    let verifier = Verifier::new(scheme, vec![secret("old"), secret("new")], BTreeMap::new()).expect("usable keys");
    let now = Timestamp::from_unix_secs(1_760_000_000);
    let mut group = criterion.benchmark_group("verify");
    for (size, file) in FILES {
        let body = payload(file);
        let mut headers = http::HeaderMap::new();
        let message = Message { method: "POST", url: "/in/github", headers: &headers, body: &body };
        let made = verifier.sign(&SignRequest { message, id: "x", now }).expect("GitHub's scheme can be signed");
        headers.extend(made);
        let message = Message { method: "POST", url: "/in/github", headers: &headers, body: &body };
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::new("github", size), |bench| bench.iter(|| verifier.verify(&message, now)));
    }
    group.finish();
}

fn parse_and_schema(criterion: &mut Criterion) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let params = SchemaParams {
        dir: None,
        events: vec![
            ("push".into(), root.join("github/push.json")),
            ("pull_request".into(), root.join("github/pull_request.json")),
        ],
        on_missing: OnFailure::Allow,
        on_invalid: OnFailure::Quarantine,
        root,
        asserted: Asserted::default(),
    };
    let schemas =
        SchemaSet::compile(params, &|path: &Path| std::fs::read(path)).expect("the project's schemas compile");
    let mut group = criterion.benchmark_group("payload");
    for (size, file) in FILES {
        let body = payload(file);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::new("parse", size), |bench| bench.iter(|| Payload::parse(&body)));
    }
    let cases = [("push", "push.json", "ref"), ("pull_request", "pull_request.opened.json", "number")];
    for (event, file, required) in cases {
        let good = Payload::parse(&payload(file)).expect("sound JSON").into_value();
        let mut bad = good.clone();
        bad.as_object_mut().expect("an object").remove(required);
        assert!(matches!(schemas.check(event, &bad), SchemaVerdict::Invalid { .. }), "{required} is required");
        group.bench_function(BenchmarkId::new("schema valid", event), |bench| {
            bench.iter(|| schemas.check(event, &good));
        });
        group.bench_function(BenchmarkId::new("schema broken", event), |bench| {
            bench.iter(|| schemas.check(event, &bad));
        });
    }
    group.finish();
}

fn event(body: &Bytes) -> Event {
    let now = SystemClock.now();
    let data = EventData {
        id: EventId::at(now, rand::random()),
        source: "github".into(),
        received_at_ms: now.unix_ms(),
        event_type: Some("push".into()),
        delivery_id: None,
        verified_by: None,
        method: "POST".into(),
        target: "/in/github".into(),
        headers: Vec::new(),
        copies: vec![Dispatch {
            route: "r".into(),
            destination: "d".into(),
            balance: None,
            order: None,
            shaped: false,
        }],
        problems: Vec::new(),
        unverified: None,
        params: Vec::new(),
        host: None,
        sender: None,
        body: body.clone(),
    };
    Event::new(Verified::by_choice("a benchmark"), data, None)
}

async fn append(buffer: &Buffer, body: &Bytes, together: u64) {
    let mut appends = tokio::task::JoinSet::new();
    for _ in 0..together {
        let (buffer, event) = (buffer.clone(), event(body));
        appends.spawn(async move { buffer.append(event).await.expect("the disk takes it") });
    }
    appends.join_all().await;
}

fn commit(criterion: &mut Criterion) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on the disk of the build");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let params = BufferParams {
        dir: folder.path().join("buffer"),
        bytes_max: 1 << 40,
        fsync: Fsync::Group,
        quarantine_keep: Duration::from_hours(1),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let buffer = Buffer::open(params, &["d".into()], clock, Box::new(|_| {})).expect("the buffer opens");
    let body = payload("push.json");
    let mut group = criterion.benchmark_group("commit");
    group.measurement_time(Duration::from_secs(5)).sample_size(20);
    for together in [1, 8, 64] {
        group.throughput(Throughput::Elements(together));
        group.bench_function(BenchmarkId::new("append", together), |bench| {
            bench.iter(|| runtime.block_on(append(&buffer, &body, together)));
        });
    }
    group.finish();
}

/// Returns an event of 2 KiB with ten items.
fn invoice() -> serde_json::Value {
    let item = |n: u32| {
        json!({"id": format!("il_{n:04}"), "sku": format!("sku-{n}"), "quantity": n, "amount": n * 1000,
            "description": "One month of a service that has a name of usual length, and two words more", "taxes": [], "livemode": true, "url": null})
    };
    let items: Vec<_> = (0..10).map(item).collect();
    json!({"id": "evt_1", "type": "invoice.paid", "livemode": true, "created": 1_760_000_000, "repository": {"full_name": "acme/web"},
        "data": {"object": {"id": "in_1", "amount_paid": 1_250_000, "customer_name": "Ann", "currency": "eur", "lines": items}}})
}

fn conditions(criterion: &mut Criterion) {
    let (body, headers) = (invoice(), http::HeaderMap::new());
    let view = View {
        received: &(),
        params: &[],
        body: Some(&body),
        headers: &headers,
        event_type: "invoice.paid",
        event_id: "evt_1",
        source: "stripe",
        method: "POST",
        path: "/in/stripe",
        query: "",
    };
    let bytes = body.to_string().len();
    assert!((1800..2300).contains(&bytes), "{bytes}");
    let mut group = criterion.benchmark_group("condition");
    for (name, text) in [
        ("comparison and flag", "body.data.object.amount_paid >= 1000000 && body.livemode"),
        ("comparison, false", "body.data.object.amount_paid >= 9000000 && body.livemode"),
        (
            "startsWith and optional",
            "body.repository.full_name.startsWith(\"acme/\") && !body.?pull_request.draft.orValue(false)",
        ),
        ("exists over 10, the last", "body.data.object.lines.exists(line, line.sku == \"sku-9\")"),
        ("matches", "body.repository.full_name.matches(\"^acme/[a-z]+$\")"),
        ("type", "event.type == \"invoice.paid\""),
    ] {
        let condition = Condition::compile(text).expect("it compiles");
        condition.matches(&view).expect("it gives an answer");
        group.bench_function(name, |bench| bench.iter(|| condition.matches(&view)));
    }
    group.finish();
    let mut group = criterion.benchmark_group("value");
    for (name, text) in [
        (
            "a text of fields",
            "{\"text\": body.data.object.customer_name + \" paid \" + string(body.data.object.amount_paid / 100)}",
        ),
        ("map over 10", "body.data.object.lines.map(line, {\"sku\": line.sku, \"n\": line.quantity})"),
        ("the whole body", "{\"wrapped\": body}"),
    ] {
        let value = ValueExpression::compile(text).expect("it compiles");
        value.value(&view).expect("it gives a value");
        group.bench_function(name, |bench| bench.iter(|| value.value(&view)));
    }
    group.finish();
    let mut group = criterion.benchmark_group("script");
    for (name, source) in [
        ("identity", "export default (event) => event"),
        (
            "map over 10",
            "export default (event) => event.data.object.lines.map(({sku, quantity}) => ({sku, n: quantity}))",
        ),
    ] {
        let script = Script::compile(source, name).expect("it can be read");
        script.run(&body, LossyNumbers::Exact).expect("it gives a value");
        group.bench_function(name, |bench| bench.iter(|| script.run(&body, LossyNumbers::Exact)));
    }
    group.finish();
}

criterion_group!(gates, verify, parse_and_schema, conditions, commit);
criterion_main!(gates);
