//! Fetched keys: their places, and the ring that holds them.
//!
//! Verification never fetches. A verifier asks a [`KeyRing`] for the keys at a [`KeyLocation`], and fails with the
//! location if they are not there, so that the caller can fetch and verify again. Configured keys go first, and then
//! the ring is not asked. A place that the message names is checked in any case, because a message that names a foreign
//! place is forged.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::failure::{Failure, PartFault};
use super::key::BlockKey;
use super::keyset::KeySet;
use super::location::{AnswerForm, HostPin, KeyLocation, KeyRequest, TokenStep};

use super::message::View;
use super::template::{Source, Template};
use super::verify::{Match, Signer};
use zeroize::Zeroizing;

/// The keys that have been fetched so far.
pub trait KeyRing: Send + Sync + fmt::Debug {
    /// Returns the keys at that place.
    fn get(&self, at: &KeyLocation) -> KeyState;
}

/// The state of a place in a ring.
#[derive(Clone, Debug)]
pub enum KeyState {
    /// The keys that are there.
    Here(Arc<KeySet>),
    /// Nothing was fetched yet.
    NotYet,
    /// A fetch found nothing usable.
    Refused,
}

/// A ring without keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKeys;

impl KeyRing for NoKeys {
    fn get(&self, _: &KeyLocation) -> KeyState {
        KeyState::NotYet
    }
}

/// `keys:` of a block: the place of its keys.
#[derive(Clone, Debug)]
pub(super) struct KeySource {
    pub(super) url: Template,
    pub(super) hosts: Vec<HostPin>,
    /// The end that the URL must have.
    pub(super) ending: Option<String>,
    pub(super) form: AnswerForm,
    /// Members of a JSON body that is posted.
    pub(super) post: Vec<(String, Template)>,
    pub(super) token: Option<TokenSource>,
}

/// `token:` of a key source: the place of an access token, which is fetched first.
#[derive(Clone, Debug)]
pub(super) struct TokenSource {
    pub(super) url: Template,
    pub(super) client_id: Template,
    pub(super) client_secret: Template,
    pub(super) scope: Template,
}

impl KeySource {
    /// Returns the place that this message names; `None` if it names none.
    fn location(&self, view: &View<'_>) -> Result<Option<KeyLocation>, Failure> {
        let Some(url) = render(&self.url, view)? else { return Ok(None) };
        let foreign = || Failure::malformed(self.url.place(), PartFault::ForeignUrl);
        // An id is one step of a path.
        let is_step = |id: &[u8]| !id.is_empty() && !id.contains(&b'/');
        if self.url.uses(|source| matches!(source, Source::KeyId)) && !view.key_id.is_none_or(is_step) {
            return Err(foreign());
        }
        let mut members = Vec::with_capacity(self.post.len());
        for (name, value) in &self.post {
            let Some(value) = render(value, view)? else { return Ok(None) };
            members.push((name.clone(), Zeroizing::new(value)));
        }
        let token = match &self.token {
            Some(token) => match token.step(&self.hosts, view)? {
                Some(step) => Some(step),
                None => return Ok(None),
            },
            None => None,
        };
        let request = KeyRequest { members, token };
        let location = KeyLocation::new(&url, &self.hosts, self.form.clone(), request);
        let ends =
            |location: &KeyLocation| self.ending.as_deref().is_none_or(|ending| location.url().ends_with(ending));
        location.filter(ends).map(Some).ok_or_else(foreign)
    }

    /// Returns the place, if it is known before any message is.
    pub(super) fn known(&self, view: &View<'_>) -> Option<KeyLocation> {
        if self.templates().all(Template::is_configured) { self.location(view).ok().flatten() } else { None }
    }

    /// Returns every template that is filled in.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        let token = self.token.iter().flat_map(|it| [&it.url, &it.client_id, &it.client_secret, &it.scope]);
        std::iter::once(&self.url).chain(self.post.iter().map(|(_, value)| value)).chain(token)
    }
}

