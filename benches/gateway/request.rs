//! A signed GitHub delivery as bytes on the wire, made once and sent many times.
//!
//! Only the delivery id changes between two sends. GitHub signs the body alone, so the signature stays right.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::ops::Range;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// The last digits of a UUID, used as a counter of the connection and its sends. UUIDs of version 7 of one millisecond
/// differ in these digits only, so the counter alone makes ids unique.
const COUNTER_DIGITS: usize = 12;
const SENDS_BITS: u32 = 32;

/// The parts of a request.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    pub(crate) host: SocketAddr,
    pub(crate) path: &'a str,
    pub(crate) event: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) body: &'a [u8],
}

/// Header and body in one buffer, ready for one `write`.
#[derive(Debug)]
pub(crate) struct Request {
    wire: Vec<u8>,
    counter_at: Range<usize>,
    counter: u64,
}

impl Request {
    /// Signs and renders `delivery` for the connection of this number.
    pub(crate) fn new(delivery: &Delivery<'_>, connection: u16) -> io::Result<Self> {
        let Delivery { host, path, event, secret, body } = delivery;
        let id = Uuid::now_v7();
        let mut wire = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nX-GitHub-Delivery: {id}").into_bytes();
        let counter_at = wire.len() - COUNTER_DIGITS..wire.len();
        write!(
            wire,
            "\r\nUser-Agent: GitHub-Hookshot/044aadd\r\nAccept: */*\r\nContent-Type: application/json\r\n\
             X-GitHub-Event: {event}\r\nX-GitHub-Hook-ID: 292430182\r\n\
             X-Hub-Signature-256: sha256={}\r\nContent-Length: {}\r\n\r\n",
            signature(secret.as_bytes(), body)?,
            body.len()
        )?;
        wire.extend_from_slice(body);
        Ok(Self { wire, counter_at, counter: u64::from(connection) << SENDS_BITS })
    }

    /// Returns the bytes to send next, with a delivery id that no other request has.
    pub(crate) fn next_wire(&mut self) -> io::Result<&[u8]> {
        self.counter += 1;
        if let Some(mut digits) = self.wire.get_mut(self.counter_at.clone()) {
            write!(digits, "{:0COUNTER_DIGITS$x}", self.counter)?;
        }
        Ok(&self.wire)
    }
}

fn signature(secret: &[u8], body: &[u8]) -> io::Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(io::Error::other)?;
    mac.update(body);
    Ok(HEXLOWER.encode(&mac.finalize().into_bytes()))
}
