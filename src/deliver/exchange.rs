//! One request and its answer on one connection.
//!
//! The status decides: [`begin`] ends with it, while the body of the request may still be on its way out (`duplex`),
//! and [`Begun::finish`] reads the answer's body within its bounds. A body that breaks, does not end, or is too long
//! leaves a cut answer, never a failure. A connection is used again when the request was written and the answer read,
//! both to their ends. After an early 2xx the rest of the request is still written as long as the service takes it:
//! such a service may read while it answers. After any other early answer the connection is dropped.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use http::HeaderMap;
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::{Error, ErrorType};
use tokio::time::{Instant, timeout_at};

use super::attempt::{Answer, Bounds, NoAnswer, Outgoing, Target};
use super::connect::words_of;
use super::duplex::Duplex;
use crate::outcome::AttemptOutcome;

/// The most characters of a handshake's error.
const HANDSHAKE_CHARS_MAX: usize = 120;

/// An answer whose head has come.
pub(super) struct Begun {
    session: HttpSession,
    status: u16,
    headers: HeaderMap,
}

/// The error that ended an exchange before its final answer began.
pub(super) struct ExchangeFault {
    error: Box<Error>,
    /// True when an interim answer (1xx) had come: the service has seen the request.
    pub(super) is_answered: bool,
}

/// Sends the request and reads the head of its final answer.
pub(super) async fn begin(stream: Stream, target: &Target, out: &Outgoing<'_>) -> Result<Begun, ExchangeFault> {
    let mut session = HttpSession::new(Box::new(Duplex::new(stream, out.body.clone())));
    let head = match head_of(&mut session, target, out).await {
        Ok(head) => head,
        Err(error) => return Err(ExchangeFault { error, is_answered: session.resp_header().is_some() }),
    };
    let (status, headers) = head;
    Ok(Begun { session, status, headers })
}

async fn head_of(
    session: &mut HttpSession,
    target: &Target,
    out: &Outgoing<'_>,
) -> Result<(u16, HeaderMap), Box<Error>> {
    session.write_request_header(Box::new(header_block(target, out)?)).await?;
    loop {
        session.read_response().await?;
        let Some(head) = session.resp_header() else { return Error::e_explain(ErrorType::ReadError, "no answer") };
        let status = head.status.as_u16();
        if !(100..200).contains(&status) {
            return Ok((status, head.headers.clone()));
        }
    }
}

impl Begun {
    /// Reads the body of the answer, until `deadline` at most. Returns the connection where it can be used again.
    pub(super) async fn finish(mut self, bounds: Bounds, deadline: Instant) -> (Answer, Option<Stream>) {
        let until = deadline.min(Instant::now() + bounds.answer_time);
        let mut body = BytesMut::new();
        let reading = read_body(&mut self.session, bounds.answer_bytes_max, &mut body);
        let read = timeout_at(until, reading).await.ok().and_then(Result::ok).flatten();
        let is_whole = read.is_some_and(|bytes| bytes <= bounds.answer_bytes_max);
        let answer = Answer { status: self.status, headers: self.headers, body: body.freeze(), is_whole };
        self.session.respect_keepalive();
        let is_kept = read.is_some() && self.session.will_keepalive();
        let is_taken = AttemptOutcome::of_status(self.status) == AttemptOutcome::Success;
        let Ok(duplex) = self.session.into_inner().into_any().downcast::<Duplex>() else { return (answer, None) };
        match duplex.into_sent() {
            Ok(stream) => (answer, is_kept.then_some(stream)),
            Err(unsent) => {
                if is_taken {
                    unsent.send_rest(deadline).await;
                }
                (answer, None)
            }
        }
    }
}

/// Reads the body into `body`, which takes `bytes_max`; as much again is read and dropped. Returns the length, or
/// `None` when the body is longer than that.
async fn read_body(
    session: &mut HttpSession,
    bytes_max: usize,
    body: &mut BytesMut,
) -> Result<Option<usize>, Box<Error>> {
    let mut read = 0_usize;
    while let Some(chunk) = session.read_body_ref().await? {
        read = read.saturating_add(chunk.len());
        let room = bytes_max.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
        if read > bytes_max.saturating_mul(2) {
            return Ok(None);
        }
    }
    Ok(Some(read))
}

fn header_block(target: &Target, out: &Outgoing<'_>) -> Result<RequestHeader, Box<Error>> {
    let path = target.request_target(out.query);
    let mut head = RequestHeader::build(out.method, path.as_bytes(), Some(out.headers.len() + 2))?;
    head.insert_header(http::header::HOST, target.authority())?;
    for (name, value) in out.headers {
        head.append_header(name.clone(), value.clone())?;
    }
    head.insert_header(http::header::CONTENT_LENGTH, out.body.len())?;
    Ok(head)
}

