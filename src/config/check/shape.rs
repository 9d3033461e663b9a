//! Outgoing requests: transforms of routes, and the format and signature of destinations.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::expression::Passage;
use super::{Checker, Secrets, path};
use crate::condition::ValueExpression;
use crate::config::problem::{Code, quoted};
use crate::config::raw;
use crate::config::spans::Seg;
use crate::deliver::Target;
use crate::encoding::text_of;
use crate::provider;
use crate::script::{LossyNumbers, Script};
use crate::shape::{
    BadUrl, BodyFormat, BodyPlace, Making, OutgoingSigner, SetHeaders, Shape, Transform, UrlTemplate, written_as_url,
};

/// The provider's row with the scheme that signs outgoing requests.
const SIGNING_ROW: &str = "standardwebhooks";
/// The limit of keys; each of them signs every request.
const KEYS_MAX: usize = 4;
const EDITS_MAX: usize = 100;

/// The transforms of the routes that have one, by route.
pub(super) type Transforms<'a> = BTreeMap<&'a str, Arc<Transform>>;

impl<'a> Checker<'a> {
    pub(super) fn transforms(&mut self) -> Transforms<'a> {
        let raw = self.raw;
        let mut transforms = Transforms::default();
        for (name, route) in &raw.routes {
            let Some(written) = &route.transform else { continue };
            if let Some(transform) = self.transform((name.as_str(), &route.from), written) {
                transforms.insert(name.as_str(), Arc::new(transform));
            }
        }
        transforms
    }

    fn transform(&mut self, (route, from): (&str, &raw::OneOrMany), written: &raw::Transform) -> Option<Transform> {
        let at = path!["routes", route, "transform"];
        if written.set.len() + written.remove.len() > EDITS_MAX {
            let message = format!("a transform changes at most {EDITS_MAX} places");
            self.error_of(Code::LimitExceeded, &at, message, Some("write a script: `js: FILE`".to_owned()));
        }
        let making = self.making((route, from), written);
        if written.numbers.is_some() && written.js.is_none() {
            let message = "`numbers` is about scripts, and this transform has none";
            let help = "remove it: without a script all numbers keep their digits".to_owned();
            self.error_of(Code::InvalidValue, &path!["routes", route, "transform", "numbers"], message, Some(help));
        }
        let set = written.set.iter().map(|(place, text)| {
            let at = [&at[..], &path!["set", place]].concat();
            let found = self.place(&at, place, &quoted(place).to_string());
            let value = self.value(&at, ("value", text), from);
            found.zip(value)
        });
        let set: Vec<_> = set.collect();
        let is_whole = set.iter().all(Option::is_some);
        let mut set: Vec<_> = set.into_iter().flatten().collect();
        set.sort_by(|(one, _), (other, _)| one.order(other));
        let remove = written.remove.iter().enumerate();
        let remove: Vec<_> = remove
            .map(|(at_index, place)| {
                let at = [&at[..], &path!["remove", at_index]].concat();
                let shown = self.quoted(&at);
                self.place(&at, place, &shown)
            })
            .collect();
        self.overlaps(route, &set, &remove);
        let headers = written.headers.as_ref().map(|headers| self.header_edits(route, headers)).unwrap_or_default();
        let is_nothing = written.set.is_empty() && written.remove.is_empty() && written.headers.is_none();
        if is_nothing && written.body.is_none() && written.js.is_none() && !self.spans.is_broken(&at) {
            let help = "say what is made of the events: `body`, `js`, `set`, `remove` or `headers`; or leave it out"
                .to_owned();
            self.error_of(Code::MissingKey, &at, "the transform changes nothing", Some(help));
        }
        let remove = remove.into_iter().collect::<Option<_>>()?;
        Some(Transform { making: making?, set, remove, headers }).filter(|_| is_whole)
    }

    fn making(&mut self, (route, from): (&str, &raw::OneOrMany), written: &raw::Transform) -> Option<Making> {
        match (&written.body, &written.js) {
            (None, None) => Some(Making::Received),
            (Some(text), None) => {
                let at = path!["routes", route, "transform", "body"];
                self.value(&at, ("body", text), from).map(Making::Expression)
            }
            (None, Some(file)) => {
                let script = self.script(&path!["routes", route, "transform", "js"], file)?;
                Some(Making::Script(script, numbers(written)))
            }
            (Some(_), Some(_)) => {
                let help = "leave one of the two".to_owned();
                let message = "`body` and `js` both make the body";
                self.error_of(Code::InvalidValue, &path!["routes", route, "transform", "js"], message, Some(help));
                None
            }
        }
    }

    fn value(&mut self, at: &[Seg<'_>], (what, text): (&str, &str), from: &raw::OneOrMany) -> Option<ValueExpression> {
        let value = self.expression(at, what, text, ValueExpression::compile)?;
        self.params_of(at, Passage::whole(what, text), value.params(), from);
        Some(value)
    }

    fn script(&mut self, at: &[Seg<'_>], file: &Path) -> Option<Script> {
        let path = self.beside(file);
        let shown =
            if self.spans.has_variable(at) { self.quoted(at) } else { quoted(&path.display().to_string()).to_string() };
        let text = match (self.world.read)(&path).map(text_of) {
            Ok(Ok(text)) => text,
            Ok(Err(not_text)) => {
                self.error(Code::InvalidScript, at, format!("the script {shown} cannot be read: {not_text}"), None);
                return None;
            }
            Err(error) => {
                self.error(Code::UnusableFile, at, format!("the script {shown} cannot be read: {error}"), None);
                return None;
            }
        };
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let compiled = Script::compile(&text, &name);
        compiled
            .inspect_err(|problem| self.error(Code::InvalidScript, at, format!("the script {shown}: {problem}"), None))
            .ok()
    }

    /// Parses a place in a body, and reports an invalid one; `shown` is its text in messages.
    fn place(&mut self, at: &[Seg<'_>], text: &str, shown: &str) -> Option<BodyPlace> {
        match BodyPlace::parse(text) {
            Ok(place) => Some(place),
            Err(problem) => {
                let help = "write a JSON pointer such as `/customer/email`, or the name of a member".to_owned();
                self.error_of(Code::InvalidValue, at, format!("{shown} is no place in a body: {problem}"), Some(help));
                None
            }
        }
    }

    /// Returns the shape of a destination's requests, with the routes that lead to it.
    pub(super) fn shape(
        &mut self,
        (name, headers): (&str, SetHeaders),
        written: &raw::Destination,
        transforms: &Transforms<'a>,
    ) -> Shape {
        let raw = self.raw;
        let defaults = &raw.defaults.destination;
        let sending = raw.routes.iter().filter(|(_, route)| route.to.0.iter().any(|to| to == name));
        let sending: Vec<&str> = sending.map(|(route, _)| route.as_str()).collect();
        let routes = sending.iter().map(|route| (Arc::from(*route), transforms.get(route).cloned()));
        let signer = match (&written.sign, &defaults.sign) {
            (Some(sign), _) => self.signer(&path!["destinations", name, "sign"], sign),
            (None, Some(sign)) => self.signer(&path!["defaults", "destination", "sign"], sign),
            (None, None) => None,
        };
        let format = match written.format.or(defaults.format) {
            Some(raw::Format::Raw) | None => BodyFormat::Raw,
            Some(raw::Format::CloudEvents) => BodyFormat::CloudEvents,
            Some(raw::Format::Envelope) => BodyFormat::Envelope,
        };
        let routes = routes.collect();
        // The withheld credentials are known only after the sources have been read.
        let (urls, bodies) = (self.urls(name, written), self.bodies.clone());
        Shape { format, signer, routes, urls, headers, withheld: Arc::default(), bodies }
    }

    /// Returns the templates of a destination's URLs.
    fn urls(&mut self, name: &str, written: &raw::Destination) -> BTreeMap<String, UrlTemplate> {
        let mut urls = BTreeMap::new();
        let own = written.url.iter().map(|url| (path!["destinations", name, "url"].to_vec(), url));
        let listed = written.targets.iter().flatten().enumerate();
        let listed =
            listed.map(|(index, one)| (path!["destinations", name, "targets", index, "url"].to_vec(), &one.url));
        for (at, url) in own.chain(listed) {
            let text = url.as_str();
            let host = text.find("://").map_or(0, |scheme| scheme + "://".len());
            let path = text.get(host..).and_then(|rest| rest.find(['/', '?'])).map_or(text.len(), |path| host + path);
            match UrlTemplate::parse(text.get(path..).unwrap_or_default()) {
                Ok(None) => {}
                Ok(Some(mut template)) => {
                    let filled = self.spans.masked(&at).map(|masked| masked.filled).unwrap_or_default();
                    template.hide(|part| {
                        let (start, end) = (path + part.start, path + part.end);
                        filled.iter().any(|filled| start < filled.end && filled.start < end)
                    });
                    self.params_of_url(&at, (name, path), &template);
                    // An invalid URL has been reported.
                    let target = Target::parse(&written_as_url(text));
                    urls.extend(target.map(|target| (target.url(), template)));
                }
                Err(BadUrl::Brace(brace)) => {
                    let help = "a value is written `{params.tenant}`; a literal brace `%7B` or `%7D`".to_owned();
                    let part = path + brace..path + brace + 1;
                    let message = "the braces in this URL do not match";
                    let span = self.spans.of_part(&at, part).or_else(|| self.spans.of(&at));
                    self.error_in(Code::InvalidValue, span, message, Some(help));
                }
                Err(BadUrl::Expression { text, begin, problem }) => {
                    let help = "what stands in braces is CEL; a literal brace is written `%7B` or `%7D`".to_owned();
                    let mut passage = Passage { what: "value", text: &text, begin: path + begin };
                    let named = format!("value {}", quoted(&text));
                    if !self.is_brought_in(&at, passage, &(0..text.len())) {
                        passage.what = &named;
                    }
                    self.bad_passage(&at, passage, &problem, Some(help));
                }
            }
        }
        urls
    }

    /// Reports parameters that a route to this destination does not have.
    fn params_of_url(&mut self, at: &[Seg<'_>], (name, path): (&str, usize), template: &UrlTemplate) {
        let raw = self.raw;
        for route in raw.routes.values().filter(|route| route.to.0.iter().any(|to| to == name)) {
            for (begin, value) in template.values() {
                let passage = Passage { what: "value", text: value.text(), begin: path + begin };
                self.params_of(at, passage, value.params(), &route.from);
            }
        }
    }

    fn signer(&mut self, at: &[Seg<'_>], written: &raw::Sign) -> Option<OutgoingSigner> {
        let raw::SignType::StandardWebhooks = written.r#type;
        let at_list = [at, &path!["secrets"]].concat();
        let row = provider::builtin().get(SIGNING_ROW)?;
        if written.secrets.len() > KEYS_MAX {
            let message = format!("at most {KEYS_MAX} keys sign: the present one and those that are exchanged for it");
            self.error_of(Code::LimitExceeded, &at_list, message, None);
        }
        if written.secrets.is_empty() && !self.spans.is_broken(&at_list) {
            let help = "add `secrets: [{file: /run/secrets/internal-signing}]`".to_owned();
            self.error_of(Code::MissingSecret, at, "nothing can be signed without a key", Some(help));
            return None;
        }
        let mut keys = Vec::new();
        for secret in self.dated(&at_list, &written.secrets) {
            let validity = secret.validity();
            match provider::Verifier::new(row.scheme().clone(), vec![secret], BTreeMap::new()) {
                Ok(key) => keys.push((validity, key)),
                Err(problem) => {
                    let help = "a key is `whsec_` and base64 of 24 to 64 random bytes".to_owned();
                    self.error_of(Code::UnusableSecret, &at_list, problem.to_string(), Some(help));
                }
            }
        }
        if keys.is_empty() {
            if self.world.secrets == Secrets::Real
                && !self.problems.iter().any(|problem| problem.code == Code::UnusableSecret)
            {
                let help = "add the key that follows it".to_owned();
                self.error_of(Code::MissingSecret, &at_list, "no key to sign with is valid now", Some(help));
            }
            return None;
        }
        Some(OutgoingSigner::new(keys))
    }
}

/// Returns the handling of numbers that a script cannot hold. Default: exact.
fn numbers(written: &raw::Transform) -> LossyNumbers {
    match written.numbers {
        Some(raw::Numbers::Exact) | None => LossyNumbers::Exact,
        Some(raw::Numbers::Lossy) => LossyNumbers::Lossy,
    }
}
