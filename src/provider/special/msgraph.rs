//! Microsoft Graph: nothing is signed; every notification repeats the `clientState` that the subscription was made with.
//!
//! Source: the provider's pages on change notifications. Every element of `value` has to hold a configured secret, and
//! there has to be one at least. Tokens in `validationTokens` (rich notifications) are not judged here, because that
//! needs the keys of the tenant's identity service; the encrypted content has a signature of its own, which the consumer
//! checks when it decrypts.
//!
//! A sent secret proves the sender, not the content: the body is not covered, and there is no time.

use serde_json::Value;

use super::{Needs, first_right};
use crate::provider::failure::{Failure, MessagePlace, PartFault};
use crate::provider::key::BlockKey;
use crate::provider::mac::same;
use crate::provider::message::View;
use crate::provider::verify::Match;

pub(super) const NEEDS: Needs = Needs { json: true, ..Needs::NOTHING };

pub(super) fn verify(view: &View<'_>, keys: &[BlockKey]) -> Result<Match, Failure> {
    let place = || MessagePlace::Json("/value/*/clientState".to_owned());
    let notifications = view.json.and_then(|json| json.get("value")).and_then(Value::as_array);
    let notifications = notifications.ok_or_else(|| Failure::Missing(MessagePlace::Json("/value".to_owned())))?;
    let mut first = None;
    for notification in notifications {
        let state = match notification.get("clientState") {
            Some(Value::String(state)) => state.as_bytes(),
            None | Some(Value::Null) => return Err(Failure::Missing(place())),
            Some(_) => return Err(Failure::malformed(place(), PartFault::NotText)),
        };
        let secret = first_right(keys, |secret| same(secret, state))?;
        first = first.or(Some(secret));
    }
    first.map(Match::by_secret).ok_or_else(|| Failure::Missing(place()))
}
