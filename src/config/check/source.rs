//! Sources: scheme, secrets, limits and schemas become one lane each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::handshakes::patience;
use super::secret::secret_name;
use super::{Checker, Secrets, path};
use crate::body::{Bodies, BodyRules};
use crate::budget::Budget;
use crate::config::problem::Code;
use crate::config::raw;
use crate::config::spans::Seg;
use crate::limit::{Rate, SourceQuota};
use crate::only_failing::VerificationWatch;
use crate::provider::{self, Content, EventTemplate, Handshake, KeyProblem, Retry, Row, Scheme, Verifier, VerifySpec};
use crate::redact::Redaction;
use crate::refusal::OnFailure;
use crate::route::Route;
use crate::rules::{Reading, SourceRules};
use crate::source::{Mode, PathPattern, Source};

const BODY_BYTES: u64 = 1024 * 1024;
pub(super) const BODY_BYTES_MOST: u64 = 64 * 1024 * 1024;
/// The default window, long enough for providers with unknown retries; those that are known to retry for longer get
/// longer.
const DEDUP_WINDOW: Duration = Duration::from_hours(72);
pub(super) const SYNC_DEADLINE: Duration = Duration::from_secs(10);

/// Rows of the file itself; they go before the built-in ones.
pub(super) type Providers = BTreeMap<String, Row>;

