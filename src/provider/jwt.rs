//! Tokens that the provider signs: a JWT in a header, whose claims tie it to this message.
//!
//! Order: form, signature, claims, and only then the times. The body counts as covered when a claim binds its hash, or
//! when the body is the token. Claims are compared in constant time; a hash is compared decoded, so that hexadecimal may
//! have either case and base64url may be padded or not.

use std::time::Duration;

use data_encoding::{BASE64, BASE64URL, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use serde_json::{Map, Value};

use super::failure::{Failure, MessagePlace, PartFault};
use super::filter::ValueFilter;
use super::jws::{Jws, JwsAlgorithm, JwsPayload, object};
use super::key::{BlockKey, KeyForm};
use super::keys::Fetched;
use super::mac::same;
use super::message::{View, text};
use super::template::{Source, Template};
use super::verify::Match;
use crate::clock::Timestamp;

/// A signed token and what it has to claim.
#[derive(Clone, Debug)]
pub(super) struct Jwt {
    pub(super) at: Source,
    pub(super) prefix: String,
    /// All for shared secrets, or all for public keys.
    pub(super) algorithms: Vec<JwsAlgorithm>,
    pub(super) key: KeyForm,
    pub(super) claims: Vec<Claim>,
    /// Claims that must be there, with whatever value.
    pub(super) require_claims: Vec<String>,
    pub(super) times: Times,
}

/// A claim and what it must say.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) name: String,
    /// True if the claim may be absent when there is no body.
    pub(super) with_body: bool,
    pub(super) value: Template,
}

/// The times at which a token is valid.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    /// The longest time since it was issued; `iat` has to be there.
    pub(super) max_age: Option<Duration>,
    /// The longest time by which its issue may lie ahead of our clock.
    pub(super) future: Option<Duration>,
    pub(super) require_exp: bool,
    pub(super) leeway: Duration,
}

impl Jwt {
    pub(super) fn verify(
        &self,
        view: &View<'_>,
        keys: &[BlockKey],
        fetched: Fetched<'_>,
        now: Timestamp,
    ) -> Result<Match, Failure> {
        let place = self.at.place();
        let written = view.value(&self.at)?.ok_or_else(|| Failure::Missing(place.clone()))?;
        let written = text(&written, &self.at)?;
        let written = if matches!(self.at, Source::Body) { written.trim_ascii() } else { written };
        if written.is_empty() {
            return Err(Failure::malformed(place, PartFault::Empty));
        }
        let token = without_prefix(written, &self.prefix)
            .ok_or_else(|| Failure::malformed(place.clone(), PartFault::NoPrefix))?;
        let jws = Jws::parse(token, &self.algorithms, JwsPayload::Inside, &place)?;
        let id = jws.key_id(&place)?;
        let chosen = fetched.choose(keys, &View { key_id: id.map(str::as_bytes), ..*view })?;
        let found = chosen.settle(jws.verify(&chosen.keys, id, None).map(Match::by_secret))?;
        let claims =
            object(&jws.payload(&place)?).ok_or_else(|| Failure::malformed(place.clone(), PartFault::NotAJws))?;
        for claim in &self.claims {
            claim.check(&claims, view, &place)?;
        }
        if self.require_claims.iter().any(|name| claims.get(name).is_none_or(Value::is_null)) {
            return Err(Failure::malformed(place, PartFault::NoClaim));
        }
        let signed_at = self.times.judge(&claims, now, &place)?;
        let bound = self.claims.iter().any(|claim| claim.value.covers_body());
        Ok(Match { signed_at, covers_body: bound || matches!(self.at, Source::Body), ..found })
    }
}

/// Returns the text after the prefix; the name of an authentication scheme has no case.
fn without_prefix<'t>(written: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = written.split_at_checked(prefix.len())?;
    let is_scheme = prefix.ends_with(' ');
    (start == prefix || (is_scheme && start.eq_ignore_ascii_case(prefix))).then_some(rest)
}

