//! The beginning of a destination's answer, kept with the delivery for people to read.
//!
//! One answer is kept per delivery: the last one that was not a success with an empty body. The destination's
//! `keep_answer` bounds its bytes. The bytes count as the event's, so that `max_size` bounds them, and are removed with
//! the event.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::HeaderBytes;

/// The longest stored header of an answer, in bytes; the rest is cut off.
const HEADER_BYTES_MAX: usize = 200;
/// The approximate stored size of a kept answer without its texts and its body, in bytes.
const FIXED_BYTES: usize = 16;

/// The beginning of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// The time at which the answer came, in milliseconds since 1970.
    pub at_ms: u64,
    /// The status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding` of the answer; the body's bytes are kept as received.
    pub content_encoding: Option<String>,
    /// True when `body` is all of the answer's body.
    pub is_whole: bool,
    /// The beginning of the body; [`KeptAnswer::body`] gives its bytes.
    pub body: HeaderBytes,
}

impl KeptAnswer {
    /// Builds an answer without headers; keeps at most `bytes_max` bytes of `body`.
    pub fn new((status, at): (u16, Timestamp), (body, is_whole): (&Bytes, bool), bytes_max: usize) -> Self {
        let kept = body.get(..bytes_max).unwrap_or(body);
        Self {
            at_ms: at.unix_ms(),
            status,
            content_type: None,
            content_encoding: None,
            is_whole: is_whole && kept.len() == body.len(),
            // A slice would keep the whole answer in memory.
            body: HeaderBytes(Bytes::copy_from_slice(kept)),
        }
    }

    /// Adds these headers, each cut to its first 200 bytes.
    #[must_use]
    pub fn with_headers(self, content_type: Option<&str>, content_encoding: Option<&str>) -> Self {
        let cut = |text: &str| text.get(..text.floor_char_boundary(HEADER_BYTES_MAX)).unwrap_or(text).to_owned();
        Self { content_type: content_type.map(cut), content_encoding: content_encoding.map(cut), ..self }
    }

    /// Returns the beginning of the body, byte for byte.
    pub fn body(&self) -> &Bytes {
        &self.body.0
    }

    /// Returns the approximate size on disk, in bytes.
    pub(crate) fn stored_bytes(&self) -> u32 {
        let texts = [&self.content_type, &self.content_encoding].into_iter().flatten().map(String::len).sum::<usize>();
        u32::try_from(FIXED_BYTES + texts + self.body.0.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_cut_at_the_bound_and_says_so() {
        let body = Bytes::from_static(b"0123456789");
        let kept = |bytes_max| KeptAnswer::new((500, Timestamp::from_unix_ms(7)), (&body, true), bytes_max);
        assert_eq!((&kept(4).body()[..], kept(4).is_whole), (&b"0123"[..], false));
        assert_eq!((kept(10).body().len(), kept(10).is_whole), (10, true));
        assert_eq!(kept(0).body().len(), 0);
    }
}
