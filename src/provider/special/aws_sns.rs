//! AWS SNS: RSA over `name\nvalue\n` lines of the message, with the certificate that the message names.
//!
//! The signed members depend on `Type`. `SignatureVersion` 1 is SHA-1, the default of topics; 2 is SHA-256. Both are
//! taken, because whoever could forge the one could forge the other. The certificate comes from SNS itself and nowhere
//! else. `MessageAttributes` and `UnsubscribeURL` are not signed, so the body does not count as covered.

use std::sync::LazyLock;

use data_encoding::BASE64;
use regex::Regex;
use serde_json::{Map, Value};

use super::{Needs, SecretForm, keys_at};
use crate::provider::border::refuse;
use crate::provider::failure::{Failure, MessagePlace, PartFault};
use crate::provider::jws::object;
use crate::provider::key::BlockKey;
use crate::provider::keys::Fetched;
use crate::provider::location::{HostPin, pinned_with_query};
use crate::provider::message::{MessageBytes, View};
use crate::provider::public::SignatureAlgorithm;
use crate::provider::scheme::{KeyFormSpec, KeysSpec, Unit};
use crate::provider::verify::Match;

const HOSTS: [&str; 2] = ["sns.*.amazonaws.com", "sns.*.amazonaws.com.cn"];

pub(super) const NEEDS: Needs = Needs { secrets: SecretForm::Public, json: true, ..Needs::NOTHING };

pub(super) fn keys() -> KeysSpec {
    KeysSpec {
        form: KeyFormSpec::X509,
        ending: Some(".pem".to_owned()),
        names: std::iter::once("sns.amazonaws.com").chain(HOSTS).map(str::to_owned).collect(),
        ..keys_at("{json:/SigningCertURL}", &HOSTS)
    }
}

/// The hosts of SNS by the shape of their region: `sns.s3.amazonaws.com` is somebody's bucket.
static OF_SNS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("^https://sns\\.[a-z]{2,}(-[a-z]+)+-[0-9]+\\.amazonaws\\.com(\\.cn)?(:443)?/")
        .expect("a constant pattern")
});

/// Returns the URL that confirms a subscription, if it is one of SNS: opening the URL reaches nobody else.
pub fn subscribe_url(url: &str) -> Option<String> {
    if !OF_SNS.is_match(url) {
        return None;
    }
    let hosts = HOSTS.iter().filter_map(|host| HostPin::parse(host)).collect::<Vec<_>>();
    pinned_with_query(url, &hosts)
}

pub(super) fn verify(view: &View<'_>, keys: &[BlockKey], fetched: Fetched<'_>) -> Result<Match, Failure> {
    let message =
        object(view.message.body).ok_or_else(|| Failure::malformed(MessagePlace::Body, PartFault::NotJson))?;
    let place = |name: &str| MessagePlace::Json(format!("/{name}"));
    let malformed = |name: &str, fault| Failure::malformed(place(name), fault);
    let algorithm = match member(&message, "SignatureVersion")? {
        "1" => SignatureAlgorithm::RsaSha1,
        "2" => SignatureAlgorithm::RsaSha256,
        _ => return Err(malformed("SignatureVersion", PartFault::Unexpected)),
    };
    let signed: &[&str] = match member(&message, "Type")? {
        "Notification" => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
        "SubscriptionConfirmation" | "UnsubscribeConfirmation" => {
            &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
        }
        _ => return Err(malformed("Type", PartFault::Unexpected)),
    };
    let mut pieces = Vec::with_capacity(signed.len() * 4);
    for &name in signed {
        // A notification may have no subject.
        if name == "Subject" && message.get(name).is_none_or(Value::is_null) {
            continue;
        }
        let value = member(&message, name)?;
        // The message may have lines of its own; its end is certain, because no other value has any.
        if name != "Message" {
            refuse(b'\n', value.as_bytes(), || place(name))?;
        }
        pieces.extend([name, "\n", value, "\n"].map(|piece| MessageBytes::Borrowed(piece.as_bytes())));
    }
    let certificate = member(&message, "SigningCertURL")?;
    if !OF_SNS.is_match(certificate) {
        return Err(malformed("SigningCertURL", PartFault::ForeignUrl));
    }
    let signature = BASE64.decode(member(&message, "Signature")?.as_bytes()).ok();
    let signature = signature.ok_or_else(|| malformed("Signature", PartFault::Encoding))?;
    let signed_at = Unit::Rfc3339.parse(member(&message, "Timestamp")?);
    let chosen = fetched.choose(keys, view)?;
    let right = |key: &BlockKey| match key {
        BlockKey::Set(set) => {
            set.all(algorithm).any(|key| key.verifies_any(algorithm, &pieces, std::iter::once(signature.as_slice())))
        }
        BlockKey::Mac(_) | BlockKey::Plain(_) | BlockKey::Invalid => false,
    };
    let found = chosen.keys.iter().position(right).ok_or(Failure::WrongSecretOrBody);
    let found = chosen.settle(found.map(Match::by_secret))?;
    Ok(Match { signed_at, ..found })
}

fn member<'m>(message: &'m Map<String, Value>, name: &str) -> Result<&'m str, Failure> {
    let place = || MessagePlace::Json(format!("/{name}"));
    match message.get(name) {
        Some(Value::String(text)) if text.is_empty() && name == "Signature" => {
            Err(Failure::malformed(place(), PartFault::Empty))
        }
        Some(Value::String(text)) => Ok(text),
        None | Some(Value::Null) => Err(Failure::Missing(place())),
        Some(_) => Err(Failure::malformed(place(), PartFault::NotText)),
    }
}