impl Claim {
    fn check(&self, claims: &Map<String, Value>, view: &View<'_>, place: &MessagePlace) -> Result<(), Failure> {
        let claimed = match claims.get(&self.name) {
            Some(Value::String(text)) => text.clone(),
            Some(plain @ (Value::Number(_) | Value::Bool(_))) => plain.to_string(),
            None if self.with_body && view.message.body.is_empty() => return Ok(()),
            None => return Err(Failure::malformed(place.clone(), PartFault::NoClaim)),
            Some(Value::Null | Value::Array(_) | Value::Object(_)) => {
                return Err(Failure::malformed(place.clone(), PartFault::Unexpected));
            }
        };
        let expected = view.render(&self.value)?.concat();
        let equal = match self.value.last_filter() {
            Some(ValueFilter::Sha256Hex) => {
                decoded_same(&expected, &claimed, |text| HEXLOWER_PERMISSIVE.decode(text).ok())
            }
            Some(ValueFilter::Sha256B64) => decoded_same(&expected, &claimed, |text| BASE64.decode(text).ok()),
            Some(ValueFilter::Sha256B64url) => decoded_same(&expected, &claimed, |text| {
                BASE64URL.decode(text).or_else(|_| BASE64URL_NOPAD.decode(text)).ok()
            }),
            _ => same(&expected, claimed.as_bytes()),
        };
        if equal { Ok(()) } else { Err(Failure::WrongSecretOrBody) }
    }
}

fn decoded_same(expected: &[u8], claimed: &str, decode: impl Fn(&[u8]) -> Option<Vec<u8>>) -> bool {
    match (decode(expected), decode(claimed.as_bytes())) {
        (Some(expected), Some(claimed)) => same(&expected, &claimed),
        _ => false,
    }
}

impl Times {
    /// Returns when the token was issued, if the token says so; a failure if the token is not valid now.
    fn judge(
        &self,
        claims: &Map<String, Value>,
        now: Timestamp,
        place: &MessagePlace,
    ) -> Result<Option<Timestamp>, Failure> {
        let malformed = |fault| Failure::malformed(place.clone(), fault);
        let moment = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(Value::Number(number)) => seconds(number).map(Some).ok_or_else(|| malformed(PartFault::NotATime)),
            Some(_) => Err(malformed(PartFault::NotATime)),
        };
        let (issued, expires, starts) = (moment("iat")?, moment("exp")?, moment("nbf")?);
        if (self.require_exp && expires.is_none()) || (self.max_age.is_some() && issued.is_none()) {
            return Err(malformed(PartFault::NoClaim));
        }
        if let Some(expires) = expires
            && now >= expires.after(self.leeway)
        {
            // A token is void from the moment at which it expires.
            let by = now.since(expires.after(self.leeway)).max(Duration::from_millis(1));
            return Err(Failure::TooOld { by });
        }
        if let Some(starts) = starts
            && starts > now.after(self.leeway)
        {
            return Err(Failure::InFuture { by: starts.since(now.after(self.leeway)) });
        }
        if let (Some(age), Some(issued)) = (self.max_age, issued) {
            let (oldest, newest) = (age.saturating_add(self.leeway), self.future.unwrap_or(age));
            let beyond = |distance: Duration, most: Duration| distance.checked_sub(most).filter(|by| !by.is_zero());
            if let Some(by) = beyond(now.since(issued), oldest) {
                return Err(Failure::TooOld { by });
            }
            if let Some(by) = beyond(issued.since(now), newest) {
                return Err(Failure::InFuture { by });
            }
        }
        Ok(issued)
    }
}

/// Reads seconds since 1970, perhaps with a fraction.
fn seconds(number: &serde_json::Number) -> Option<Timestamp> {
    const LATEST: f64 = 253_402_300_800.0;
    if let Some(seconds) = number.as_u64() {
        return (seconds < 253_402_300_800).then(|| Timestamp::from_unix_secs(seconds));
    }
    let seconds = number.as_f64().filter(|seconds| (0.0..LATEST).contains(seconds))?;
    Some(Timestamp::from_unix_ms(Duration::from_secs_f64(seconds).as_millis().try_into().ok()?))
}