impl TokenSource {
    fn step(&self, hosts: &[HostPin], view: &View<'_>) -> Result<Option<TokenStep>, Failure> {
        let parts = [&self.url, &self.client_id, &self.client_secret, &self.scope];
        let parts: Option<Vec<String>> = parts.into_iter().map(|part| render(part, view)).collect::<Result<_, _>>()?;
        let Some(Ok(parts)) = parts.map(<[String; 4]>::try_from) else { return Ok(None) };
        let foreign = || Failure::malformed(self.url.place(), PartFault::ForeignUrl);
        TokenStep::new(hosts, parts).map(Some).ok_or_else(foreign)
    }
}

/// Returns the text of a template; `None` if a value in it is absent.
fn render(template: &Template, view: &View<'_>) -> Result<Option<String>, Failure> {
    let pieces = match view.render(template) {
        Ok(pieces) => pieces,
        Err(Failure::Missing(_)) => return Ok(None),
        Err(other) => return Err(other),
    };
    let text = String::from_utf8(pieces.concat()).ok();
    text.map(Some).ok_or_else(|| Failure::malformed(template.place(), PartFault::NotText))
}

/// The sources of keys besides the configured secrets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fetched<'r> {
    pub(super) ring: &'r dyn KeyRing,
    /// `keys:` of the block.
    pub(super) sources: &'r [KeySource],
}

/// The keys for one message.
#[derive(Debug)]
pub(super) struct ChosenKeys<'k> {
    pub(super) keys: Cow<'k, [BlockKey]>,
    signer: Option<Signer>,
    /// The place of keys that were not fetched yet.
    absent: Option<Box<KeyLocation>>,
}

impl Fetched<'_> {
    /// Returns the configured keys, or else those that were fetched from where the message says. With `View::key_id`
    /// set, `{kid}` stands for it.
    pub(super) fn choose<'k>(&self, configured: &'k [BlockKey], view: &View<'_>) -> Result<ChosenKeys<'k>, Failure> {
        let locations = self.sources.iter().map(|source| source.location(view)).collect::<Result<Vec<_>, _>>()?;
        let has_keys = configured.iter().any(|key| !matches!(key, BlockKey::Invalid));
        if has_keys || self.sources.is_empty() {
            return Ok(ChosenKeys { keys: Cow::Borrowed(configured), signer: None, absent: None });
        }
        let mut chosen = ChosenKeys { keys: Cow::Owned(Vec::new()), signer: Some(Signer::Fetched), absent: None };
        for location in locations {
            let found = location.as_ref().map_or(KeyState::Refused, |location| self.ring.get(location));
            let key = match found {
                KeyState::Here(set) => BlockKey::Set(set),
                KeyState::NotYet => {
                    chosen.absent = chosen.absent.or_else(|| location.map(Box::new));
                    BlockKey::Invalid
                }
                KeyState::Refused => BlockKey::Invalid,
            };
            chosen.keys.to_mut().push(key);
        }
        Ok(chosen)
    }
}

impl ChosenKeys<'_> {
    /// Returns the outcome under these keys, with its signer named; or, if a key that is not here may have signed, the
    /// failure that asks for the key.
    pub(super) fn settle(&self, outcome: Result<Match, Failure>) -> Result<Match, Failure> {
        let all_void = self.keys.iter().all(|key| matches!(key, BlockKey::Invalid));
        match outcome {
            Ok(found) => Ok(Match { signer: self.signer.unwrap_or(found.signer), ..found }),
            Err(Failure::WrongSecretOrBody | Failure::UnknownKey) if self.absent.is_some() => {
                Err(self.absent.clone().map_or(Failure::UnknownKey, Failure::KeyNotHere))
            }
            Err(Failure::WrongSecretOrBody) if self.signer.is_some() && all_void => Err(Failure::UnknownKey),
            Err(other) => Err(other),
        }
    }
}
