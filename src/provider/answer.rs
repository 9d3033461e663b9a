//! The written form of an answer, in a provider's row and under `answers:` of a source.
//!
//! The written form is checked here: valid headers, none that belongs to the gateway, and a body of bounded size that
//! is never HTML. Not here: the check that a status fits its outcome, which the reader of the file makes (a 2xx for
//! what was not stored would lose it).

use std::collections::BTreeMap;

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::Answer;

/// The longest body of an answer, in bytes.
const BODY_BYTES_MAX: usize = 4096;
/// The most headers of an answer.
const HEADERS_MAX: usize = 8;

/// The answer to an outcome.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerSpec {
    /// The status, from 200 to 599.
    #[schemars(range(min = 200, max = 599))]
    status: u16,
    /// The media type of `body`.
    content_type: Option<String>,
    /// The body, at most 4KiB. Default: the gateway's own.
    body: Option<String>,
    /// More headers, at most 8.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The reason why this provider needs the answer.
    because: Option<String>,
}

/// The reason why an answer cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerProblem {
    /// Not a status to answer with.
    Status,
    /// Not a header, or one that the gateway sets itself.
    Header,
    /// Too long, or with a status that has none.
    Body,
    /// A browser would run it.
    Html,
}

impl std::fmt::Display for AnswerProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Status => "write a status from 200 to 599",
            Self::Header => "at most 8 headers, none of them one that the gateway sets itself",
            Self::Body => "a body has at most 4 KiB, and none with 204 or 304",
            Self::Html => "an answer is never HTML",
        })
    }
}

impl std::error::Error for AnswerProblem {}

impl AnswerSpec {
    /// Checks the written form.
    pub fn check(&self) -> Result<Answer, AnswerProblem> {
        let Self { status, content_type, body, headers, because } = self;
        if !(200..600).contains(status) {
            return Err(AnswerProblem::Status);
        }
        let length = body.as_ref().map_or(0, String::len);
        if length > BODY_BYTES_MAX || (length > 0 && matches!(status, 204 | 304)) {
            return Err(AnswerProblem::Body);
        }
        if headers.len() > HEADERS_MAX {
            return Err(AnswerProblem::Header);
        }
        let mut checked = Vec::with_capacity(headers.len() + 1);
        for (name, value) in headers {
            checked.push(header(name, value).ok_or(AnswerProblem::Header)?);
        }
        if let Some(media_type) = content_type {
            if is_html(media_type) {
                return Err(AnswerProblem::Html);
            }
            checked.push((CONTENT_TYPE, HeaderValue::from_str(media_type).map_err(|_invalid| AnswerProblem::Header)?));
        }
        Ok(Answer { status: *status, headers: checked, body: body.clone(), because: because.clone() })
    }
}

/// Returns whether a browser would run content of this media type.
pub(super) fn is_html(media_type: &str) -> bool {
    let media_type = media_type.to_ascii_lowercase();
    media_type.contains("html") || media_type.contains("svg") || media_type.contains("xsl")
}

/// Makes a header that a row may set; `None` for any other.
pub(super) fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let ours = name.as_str().starts_with("hookgate-")
        || [CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TRANSFER_ENCODING].contains(&name);
    if ours {
        return None;
    }
    Some((name, HeaderValue::from_str(value).ok()?))
}
