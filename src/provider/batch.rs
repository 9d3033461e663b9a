//! `hookgate verify --batch`: recorded requests with their secrets in, one verdict per request out.
//!
//! The input has the published format of verification vectors. The expected result of a case is not read: a verdict
//! that had seen it would prove nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::message::Message;
use super::row::Row;
use super::table::Table;
use super::verified::Verified;
use super::verify::Verifier;
use crate::clock::Timestamp;
use crate::secret::{Secret, SecretName};

/// One recorded request; members that are not listed here are ignored.
#[derive(Debug, Deserialize)]
struct Case {
    provider: String,
    #[serde(rename = "case")]
    name: String,
    #[serde(default)]
    secrets: Vec<CaseSecret>,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body_base64: Option<String>,
    body_file: Option<PathBuf>,
    now_unix: u64,
}

#[derive(Debug, Deserialize)]
struct CaseSecret {
    label: String,
    kind: String,
    value: String,
}

/// The verdict on one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchLine {
    /// The provider of the case.
    pub provider: String,
    /// The name of the case.
    pub case: String,
    /// `verified` or `failed`.
    pub verdict: &'static str,
    /// The label of the failure; empty if there is none.
    pub reason: &'static str,
    /// The label of the secret that matched; empty when none did.
    pub secret: String,
}

/// The reason why a batch cannot be run.
#[derive(Debug)]
pub enum BatchProblem {
    /// Not a list of cases.
    Json(serde_json::Error),
    /// A case whose body is missing or not base64.
    Body {
        /// The name of the case.
        case: String,
    },
}

impl fmt::Display for BatchProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(problem) => write!(f, "not a list of cases: {problem}"),
            Self::Body { case } => write!(f, "case `{case}`: its body is not there or not base64"),
        }
    }
}

impl std::error::Error for BatchProblem {}

/// Verifies every case. Files of bodies are looked up relative to `dir`.
pub fn batch(cases_json: &str, dir: &Path, table: &Table) -> Result<Vec<BatchLine>, BatchProblem> {
    let cases: Vec<Case> = serde_json::from_str(cases_json).map_err(BatchProblem::Json)?;
    cases.into_iter().map(|case| judge(case, dir, table)).collect()
}

fn judge(case: Case, dir: &Path, table: &Table) -> Result<BatchLine, BatchProblem> {
    let outcome = verify(&case, dir, table)?;
    let (verdict, reason, secret) = match outcome {
        Ok(verified) => ("verified", "", verified.secret().map_or_else(String::new, |name| name.as_str().to_owned())),
        Err(reason) => ("failed", reason, String::new()),
    };
    Ok(BatchLine { provider: case.provider, case: case.name, verdict, reason, secret })
}

/// Verifies one case. The outer error stops the batch, the inner one is the verdict. A case names a provider, but not
/// the version of its signature: all versions are tried. A source has one of them.
fn verify(case: &Case, dir: &Path, table: &Table) -> Result<Result<Verified, &'static str>, BatchProblem> {
    let Some(row) = table.get(&case.provider) else { return Ok(Err("unknown_provider")) };
    let verdict = verify_by(row, case, dir)?;
    for other in table.rows().filter(|other| other.version_of() == Some(row.id())) {
        if verdict.is_err()
            && let Ok(verified) = verify_by(other, case, dir)?
        {
            return Ok(Ok(verified));
        }
    }
    Ok(verdict)
}

fn verify_by(row: &Row, case: &Case, dir: &Path) -> Result<Result<Verified, &'static str>, BatchProblem> {
    let unknown_key = Failure::UnknownKey.label();
    let mut secrets = Vec::new();
    let mut context = BTreeMap::new();
    for CaseSecret { label, kind, value } in &case.secrets {
        if matches!(kind.as_str(), "context" | "id") {
            context.insert(label.clone(), value.clone());
            continue;
        }
        match Secret::new(SecretName::new(label), value.clone().into_bytes()) {
            Some(secret) => secrets.push(secret),
            None => return Ok(Err(unknown_key)),
        }
    }
    let Ok(verifier) = Verifier::new(row.scheme().clone(), secrets, context) else { return Ok(Err(unknown_key)) };
    // A header that HTTP does not allow never reaches verification.
    let Some(headers) = headers(case) else { return Ok(Err("malformed_header")) };
    let body = body(case, dir).ok_or_else(|| BatchProblem::Body { case: case.name.clone() })?;
    let message = Message { method: &case.method, url: &case.url, headers: &headers, body: &body };
    let verdict = verifier.verify(&message, Timestamp::from_unix_secs(case.now_unix));
    Ok(verdict.map_err(|failure| failure.label()))
}

fn headers(case: &Case) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &case.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    Some(headers)
}

fn body(case: &Case, dir: &Path) -> Option<Vec<u8>> {
    match (&case.body_base64, &case.body_file) {
        (Some(text), _) => BASE64.decode(text.as_bytes()).ok(),
        (None, Some(file)) => std::fs::read(dir.join(file)).ok(),
        (None, None) => Some(Vec::new()),
    }
}
