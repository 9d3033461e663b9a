//! An internal service: it records requests and answers as a test says.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;

use super::{SOON, eventually};

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    /// True when the answer is 2xx.
    pub(crate) taken: bool,
    /// The number of requests to this path in flight, including this one.
    pub(crate) under_way: usize,
}

impl Seen {
    /// Returns a header's value, as text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    pub(crate) fn event_id(&self) -> String {
        self.header("hookgate-event-id").unwrap_or_default()
    }
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) delay: Duration,
    /// True when the connection breaks instead of an answer.
    pub(crate) breaks: bool,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new(), delay: Duration::ZERO, breaks: false }
    }

    /// Creates a reply that breaks the connection.
    pub(crate) fn broken() -> Self {
        Self { breaks: true, ..Self::status(500) }
    }

    pub(crate) fn saying(mut self, content_type: &str, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self.with("content-type", content_type)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// Replies for every n-th request.
#[derive(Debug)]
struct Nth {
    every: usize,
    replies: Vec<Reply>,
    count: usize,
}

/// A function from a request to its answer; `None` is the usual answer.
type Rule = fn(&Seen) -> Option<Reply>;

#[derive(Debug, Default)]
struct Book {
    seen: Vec<Seen>,
    script: HashMap<String, VecDeque<Reply>>,
    always: HashMap<String, Reply>,
    nth: HashMap<String, Nth>,
    rule: Option<Rule>,
    /// The number of requests in flight, by path, above which further ones break.
    most: HashMap<String, usize>,
    broken: HashMap<String, usize>,
    connections: usize,
    in_flight: HashMap<String, usize>,
    in_flight_most: HashMap<String, usize>,
}

type Shared = Arc<Mutex<Book>>;

/// A running service; ends when dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    book: Shared,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        Self::start_on(0)
    }

    pub(crate) fn start_on(port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let book = Shared::default();
        // The port of a receiver that has just ended may be taken for a moment.
        let listener = eventually("the receiver's port is free", SOON, || {
            runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", port))).ok()
        });
        let address = listener.local_addr().unwrap();
        let listener = axum::serve::ListenerExt::tap_io(listener, {
            let book = Arc::clone(&book);
            move |_| lock(&book).connections += 1
        });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&book));
        drop(runtime.spawn(async move { axum::serve(listener, app).await.unwrap() }));
        Self { address, book, runtime: Some(runtime) }
    }

    /// Returns the URL of a path of this service.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sets the answers to the next requests to `path`, one after another.
    pub(crate) fn script(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        lock(&self.book).script.entry(path.to_owned()).or_default().extend(replies);
    }

    /// Sets the answer to every request to `path` after its script.
    pub(crate) fn always(&self, path: &str, reply: Reply) {
        lock(&self.book).always.insert(path.to_owned(), reply);
    }

    /// Answers every `every`-th request to `path` with these replies in turn.
    pub(crate) fn every(&self, path: &str, every: usize, replies: Vec<Reply>) {
        lock(&self.book).nth.insert(path.to_owned(), Nth { every, replies, count: 0 });
    }

    /// Answers by `rule` when the rule returns a reply.
    pub(crate) fn rule(&self, rule: Rule) {
        lock(&self.book).rule = Some(rule);
    }

    /// Breaks requests to `path` beyond `most` in flight, like a small service with a full backlog of connections.
    pub(crate) fn at_most(&self, path: &str, most: usize) {
        lock(&self.book).most.insert(path.to_owned(), most);
    }

    /// Returns the number of requests to `path` that broke because too many were in flight.
    pub(crate) fn broken(&self, path: &str) -> usize {
        lock(&self.book).broken.get(path).copied().unwrap_or(0)
    }

    /// Answers every request to `path` with 200 again; requests in flight keep their answer.
    pub(crate) fn well(&self, path: &str) {
        let mut book = lock(&self.book);
        book.always.remove(path);
        book.nth.remove(path);
    }

    /// Returns all requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.book).seen.clone()
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.book).seen.len()
    }

    /// Returns all requests to one path.
    pub(crate) fn seen_at(&self, path: &str) -> Vec<Seen> {
        let at = |seen: &Seen| seen.target.split('?').next() == Some(path);
        lock(&self.book).seen.iter().filter(|seen| at(seen)).cloned().collect()
    }

    /// Returns the number of connections that were ever opened.
    pub(crate) fn connections(&self) -> usize {
        lock(&self.book).connections
    }

    /// Returns the largest number of requests to `path` that were in flight at once.
    pub(crate) fn in_flight_most(&self, path: &str) -> usize {
        lock(&self.book).in_flight_most.get(path).copied().unwrap_or(0)
    }

    /// Waits until at least `count` requests have come.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Seen> {
        let what = format!("{count} requests at the receiver");
        eventually(&what, SOON, || (self.count() >= count).then(|| self.seen()))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn lock(book: &Shared) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(State(book): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    // An incomplete request of a killed sender is not recorded.
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else { return Response::new(Body::empty()) };
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    let mut seen = Seen {
        at: Instant::now(),
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers,
        body: body.to_vec(),
        taken: false,
        under_way: 0,
    };
    let (reply, _under_way) = {
        let mut book_now = lock(&book);
        let reply = book_now.reply(&path, &seen);
        seen.taken = !reply.breaks && (200..300).contains(&reply.status);
        let now = book_now.in_flight.entry(path.clone()).or_default();
        *now += 1;
        let now = *now;
        let most = book_now.in_flight_most.entry(path.clone()).or_default();
        *most = now.max(*most);
        seen.under_way = now;
        book_now.seen.push(seen);
        (reply, UnderWay { book: Arc::clone(&book), path })
    };
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    if reply.breaks {
        // The connection's task ends, and the connection with it; nothing is printed.
        std::panic::resume_unwind(Box::new("broken on purpose"));
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap()
}

impl Book {
    fn reply(&mut self, path: &str, seen: &Seen) -> Reply {
        let under_way = self.in_flight.get(path).copied().unwrap_or(0);
        if self.most.get(path).is_some_and(|most| under_way >= *most) {
            *self.broken.entry(path.to_owned()).or_default() += 1;
            return Reply::broken();
        }
        let scripted = self.script.get_mut(path).and_then(VecDeque::pop_front);
        let in_turn = || {
            let nth = self.nth.get_mut(path)?;
            nth.count += 1;
            let turn = nth.count / nth.every;
            nth.count.is_multiple_of(nth.every).then(|| nth.replies[turn % nth.replies.len()].clone())
        };
        let by_rule = |rule: Rule| rule(seen);
        let known = scripted.or_else(in_turn).or_else(|| self.rule.and_then(by_rule));
        known.or_else(|| self.always.get(path).cloned()).unwrap_or_else(|| Reply::status(200))
    }
}

/// A guard that ends the count of a request, even when its connection breaks.
struct UnderWay {
    book: Shared,
    path: String,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(now) = lock(&self.book).in_flight.get_mut(&self.path) {
            *now -= 1;
        }
    }
}

/// Returns a port on which nothing listens, outside the range from which the system assigns ports, so that it stays
/// free.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id() % 600 * 20;
    loop {
        let port = 10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let port = u16::try_from(port).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
