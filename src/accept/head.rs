//! The gates on the head: method, declared length, compression, content type, address, limits before verification.
//!
//! Not here: where the head comes from and how it is framed (`inbound`, `ingress`).

use crate::inbound::Head;
use crate::limit::Gatekeeper;
use crate::refusal::{Class, Refusal};
use crate::rules::SourceRules;
use crate::source::Source;

pub(super) fn no_source() -> Refusal {
    Refusal::new(Class::NotFound, "no source at this host and path")
}

/// Checks all but the sender.
pub(super) fn check(lane: &SourceRules, head: &Head<'_>) -> Result<(), Refusal> {
    let source = &lane.source;
    let brings_events = source.takes(head.method);
    if !brings_events && !lane.desk.takes(head.method) {
        return Err(wrong_method(source));
    }
    if head.content_length.is_some_and(|length| length > source.body_bytes_max) {
        let why = format!("declared body is larger than {} bytes", source.body_bytes_max);
        return Err(Refusal::new(Class::TooLarge, why));
    }
    if let Some(coding) = head.compression() {
        return Err(compressed(&coding));
    }
    if brings_events && !source.content_types.is_empty() {
        let media_type = head.media_type().unwrap_or_default();
        if !source.content_types.contains(&media_type) {
            return Err(Refusal::new(Class::BadContentType, "content type is not on the source's list"));
        }
    }
    Ok(())
}

/// Checks that the method is one of events, after a method that only handshakes have.
pub(super) fn check_brings_events(lane: &SourceRules, head: &Head<'_>) -> Result<(), Refusal> {
    if lane.source.takes(head.method) { Ok(()) } else { Err(wrong_method(&lane.source)) }
}

pub(super) fn check_address(lane: &SourceRules, head: &Head<'_>) -> Result<(), Refusal> {
    if lane.source.allows(head.sender) {
        return Ok(());
    }
    Err(Refusal::new(Class::IpDenied, "sender's address is not on the source's list"))
}

/// Spends the limits by sender and in total.
pub(super) fn check_sender(gate: &Gatekeeper, head: &Head<'_>) -> Result<(), Refusal> {
    gate.check(head.sender).map_err(|wait| {
        let mut refusal = Refusal::new(Class::RateLimited, "limit by sender address or in total, before verification");
        refusal.retry_after_secs = Some(wait.secs());
        refusal
    })
}

fn compressed(coding: &str) -> Refusal {
    let why =
        format!("the body is compressed ({coding}); bodies are read and forwarded as they come, so send it plain");
    let refusal = Refusal::new(Class::BadContentType, why.clone()).telling("Content coding not accepted", why);
    refusal.with_header("accept-encoding", "identity")
}

fn wrong_method(source: &Source) -> Refusal {
    Refusal::new(Class::MethodNotAllowed, format!("method is not one of {}", source.methods.join(", ")))
}
