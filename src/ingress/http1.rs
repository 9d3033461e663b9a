//! A connection under HTTP/1, from its first byte to its end.
//!
//! Each head is read here, within the listener's bounds and deadlines (`wire`), and only then given to pingora. A
//! connection may be silent for `keep_alive` before each request, the first one too: balancers open connections before
//! they need them. The number of connections bounds the cost of silent ones.
//!
//! A refused head is answered, counted and logged here, because pingora never sees it.

use std::net::IpAddr;
use std::time::Duration;

use http::HeaderMap;
use pingora::apps::{HttpPersistentSettings, HttpServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use tokio::time::Instant;

use super::listen::{Listening, REQUESTS_PER_CONNECTION};
use super::wire::{HeadRead, Wire};
use super::{WRITE_TIMEOUT, write};
use crate::accept::Notes;
use crate::refusal::{Refusal, RequestOutcome};
use crate::reply::Reply;
use crate::telemetry::{AnsweredRequest, Called};

impl Listening {
    /// Serves a connection until one side ends it.
    pub(super) async fn http1(&self, stream: Stream, sender: IpAddr) {
        let mut wire = Wire::new(stream, self.limits.body_timeout);
        let mut closing = self.closing.subscribe();
        let mut settings: Option<HttpPersistentSettings> = None;
        let mut patience = self.limits.patience();
        loop {
            let head = tokio::select! {
                // Bytes that have come are served first.
                biased;
                head = wire.head(&self.limits, patience) => head,
                _ = closing.wait_for(|closing| *closing) => return,
            };
            match head {
                HeadRead::Whole => {}
                HeadRead::Faulty(fault) => {
                    return self.refuse(wire, fault.refusal(&self.limits, &self.name), sender).await;
                }
                HeadRead::Ended => return,
            }
            let control = wire.control();
            let mut session = ServerSession::new_http1(Box::new(wire));
            match settings.take() {
                Some(settings) => settings.apply_to_session(&mut session),
                None => session.set_keepalive_reuses_remaining(Some(REQUESTS_PER_CONNECTION)),
            }
            session.set_connection_user_context(Some(Box::new(control)));
            let Some(reused) = self.proxy.process_new_http(session, &self.stop).await else { return };
            let (stream, persistent) = reused.consume();
            let Ok(same) = stream.into_any().downcast::<Wire>() else { return };
            (wire, settings) = (*same, persistent);
            patience = self.limits.keep_alive;
        }
    }

    async fn refuse(&self, wire: Wire, refusal: Refusal, sender: IpAddr) {
        let started = Instant::now();
        let mut session = ServerSession::new_http1(Box::new(wire));
        session.set_write_timeout(Some(WRITE_TIMEOUT));
        let reply = Reply::refusal(&refusal, None);
        let written = write::write(&reply, &mut session).await;
        let request = AnsweredRequest {
            source: None,
            outcome: RequestOutcome::Refused(refusal.class),
            status: if written.is_ok() { reply.status } else { 0 },
            why: &refusal.why,
            event: None,
            first_event: None,
            // The parts of a refused head are not known.
            called: Called { method: "", host: None, path: "" },
            is_known_sender: false,
            notes: &Notes::default(),
            sender,
            body_bytes: 0,
            took: started.elapsed(),
            headers: &HeaderMap::new(),
            commit: None,
        };
        self.shared.telemetry.request(&request, self.shared.clock.now());
        if let Err(error) = session.finish().await {
            tracing::debug!(%error, "the sender went away");
        }
    }
}

impl super::ListenerLimits {
    /// Returns the longest time that a connection may be silent before its first request.
    pub(super) fn patience(&self) -> Duration {
        self.keep_alive.max(self.header_timeout)
    }
}
