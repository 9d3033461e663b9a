//! The ingress: the only downstream pingora code.
//!
//! `Gateway` is a pingora `ProxyHttp` whose whole work is done in `request_filter`: check the framing, read the body
//! within its bounds, ask `accept`, commit, answer. pingora's own proxying is not used, so no byte reaches an internal
//! service before it was verified.
//!
//! Deliberately not here: the decision (`accept`), the storage (`buffer`), the delivery (`deliver`).

mod account;
mod body;
mod captured;
mod chunked;
mod framing;
mod guard;
mod handover;
mod head;
mod http1;
mod judge;
mod linger;
mod listen;
mod tls;
mod wire;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use pingora::proxy::{ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use tokio::time::Instant;

use crate::accept::{self, Accepted, Notes};
use crate::budget;
use crate::buffer::{Buffer, Committed, NotStored};
use crate::capture::Capture;
use crate::clock::{Clock, Timestamp};
use crate::deliver::{Deliverer, SyncAnswer};
use crate::event::{DedupKey, Event, EventId};
use crate::keyring::Keyring;
use crate::provider::{HandshakeReply, subscribe_url};
use crate::refusal::{Class, Refusal, RequestOutcome};
use crate::reply::Reply;
use crate::rules::{Rules, SourceRules};
use crate::sender::Sender;
use crate::source::{Mode, Source};
use crate::telemetry::{AnsweredBy, AnsweredRequest, Called, Commit, Telemetry};

use wire::Control;

pub use body::BodyBudget;
pub use listen::{BoundListener, ListenerLimits, ListenerParams, bind, serve};
pub use tls::{CertificateFiles, Certificates, TlsParams, TlsProblem};

/// pingora's keep-alive in seconds, which only keeps connections open: `http1` waits for their heads.
const KEEPALIVE_SECS: u64 = 1;
/// The time after which a client that does not read its answer is cut off.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The state that all listeners share.
#[derive(Debug)]
pub struct Registry {
    /// The rules in force.
    pub rules: ArcSwap<Rules>,
    /// The buffer that stores events.
    pub buffer: Buffer,
    /// The deliverer, for `mode: sync`.
    pub deliverer: Deliverer,
    /// Metrics and logs.
    pub telemetry: Telemetry,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The source of random bytes for event ids.
    pub random: fn() -> [u8; 10],
    /// True while the gateway is stopping.
    pub draining: AtomicBool,
    /// The keys that providers publish.
    pub keyring: Arc<Keyring>,
    /// Rings when other rules are in force.
    pub rules_changed: tokio::sync::Notify,
    /// Rings when the gateway itself has changed a file that the rules were made of.
    pub rules_are_stale: tokio::sync::Notify,
    /// Requests that were captured instead of stored.
    pub capture: Arc<Capture>,
    /// The budget of bodies in memory, all requests together.
    pub bodies: Arc<BodyBudget>,
}

/// One listener's way into the gates.
#[derive(Debug)]
pub(crate) struct ListenerGateway {
    pub(crate) shared: Arc<Registry>,
    pub(crate) listener: Arc<str>,
    pub(crate) limits: ListenerLimits,
}

/// The decision about a request, before it is written to the wire.
struct Decision {
    outcome: RequestOutcome,
    reply: Reply,
    why: String,
    event: Option<EventId>,
    /// The begin and the end of storing the event.
    stored: Option<(Instant, Instant)>,
    /// The key by which a duplicate was recognised.
    repeats: Option<DedupKey>,
}

#[async_trait]
impl ProxyHttp for ListenerGateway {
    /// The control of the connection below, under HTTP/1.
    type CTX = Option<Control>;

    fn new_ctx(&self) -> Self::CTX {
        None
    }

    /// Does nothing: pingora would add a compression module to every request.
    fn init_downstream_modules(&self, _modules: &mut pingora::modules::http::HttpModules) {}

    /// Takes the control that `http1` has put on the session; called once the head is read.
    fn on_connection_reuse(
        &self,
        _session: &mut Session,
        wire: &mut Self::CTX,
        context: Box<dyn std::any::Any + Send + Sync>,
    ) {
        *wire = context.downcast::<Control>().ok().map(|control| *control);
    }