impl ExchangeFault {
    /// Returns the outcome and the text of the attempt. The text names the address.
    pub(super) fn told(&self, address: SocketAddr) -> NoAnswer {
        no_answer(&self.error, address)
    }
}

/// Describes an error of pingora. Its own texts are left out: some quote received bytes.
pub(super) fn no_answer(error: &Error, address: SocketAddr) -> NoAnswer {
    let io = error.root_cause().downcast_ref::<std::io::Error>();
    let because = io.map(|io| format!(" ({})", words_of(io))).unwrap_or_default();
    let (outcome, detail) = match &error.etype {
        // A service that wants another client certificate says so after the handshake has ended for us (TLS 1.3).
        _ if is_of_tls(error) => (AttemptOutcome::Tls, format!("TLS with {address} failed{because}")),
        ErrorType::TLSHandshakeFailure
        | ErrorType::TLSHandshakeTimedout
        | ErrorType::InvalidCert
        | ErrorType::HandshakeError
        | ErrorType::TLSWantX509Lookup => {
            (AttemptOutcome::Tls, format!("TLS with {address} failed{}", why_no_handshake(error)))
        }
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => {
            (AttemptOutcome::Timeout, format!("no answer from {address}{because}"))
        }
        ErrorType::ConnectionClosed => {
            (AttemptOutcome::Connect, format!("{address} closed the connection without an answer"))
        }
        ErrorType::ReadError | ErrorType::WriteError => {
            (AttemptOutcome::Connect, format!("the connection to {address} broke before an answer{because}"))
        }
        ErrorType::InvalidHTTPHeader => {
            (AttemptOutcome::Connect, format!("what came from {address} is no answer of HTTP/1.1"))
        }
        other => (AttemptOutcome::Connect, format!("nothing came of a request to {address}: {}", other.as_str())),
    };
    NoAnswer { outcome, detail }
}

/// Extracts the cause of a failed handshake from pingora's error, which has it as text only, behind pingora's own
/// words. Returns an empty text where there is no cause.
fn why_no_handshake(error: &Error) -> String {
    let context = error.context.as_ref().map(pingora::ImmutStr::as_str).unwrap_or_default();
    let Some((_, why)) = context.rsplit_once(" cause: ") else { return String::new() };
    let why = why.rsplit_once(", SNI: ").map_or(why, |(why, _)| why);
    let why: String = why.chars().filter(|c| !c.is_control()).take(HANDSHAKE_CHARS_MAX).collect();
    format!(" ({why})")
}

/// Returns whether the connection ended with an error of TLS.
fn is_of_tls(error: &Error) -> bool {
    let io = error.root_cause().downcast_ref::<std::io::Error>();
    io.and_then(std::io::Error::get_ref).is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}

/// Builds the error of a handshake that does not end.
pub(super) fn no_handshake(address: SocketAddr, within: Duration) -> NoAnswer {
    NoAnswer { outcome: AttemptOutcome::Tls, detail: format!("TLS with {address} was not set up within {within:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: &Error) -> (AttemptOutcome, String) {
        let NoAnswer { outcome, detail } = no_answer(error, "[::1]:8443".parse().unwrap());
        (outcome, detail)
    }

    #[test]
    fn a_failure_is_told_once_in_our_words_and_names_the_address() {
        let reset = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let handshake = "TLS connect() failed:  TLSHandshakeFailure context: tls connect error cause: \
                         invalid peer certificate: UnknownIssuer, SNI: svc";
        let cases = [
            (
                Error::explain(ErrorType::ConnectionClosed, "while reading response headers, bytes already read: 0"),
                (AttemptOutcome::Connect, "[::1]:8443 closed the connection without an answer"),
            ),
            (
                Error::because(ErrorType::ReadError, "while reading response headers", reset()),
                (AttemptOutcome::Connect, "the connection to [::1]:8443 broke before an answer (reset)"),
            ),
            (
                Error::explain(ErrorType::InvalidHTTPHeader, "buf: {\"card\":\"4111\"}"),
                (AttemptOutcome::Connect, "what came from [::1]:8443 is no answer of HTTP/1.1"),
            ),
            (
                Error::explain(ErrorType::TLSHandshakeFailure, handshake),
                (AttemptOutcome::Tls, "TLS with [::1]:8443 failed (invalid peer certificate: UnknownIssuer)"),
            ),
        ];
        for (error, (outcome, detail)) in cases {
            assert_eq!(told(&error), (outcome, detail.to_owned()));
        }
    }
}
