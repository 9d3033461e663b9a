//! Events as GitHub sends and signs them.

use std::sync::atomic::{AtomicU64, Ordering};

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Request, SECRET};

/// Returns a delivery id that no other event of this run has.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{:08x}-0000-4000-8000-{:012x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Computes HMAC-SHA256.
pub(crate) fn hmac(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// Computes HMAC-SHA256 in hex.
pub(crate) fn hmac_hex(secret: &str, message: &[u8]) -> String {
    HEXLOWER.encode(&hmac(secret.as_bytes(), message))
}

/// Returns a push, signed with [`SECRET`], with a delivery id of its own.
pub(crate) fn github(body: impl Into<Vec<u8>>) -> Request {
    let body = body.into();
    let signature = format!("sha256={}", hmac_hex(SECRET, &body));
    Request::new("POST", "/in/github", body)
        .with("Content-Type", "application/json")
        .with("X-GitHub-Event", "push")
        .with("X-GitHub-Delivery", unique())
        .with("X-Hub-Signature-256", signature)
}

/// Returns the value of a request's header, as text.
pub(crate) fn header_of(request: &Request, name: &str) -> String {
    let found = request.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

/// Returns bytes as text, for messages.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