    async fn early_request_filter(&self, session: &mut Session, _wire: &mut Self::CTX) -> pingora::Result<()> {
        session.set_write_timeout(Some(WRITE_TIMEOUT));
        let keepalive = session.get_keepalive().filter(|_| !self.shared.draining.load(Ordering::Relaxed));
        // Bytes behind a chunked body must not become a request, however the body was read.
        let is_chunked = session.req_header().headers.contains_key(http::header::TRANSFER_ENCODING);
        let is_kept = !is_chunked && !self.limits.keep_alive.is_zero();
        session.set_keepalive(keepalive.filter(|_| is_kept).map(|_| KEEPALIVE_SECS));
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, wire: &mut Self::CTX) -> pingora::Result<bool> {
        let started = Instant::now();
        let in_flight = self.shared.telemetry.in_flight(&self.listener);
        let rules = self.shared.rules.load_full();
        let mut notes = Notes::default();
        let mut seen = Seen {
            wire: wire.clone(),
            lane: None,
            body: None,
            begun: None,
            sender: Self::peer(session),
            received: None,
        };
        let decision = self.decide(session, &rules, &mut notes, &mut seen).await;
        if let Some(wire) = wire
            && session.as_downstream_mut().is_body_done()
        {
            wire.message_is_whole();
        }
        let written = write::write(&decision.reply, session.as_downstream_mut()).await;
        // Looked up after the answer, which does not wait for it.
        let first_event = account::first_event(&self.shared, decision.repeats).await;
        let (head, sender) = (session.as_downstream().req_header(), Sender::of(seen.sender));
        let host = framing::host(head).ok();
        let path = rules.path_shown(seen.lane, head.uri.path());
        let request = AnsweredRequest {
            source: seen.lane.map(|lane| &*lane.source.name),
            outcome: decision.outcome,
            status: if written.is_ok() { decision.reply.status } else { 0 },
            why: &decision.why,
            event: decision.event,
            first_event,
            called: Called { method: head.method.as_str(), host: host.as_deref(), path: &path },
            notes: &notes,
            sender: seen.sender,
            is_known_sender: seen.lane.is_some_and(|lane| lane.watch.knows(sender)),
            body_bytes: seen.body.as_ref().map_or(0, Bytes::len),
            took: started.elapsed(),
            headers: &head.headers,
            commit: decision.stored.map(|(from, to)| Commit { after: from - started, took: to - from }),
        };
        let now = self.shared.clock.now();
        self.shared.telemetry.request(&request, now);
        if let Some(lane) = seen.lane {
            account::verification(&self.shared, lane, (notes.verdict, sender), now);
        }
        if let Some(lane) =
            seen.lane.filter(|_| budget::counts(request.outcome) && request.status != 0 && notes.verdict.is_some())
        {
            let is_success =
                lane.provider.as_ref().map_or(request.status / 100 == 2, |row| row.is_success(request.status));
            let is_verified = notes.secret.is_some();
            let answered = budget::Answered { is_success, is_verified, took: request.took };
            let recorded = lane.budget.record(answered, now);
            self.shared.telemetry.budget(&lane.source.name, &recorded);
        }
        drop(in_flight);
        if written.is_ok() && session.as_downstream().is_http2() {
            linger::drain(session.as_downstream_mut(), self.limits.body_timeout).await;
        }
        written.map(|()| true)
    }

    /// Is never reached: `request_filter` answers everything.
    async fn upstream_peer(&self, _session: &mut Session, _wire: &mut Self::CTX) -> pingora::Result<Box<HttpPeer>> {
        Err(Error::explain(ErrorType::HTTPStatus(404), "this gateway forwards nothing unverified"))
    }

    /// Suppresses pingora's error log: `telemetry` logs each request once.
    fn suppress_error_log(&self, _session: &Session, _wire: &Self::CTX, _error: &Error) -> bool {
        true
    }
}

/// Facts about a request that the gates find, for the access log.
struct Seen<'a> {
    /// The control of the connection below, under HTTP/1.
    wire: Option<Control>,
    lane: Option<&'a SourceRules>,
    /// The whole body.
    body: Option<Bytes>,
    /// The beginning of a body that was not read to its end.
    begun: Option<body::BodyBeginning>,
    sender: std::net::IpAddr,
    /// The time at which the last byte of the body had arrived.
    received: Option<Timestamp>,
}