impl Checker<'_> {
    /// Returns the rules by which the stored bodies of each source are read.
    pub(super) fn bodies(&self, providers: &Providers) -> Bodies {
        let builtin = provider::builtin();
        let rules = self.raw.sources.iter().map(|(name, written)| {
            let row = written.provider.as_deref().and_then(|name| providers.get(name).or_else(|| builtin.get(name)));
            (name.as_str(), body_rules(written, row))
        });
        Bodies::of(rules)
    }

    /// Returns one lane per source; `None` when a source is invalid.
    pub(super) fn lanes(
        &mut self,
        providers: &Providers,
        routes: &BTreeMap<&str, Arc<Route>>,
    ) -> Option<Vec<SourceRules>> {
        let raw = self.raw;
        let mut lanes = Vec::new();
        let mut is_whole = true;
        for (name, written) in &raw.sources {
            match self.lane(name.as_str(), written, providers, routes) {
                Some(lane) => lanes.push(lane),
                None => is_whole = false,
            }
        }
        self.sources_at_one_place();
        is_whole.then_some(lanes)
    }

    fn lane(
        &mut self,
        name: &str,
        written: &raw::Source,
        providers: &Providers,
        routes: &BTreeMap<&str, Arc<Route>>,
    ) -> Option<SourceRules> {
        let row = self.row(name, written, providers);
        let scheme = self.scheme(name, written, row.as_ref());
        let allow_ips = self.addresses(name, written, providers);
        let source = self.source(name, written, row.as_ref(), allow_ips);
        let schemas = self.schemas(name, written);
        let event = written.event.clone().unwrap_or_default();
        let (own_type, own_id) = own_names(&event, row.as_ref());
        let event_type = self.template(name, "type", own_type, row.as_ref().and_then(Row::event));
        let delivery_id = self.template(name, "id", own_id, row.as_ref().and_then(Row::delivery));
        self.what_is_taken(name, written);
        self.doubts_of_source(name, written, row.as_ref());
        self.doubts_of_types(name, written, row.as_ref());
        // An unreadable row or expression has been reported.
        let is_known = written.provider.is_none() || row.is_some();
        let (unread_type, unread_id) = (event.r#type.is_some(), event.id.is_some());
        let keys = (event_type.is_some() || unread_type || !is_known, delivery_id.is_some() || unread_id || !is_known);
        self.what_needs_keys(name, written, keys);
        let mut secrets = self.secrets(name, &written.secrets);
        let waits = self.captured(name, written, row.as_ref(), &mut secrets);
        let context = self.context(name, written);
        let desk = self.handshakes((name, written), row.as_ref(), &secrets, &context);
        let verifier = if waits {
            Some(Verifier::waiting(scheme?))
        } else {
            self.verifier((name, written), scheme?, secrets, context)
        };
        let takes_any = schemas.as_ref().is_some_and(|schemas| !schemas.is_empty());
        self.doubts_of_body(name, written, row.as_ref(), takes_any);
        let mut lane = SourceRules {
            body: BodyRules { takes_any, ..body_rules(written, row.as_ref()) },
            source: source?,
            verifier: verifier?,
            budget: Budget::new(patience(written, row.as_ref())),
            watch: VerificationWatch::default(),
            provider: row,
            desk,
            event_type,
            delivery_id,
            schemas,
            quota: written.rate_limit.as_ref().map(quota),
            routes: self.routes_of(name, routes),
            reading: Reading::Tree,
            redaction: Redaction::default(),
        };
        lane.reading = lane.reading_needed();
        lane.redaction = Redaction::default().with_credentials(&lane.credentials());
        Some(lane)
    }

    fn scheme(&mut self, name: &str, written: &raw::Source, row: Option<&Row>) -> Option<Scheme> {
        let at = path!["sources", name, "verify"];
        if written.verify.is_some() {
            let spec = self.spans.decode::<VerifySpec>(&at, &mut self.problems)?;
            if self.spans.is_broken(&at) {
                return None;
            }
            let scheme = Scheme::compile(&spec).map_err(|problem| self.bad_scheme(&at, &problem)).ok()?;
            if let Some(row) = row.filter(|row| scheme.is_none().is_some() && row.scheme().is_none().is_none()) {
                let (title, signs) = (row.title(), row.verified_by());
                let message =
                    format!("{title} proves who it is ({signs}), and this source takes its events from everybody");
                let help = "take `verify` away, so that the provider's own scheme is checked, and name the secret";
                self.warning(Code::TooOpen, &at, message, Some(help.to_owned()));
            }
            return Some(scheme);
        }
        if row.is_none() && written.provider.is_none() && !self.spans.is_broken(&path!["sources", name]) {
            let help = "add `provider: NAME`, or `verify:` with the scheme, or `verify: {type: none, reason: \"…\"}`"
                .to_owned();
            let message = "the source does not say how it is verified";
            self.error_of(Code::MissingKey, &path!["sources", name], message, Some(help));
        }
        row.map(|row| row.scheme().clone())
    }

    fn verifier(
        &mut self,
        (name, written): (&str, &raw::Source),
        scheme: Scheme,
        secrets: Vec<crate::secret::Secret>,
        context: BTreeMap<String, String>,
    ) -> Option<Verifier> {
        if scheme.needs_public_url() && written.public_url.is_none() && self.raw.server.public_url.is_none() {
            let help = "add `public_url: https://hooks.example.com` as the provider has it".to_owned();
            let message = "this scheme signs the URL, and the source has no `public_url`";
            self.error_of(Code::MissingKey, &path!["sources", name], message, Some(help));
        }
        if scheme.is_none().is_some() && !written.secrets.is_empty() {
            let help = "leave `secrets` out, or let them be checked".to_owned();
            let message = "`verify: {type: none}` checks nothing, and these secrets neither";
            self.warning(Code::Unused, &path!["sources", name, "secrets"], message, Some(help));
        }
        if self.world.secrets == Secrets::Named && !written.secrets.is_empty() {
            return Some(Verifier::waiting(scheme));
        }
        let is_broken = self.spans.is_broken(&path!["sources", name, "secrets"]);
        match Verifier::new(scheme.clone(), secrets, context) {
            Ok(verifier) => Some(verifier),
            // A replacement for a secret is not a valid key for every scheme.
            Err(KeyProblem::Secret { .. }) if matches!(self.world.secrets, Secrets::Instead(_)) => {
                Some(Verifier::waiting(scheme))
            }
            Err(KeyProblem::NoSecrets) => {
                // A secret that could not be read has been reported already.
                let is_captured = written.handshake.as_ref().is_some_and(|own| own.capture_to.is_some());
                if is_captured {
                    // A problem with the file that takes the secret has been reported.
                    return None;
                }
                if written.secrets.is_empty() && !is_broken {
                    let row = written.provider.as_deref().and_then(|name| provider::builtin().get(name));
                    let hands_over = row.is_some_and(|row| row.handshakes().iter().any(Handshake::captures));
                    let help = if hands_over {
                        "this provider hands it over: add `handshake: {armed_until: MOMENT, capture_to: FILE}`"
                    } else {
                        "add `secrets: [{env: NAME}]`, or, if nobody signs, `verify: {type: none, reason: \"…\"}`"
                    };
                    let help = help.to_owned();
                    self.error_of(Code::MissingSecret, &path!["sources", name], "the source has no secret", Some(help));
                } else if !self.problems_at_secrets(name) {
                    let at = path!["sources", name, "secrets"];
                    self.error_of(Code::MissingSecret, &at, "no secret is valid now", None);
                }
                None
            }
            Err(problem) => {
                let index = match &problem {
                    KeyProblem::Secret { name, .. } => position(&written.secrets, name.as_str()),
                    KeyProblem::NoContext(label) => {
                        let help = format!("add `context: {{{label}: …}}` to the source");
                        self.error_of(Code::MissingKey, &path!["sources", name], problem.to_string(), Some(help));
                        return None;
                    }
                    KeyProblem::NoSecrets => None,
                };
                let at = path!["sources", name, "secrets", index.unwrap_or(0)];
                self.error(Code::UnusableSecret, &at, problem.to_string(), None);
                None
            }
        }
    }

    fn problems_at_secrets(&self, name: &str) -> bool {
        let Some(span) = self.spans.of(&path!["sources", name, "secrets"]) else { return false };
        self.problems.iter().any(|problem| {
            problem.code == Code::UnusableSecret && problem.span.start >= span.start && problem.span.end <= span.end
        })
    }

    fn source(
        &mut self,
        name: &str,
        written: &raw::Source,
        row: Option<&Row>,
        allow_ips: Vec<IpNet>,
    ) -> Option<Source> {
        let path = match PathPattern::parse(&written.path) {
            Ok(path) => path,
            Err(problem) => {
                let at = path!["sources", name, "path"];
                let part = problem.at().and_then(|part| self.spans.of_part(&at, part));
                let span = part.or_else(|| self.spans.of(&at));
                self.error_in(Code::InvalidValue, span, problem.to_string(), None);
                return None;
            }
        };
        if written.enforce == Some(false) {
            let message =
                "events that fail verification, quota or schema are counted, and stored and delivered all the same";
            let help = "take `enforce: false` away once the counts are what you expect".to_owned();
            self.warning(Code::NotEnforced, &path!["sources", name, "enforce"], message, Some(help));
        }
        // A provider's own cap only raises ours: a larger body that it never sends need not be refused.
        let usual = row.and_then(Row::body_bytes_max).unwrap_or(0).max(usual_body(self.raw));
        let (size, key) = match (written.body_max, written.body.as_ref().and_then(raw::Body::size)) {
            (Some(_), Some(_)) => {
                let help = "keep `body_max`, and say with `body` how bodies are read".to_owned();
                let message = "the largest body is said twice";
                self.error(Code::InvalidValue, &path!["sources", name, "body"], message, Some(help));
                (None, "body")
            }
            (Some(size), None) => (Some(size), "body_max"),
            (None, size) => (size, "body"),
        };
        let body_bytes_max = size.map_or(usual, |body| body.0);
        if size.is_some() {
            self.check_body_size(&path!["sources", name, key], body_bytes_max);
        }
        self.check_sync_routes(name, written);
        let has_delivery_id = row.is_some_and(|row| row.delivery().is_some());
        let public_url = written.public_url.as_ref().or(self.raw.server.public_url.as_ref());
        Some(Source {
            name: Arc::from(name),
            host: written.host.as_ref().map(|host| host.to_ascii_lowercase()),
            path,
            methods: written
                .methods
                .as_ref()
                .map_or_else(|| vec!["POST".to_owned()], |methods| methods.iter().copied().map(method).collect()),
            content_types: written
                .content_types
                .iter()
                .flatten()
                .map(|media_type| media_type.to_ascii_lowercase())
                .collect(),
            body_bytes_max,
            allow_ips,
            public_url: public_url.map(|url| url.as_str().to_owned()),
            mode: self.mode(name, written),
            on_malformed: on_malformed(written),
            enforce: written.enforce.unwrap_or(true),
            dedup_window: match &written.dedup {
                Some(dedup) => dedup.window.0,
                None if has_delivery_id => usual_window(row),
                None => Duration::ZERO,
            },
            answers: self.answers(name, written, row),
        })
    }

    fn check_body_size(&mut self, at: &[Seg<'_>], bytes: u64) {
        let wrong = match bytes {
            0 => ("no body fits into this limit", "at least `1B`; `methods: [GET]` takes requests without a body"),
            1..=BODY_BYTES_MOST => return,
            _ => (
                "bodies of this size are not taken",
                "at most `64MiB`; bodies are held in memory until they are stored",
            ),
        };
        self.error(Code::InvalidValue, at, wrong.0, Some(wrong.1.to_owned()));
    }

    fn mode(&mut self, name: &str, written: &raw::Source) -> Mode {
        let deadline = written.deadline.map(|deadline| deadline.0);
        match written.mode {
            Some(raw::Mode::Sync) => Mode::Sync { deadline: deadline.unwrap_or(SYNC_DEADLINE) },
            Some(raw::Mode::Buffered) | None => {
                if deadline.is_some() {
                    let help = "add `mode: sync`, or leave `deadline` out".to_owned();
                    self.warning(
                        Code::Unused,
                        &path!["sources", name, "deadline"],
                        "`deadline` has no meaning here",
                        Some(help),
                    );
                }
                Mode::Buffered
            }
        }
    }

    /// Reports a synchronous source with several destinations: one answer is passed back, so there is one destination.
    fn check_sync_routes(&mut self, name: &str, written: &raw::Source) {
        let raw = self.raw;
        if written.mode != Some(raw::Mode::Sync) {
            return;
        }
        let listening = raw.routes.values().filter(|route| route.from.0.iter().any(|from| from == name));
        let mut reached: Vec<&str> = listening.flat_map(|route| route.to.0.iter().map(String::as_str)).collect();
        reached.sort_unstable();
        reached.dedup();
        if reached.len() > 1 {
            let message =
                format!("a synchronous source passes one answer back; its routes name {}", reached.join(", "));
            let help = "leave one destination, or take `mode: sync` away".to_owned();
            self.error(Code::InvalidValue, &path!["sources", name, "mode"], message, Some(help));
        }
    }

    fn template(
        &mut self,
        name: &str,
        key: &str,
        own: Option<&str>,
        of_row: Option<&EventTemplate>,
    ) -> Option<EventTemplate> {
        let Some(text) = own else { return of_row.cloned() };
        let at = path!["sources", name, "event", key];
        EventTemplate::parse_user(text).map_err(|problem| self.bad_expression(&at, &problem)).ok()
    }

    fn routes_of(&self, name: &str, routes: &BTreeMap<&str, Arc<Route>>) -> Vec<Arc<Route>> {
        let listening = self.raw.routes.iter().filter(|(_, route)| listens(route, name));
        listening.filter_map(|(route, _)| routes.get(route.as_str()).cloned()).collect()
    }
}

/// Returns the rules by which bodies are read: the source's own `body`, otherwise that of the provider's row.
fn body_rules(written: &raw::Source, row: Option<&Row>) -> BodyRules {
    let own = written.body.as_ref().and_then(raw::Body::spec);
    let has = |content: Content| row.is_some_and(|row| row.content().contains(&content));
    BodyRules {
        spec: own.or_else(|| row.and_then(Row::body)).cloned().unwrap_or_default(),
        json_as_text: has(Content::Json) && has(Content::Text),
        takes_any: false,
    }
}

/// Returns the largest body of a source that sets none, in bytes: the limit of the listeners.
pub(in crate::config) fn usual_body(raw: &raw::File) -> u64 {
    let allowed = raw.listeners.values().filter_map(|listener| listener.limits.as_ref()?.body);
    allowed.map(|body| body.0).max().unwrap_or(BODY_BYTES)
}

/// Returns the default window, at least as long as the provider repeats a delivery.
fn usual_window(row: Option<&Row>) -> Duration {
    row.and_then(Row::retry).and_then(Retry::horizon).unwrap_or_default().max(DEDUP_WINDOW)
}

fn listens(route: &raw::Route, source: &str) -> bool {
    route.from.0.iter().any(|from| from == source)
}

/// Returns the expressions for type and id that are the source's own. An expression that repeats the row's, as `config
/// show` writes it, counts as the row's: a source's own expression implies that the value is present.
fn own_names<'e>(event: &'e raw::EventKeys, row: Option<&Row>) -> (Option<&'e str>, Option<&'e str>) {
    let of_type = |own: &&str| !row.is_some_and(|row| row.event_text().eq([*own]));
    let of_id = |own: &&str| !row.is_some_and(|row| row.delivery_text().eq([*own]));
    (event.r#type.as_deref().filter(of_type), event.id.as_deref().filter(of_id))
}

fn position(secrets: &[raw::Secret], name: &str) -> Option<usize> {
    secrets.iter().position(|secret| secret_name(secret) == name)
}

fn quota(written: &raw::RateLimit) -> SourceQuota {
    let rate = Rate::new(written.rate.count, written.rate.per, written.burst.map(|burst| burst.0));
    match written.per {
        Some(raw::Per::Ip) => SourceQuota::per_sender(rate),
        Some(raw::Per::Source) | None => SourceQuota::whole(rate),
    }
}

fn on_malformed(written: &raw::Source) -> OnFailure {
    written.schemas.as_ref().and_then(|schemas| schemas.on_invalid).unwrap_or(OnFailure::Quarantine)
}

fn method(method: raw::Method) -> String {
    let name = match method {
        raw::Method::Get => "GET",
        raw::Method::Head => "HEAD",
        raw::Method::Post => "POST",
        raw::Method::Put => "PUT",
        raw::Method::Patch => "PATCH",
        raw::Method::Delete => "DELETE",
    };
    name.to_owned()
}