impl ListenerGateway {
    fn peer(session: &Session) -> std::net::IpAddr {
        let address = session.as_downstream().client_addr().and_then(|address| address.as_inet());
        address.map_or(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), std::net::SocketAddr::ip)
    }

    async fn decide<'a>(
        &self,
        session: &mut Session,
        rules: &'a Rules,
        notes: &mut Notes,
        seen: &mut Seen<'a>,
    ) -> Decision {
        let mut decision = match self.pass_gates(session, rules, notes, seen).await {
            Ok(decision) => decision,
            Err(refusal) => Decision {
                outcome: RequestOutcome::Refused(refusal.class),
                reply: Reply::refusal(&refusal, seen.lane.map(|lane| &lane.source)),
                why: refusal.why.into_owned(),
                event: None,
                stored: None,
                repeats: None,
            },
        };
        let head = session.as_downstream().req_header();
        account::name(notes, seen, &head.headers);
        captured::lay(&self.shared, head, seen, notes, &mut decision);
        decision
    }

    async fn pass_gates<'a>(
        &self,
        session: &mut Session,
        rules: &'a Rules,
        notes: &mut Notes,
        seen: &mut Seen<'a>,
    ) -> Result<Decision, Refusal> {
        framing::check(session.as_downstream(), &self.limits, &self.listener)?;
        // The head is copied, because reading the body needs the session for itself.
        let request = session.as_downstream().req_header().clone();
        seen.sender = crate::inbound::sender(seen.sender, &request.headers, &rules.trusted_proxies);
        let host = framing::host(&request)?;
        let head = framing::head(&request, &host, seen.sender)?;
        let admitted = accept::admit(rules, &rules.gatekeeper, head).map_err(|(lane, refusal)| {
            seen.lane = lane;
            refusal
        })?;
        let lane = admitted.lane();
        seen.lane = Some(lane);
        if self.shared.draining.load(Ordering::Relaxed) && !self.shared.buffer.stats().open {
            return Err(Refusal::new(Class::Draining, "the gateway is stopping"));
        }
        let read = self.read_body(session, &lane.source, head.content_length, seen.wire.clone()).await;
        let (body, _held) = read.map_err(|unread| {
            seen.begun = unread.begun;
            unread.refusal
        })?;
        seen.body = Some(body.clone());
        let (now, received) = (self.shared.clock.now(), Instant::now());
        seen.received = Some(now);
        let judge = judge::Judge { shared: &self.shared, admitted: &admitted, body: &body, now };
        match judge.accept(notes).await? {
            Accepted::Handshake(handshake) => self.answer_handshake(*handshake, lane).await,
            Accepted::Filtered => {
                let outcome = RequestOutcome::Filtered;
                Ok(Decision::answered(outcome, Reply::accepted(outcome, &lane.source, None)))
            }
            Accepted::Quarantined(event) => self.store(*event, &lane.source, RequestOutcome::Quarantined).await,
            Accepted::Event(event) => match lane.source.mode {
                Mode::Buffered => self.store(*event, &lane.source, RequestOutcome::Accepted).await,
                // A failed answer counts against the failure budget; storing and delivering the event does not.
                Mode::Sync { .. } if lane.budget.brakes(now) => {
                    self.store(*event, &lane.source, RequestOutcome::Accepted).await
                }
                Mode::Sync { deadline } => self.forward(*event, lane, received + deadline, notes).await,
            },
        }
    }

    /// Answers a handshake. A secret that the provider hands over is stored first; without that the handshake is
    /// refused.
    async fn answer_handshake(&self, mut handshake: HandshakeReply, lane: &SourceRules) -> Result<Decision, Refusal> {
        if let Some(secret) = handshake.captured.take() {
            let Some(file) = lane.desk.capture_to.clone() else {
                let why = "a secret is handed over, and the source has no `handshake.capture_to`";
                return Err(Refusal::new(Class::MissingSignature, why));
            };
            let kept = tokio::task::spawn_blocking(move || handover::keep(&file, &secret)).await;
            match kept {
                Ok(Ok(())) => {
                    tracing::warn!(source = %lane.source.name, "the provider's secret was captured from its handshake and is in force");
                    self.shared.rules_are_stale.notify_one();
                }
                Ok(Err(error)) => {
                    return Err(Refusal::new(Class::Internal, format!("the secret could not be kept: {error}")));
                }
                Err(error) => return Err(Refusal::new(Class::Internal, format!("the secret was not kept: {error}"))),
            }
        }
        if let Some(url) = handshake.open.take() {
            let Some(url) = subscribe_url(&url) else {
                return Err(Refusal::new(Class::BadSignature, "the URL to be opened is not one of the provider's"));
            };
            // Opened after the answer, which the provider waits for.
            self.shared.keyring.open_later(url, Arc::clone(&lane.source.name));
        }
        Ok(Decision::answered(RequestOutcome::Handshake, Reply::handshake(handshake)))
    }

    async fn read_body(
        &self,
        session: &mut Session,
        source: &Source,
        declared: Option<u64>,
        wire: Option<Control>,
    ) -> Result<(Bytes, body::Held), body::Unread> {
        let caps = body::Caps {
            wire,
            bytes_max: source.body_bytes_max,
            timeout: self.limits.body_timeout,
            budget: Arc::clone(&self.shared.bodies),
        };
        body::read(session.as_downstream_mut(), declared, caps).await
    }

    /// Commits, then answers: never the other way round.
    async fn store(&self, event: Event, source: &Source, outcome: RequestOutcome) -> Result<Decision, Refusal> {
        let (id, dedup) = (event.data().id, event.dedup());
        let from = Instant::now();
        let stored = self.shared.buffer.append(event).await;
        let decision = self.stored(stored, source, (outcome, id, dedup))?;
        Ok(Decision { stored: Some((from, Instant::now())), ..decision })
    }

    fn stored(
        &self,
        stored: Result<Committed, NotStored>,
        source: &Source,
        (outcome, id, dedup): (RequestOutcome, EventId, Option<DedupKey>),
    ) -> Result<Decision, Refusal> {
        let outcome = match stored {
            Ok(Committed::Stored) => outcome,
            Ok(Committed::SameId) => {
                self.shared.telemetry.same_id(&source.name);
                outcome
            }
            Ok(Committed::Duplicate) => RequestOutcome::Duplicate,
            Err(error) => {
                let class = match error {
                    NotStored::Full(_) => Class::BufferFull,
                    NotStored::Busy => Class::Overloaded,
                    NotStored::Failed => Class::Internal,
                };
                return Err(Refusal::new(class, error.to_string()));
            }
        };
        let id = (outcome != RequestOutcome::Duplicate).then_some(id);
        let reply = Reply::accepted(outcome, source, id);
        let repeats = dedup.filter(|_| outcome == RequestOutcome::Duplicate);
        Ok(Decision { outcome, reply, why: String::new(), event: id, stored: None, repeats })
    }

    /// Commits, then forwards: answers with the service's own answer if it comes in time, else with the accepted one.
    async fn forward(
        &self,
        event: Event,
        lane: &SourceRules,
        deadline: Instant,
        notes: &mut Notes,
    ) -> Result<Decision, Refusal> {
        let (id, dedup) = (event.data().id, event.dedup());
        let (committed, answer) = match self.shared.deliverer.forward(event, deadline).await {
            Ok(forwarded) => (Ok(forwarded.committed), forwarded.answer),
            Err(not_stored) => (Err(not_stored), SyncAnswer::Gateway),
        };
        let mut decision = self.stored(committed, &lane.source, (RequestOutcome::Accepted, id, dedup))?;
        if decision.outcome == RequestOutcome::Accepted {
            let by = match &answer {
                SyncAnswer::Service(_) => AnsweredBy::Service,
                SyncAnswer::Cut => AnsweredBy::Cut,
                SyncAnswer::Redirect => AnsweredBy::Redirect,
                SyncAnswer::Gateway => AnsweredBy::Gateway,
            };
            notes.answered_by = Some(by.label());
            self.shared.telemetry.sync_answer(&lane.source.name, by);
        }
        if let SyncAnswer::Service(answer) = answer {
            decision.reply = Reply::passed_back(answer.status, &answer.headers, answer.body, id);
        }
        Ok(decision)
    }
}

impl Decision {
    fn answered(outcome: RequestOutcome, reply: Reply) -> Self {
        Self { outcome, reply, why: String::new(), event: None, stored: None, repeats: None }
    }
}
