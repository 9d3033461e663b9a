//! Sources: scheme, secrets, limits and schemas become one lane each.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::{Checker, path};
use crate::accept::{Lane, Reading};
use crate::config::problem::{Code, quoted};
use crate::config::{nearest, raw};
use crate::limit::{Rate, SourceQuota};
use crate::provider::{self, EventTemplate, KeyProblem, Row, RowSpec, Scheme, SourceKind, Verifier, VerifySpec};
use crate::route::Route;
use crate::schema::{OnInvalid, OnMissing, SchemaParams, SchemaSet};
use crate::source::{Mode, OnMalformed, PathPattern, Source};

const BODY_BYTES: u64 = 1024 * 1024;
const BODY_BYTES_MOST: u64 = 64 * 1024 * 1024;
/// Stripe's and PayPal's horizon of retries, the longest of the providers with a preset that retry in days.
const DEDUP_WINDOW: Duration = Duration::from_hours(72);
const SYNC_DEADLINE: Duration = Duration::from_secs(10);

/// Rows of the file's own, over the built-in ones.
pub(super) type Providers = BTreeMap<String, Row>;

impl Checker<'_> {
    pub(super) fn providers(&mut self) -> Providers {
        let raw = self.raw;
        let mut rows = Providers::new();
        for name in raw.providers.keys() {
            let at = path!["providers", name];
            let Some(spec) = self.spans.decode::<RowSpec>(&at, &mut self.problems) else { continue };
            match Row::of(name.as_str(), spec) {
                Ok(row) => drop(rows.insert(name.as_str().to_owned(), row)),
                Err(problem) => self.error(Code::InvalidScheme, &at, problem.to_string(), None),
            }
        }
        rows
    }

    /// One lane per source; `None` when a source cannot be made.
    pub(super) fn lanes(&mut self, providers: &Providers, routes: &BTreeMap<&str, Arc<Route>>) -> Option<Vec<Lane>> {
        let raw = self.raw;
        let mut lanes = Vec::new();
        let mut places: HashMap<(Option<&str>, &str), &str> = HashMap::new();
        let mut is_whole = true;
        for (name, written) in &raw.sources {
            if let Some(other) = places.insert((written.host.as_deref(), &written.path), name.as_str()) {
                let message = format!("the source `{other}` answers at this path already");
                self.error(Code::SamePlace, &path!["sources", name, "path"], message, None);
            }
            match self.lane(name.as_str(), written, providers, routes) {
                Some(lane) => lanes.push(lane),
                None => is_whole = false,
            }
        }
        is_whole.then_some(lanes)
    }

    fn lane(
        &mut self,
        name: &str,
        written: &raw::Source,
        providers: &Providers,
        routes: &BTreeMap<&str, Arc<Route>>,
    ) -> Option<Lane> {
        let row = self.row(name, written, providers);
        let scheme = self.scheme(name, written, row.as_ref());
        let source = self.source(name, written, row.as_ref());
        let schemas = self.schemas(name, written);
        let event = written.event.clone().unwrap_or_default();
        let event_type = self.template(name, "type", event.r#type.as_deref(), row.as_ref().and_then(Row::event));
        let delivery_id = self.template(name, "id", event.id.as_deref(), row.as_ref().and_then(Row::delivery));
        let secrets = self.secrets(name, &written.secrets);
        let verifier = self.verifier(name, written, scheme?, secrets);
        let mut lane = Lane {
            source: source?,
            verifier: verifier?,
            provider: row,
            event_type,
            delivery_id,
            schemas,
            quota: written.rate_limit.as_ref().map(quota),
            routes: self.routes_of(name, routes),
            reading: Reading::Tree,
        };
        lane.reading = lane.reading_needed();
        Some(lane)
    }

    fn row(&mut self, name: &str, written: &raw::Source, providers: &Providers) -> Option<Row> {
        let at = path!["sources", name, "provider"];
        let wanted = written.provider.as_deref()?;
        let builtin = provider::builtin();
        if let Some(row) = providers.get(wanted).or_else(|| builtin.get(wanted)) {
            if !matches!(row.proof(), SourceKind::Sdk | SourceKind::Docs) && !providers.contains_key(wanted) {
                let help = "compare it with the provider's own page before you rely on it".to_owned();
                self.warning(Code::Unproven, &at, format!("the row of {} is not proven", quoted(wanted)), Some(help));
            }
            return Some(row.clone());
        }
        if !self.spans.is_broken(&path!["providers", wanted]) {
            let known = builtin.names().chain(providers.keys().map(String::as_str));
            let help = match nearest(wanted, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "spell the scheme out under `verify:`, or add a row under `providers:`".to_owned(),
            };
            self.error(Code::UnknownName, &at, format!("there is no provider {}", quoted(wanted)), Some(help));
        }
        None
    }

    fn scheme(&mut self, name: &str, written: &raw::Source, row: Option<&Row>) -> Option<Scheme> {
        let at = path!["sources", name, "verify"];
        if written.verify.is_some() {
            let spec = self.spans.decode::<VerifySpec>(&at, &mut self.problems)?;
            return match Scheme::compile(&spec) {
                Ok(scheme) => Some(scheme),
                Err(problem) => {
                    self.error(Code::InvalidScheme, &at, problem.to_string(), None);
                    None
                }
            };
        }
        if row.is_none() && written.provider.is_none() && !self.spans.is_broken(&path!["sources", name]) {
            let help = "add `provider: NAME`, or `verify:` with the scheme, or `verify: {type: none, reason: \"…\"}`"
                .to_owned();
            self.error(
                Code::MissingKey,
                &path!["sources", name],
                "the source does not say how it is verified",
                Some(help),
            );
        }
        row.map(|row| row.scheme().clone())
    }

    fn verifier(
        &mut self,
        name: &str,
        written: &raw::Source,
        scheme: Scheme,
        secrets: Vec<crate::secret::Secret>,
    ) -> Option<Verifier> {
        if scheme.needs_public_url() && written.public_url.is_none() && self.raw.server.public_url.is_none() {
            let help = "add `public_url: https://hooks.example.com` as the provider has it".to_owned();
            let message = "this scheme signs the URL, and the source has no `public_url`";
            self.error(Code::MissingKey, &path!["sources", name], message, Some(help));
        }
        let is_broken = self.spans.is_broken(&path!["sources", name, "secrets"]);
        match Verifier::new(scheme, secrets, BTreeMap::new()) {
            Ok(verifier) => Some(verifier),
            Err(KeyProblem::NoSecrets) => {
                // A secret that could not be read has been reported already.
                if written.secrets.is_empty() && !is_broken {
                    let help =
                        "add `secrets: [{env: NAME}]`, or, if nobody signs, `verify: {type: none, reason: \"…\"}`"
                            .to_owned();
                    self.error(Code::MissingSecret, &path!["sources", name], "the source has no secret", Some(help));
                } else if !self.problems_at_secrets(name) {
                    self.error(Code::MissingSecret, &path!["sources", name, "secrets"], "no secret is valid now", None);
                }
                None
            }
            Err(problem) => {
                self.error(Code::UnusableSecret, &path!["sources", name, "secrets"], problem.to_string(), None);
                None
            }
        }
    }

    fn problems_at_secrets(&self, name: &str) -> bool {
        let Some(span) = self.spans.of(&path!["sources", name, "secrets"]) else { return false };
        let sorted = self.problems.clone().into_sorted();
        sorted.iter().any(|problem| {
            problem.code == Code::UnusableSecret && problem.span.start >= span.start && problem.span.end <= span.end
        })
    }

    fn source(&mut self, name: &str, written: &raw::Source, row: Option<&Row>) -> Option<Source> {
        let path = match PathPattern::parse(&written.path) {
            Ok(path) => path,
            Err(problem) => {
                self.error(Code::InvalidValue, &path!["sources", name, "path"], problem.to_string(), None);
                return None;
            }
        };
        let listener_body =
            self.raw.listeners.values().filter_map(|listener| listener.limits.as_ref()?.body).map(|body| body.0).max();
        let usual_body = row.and_then(Row::body_bytes_max).or(listener_body).unwrap_or(BODY_BYTES);
        let body_bytes_max = written.body.map_or(usual_body, |body| body.0);
        if body_bytes_max > BODY_BYTES_MOST {
            let help = "at most `64MiB`; bodies are held in memory until they are stored".to_owned();
            self.error(
                Code::InvalidValue,
                &path!["sources", name, "body"],
                "bodies of this size are not taken",
                Some(help),
            );
        }
        self.check_answers(name, written);
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
            allow_ips: written.allow_ips.iter().flat_map(|list| &list.0).map(|cidr| cidr.0).collect(),
            public_url: public_url.map(|url| url.as_str().to_owned()),
            mode: self.mode(name, written),
            on_malformed: on_malformed(written),
            enforce: written.enforce.unwrap_or(true),
            dedup_window: match &written.dedup {
                Some(dedup) => dedup.window.0,
                None if has_delivery_id => DEDUP_WINDOW,
                None => Duration::ZERO,
            },
            answers: written.answers.iter().map(|(outcome, status)| (outcome.as_str().to_owned(), status.0)).collect(),
        })
    }

    /// A 2xx for what was not stored is silent loss, and anything else for what was stored makes the sender repeat it.
    fn check_answers(&mut self, name: &str, written: &raw::Source) {
        for (outcome, status) in &written.answers {
            let at = path!["sources", name, "answers", outcome.as_str()];
            let is_success = (200..300).contains(&status.0);
            match answer_class(*outcome) {
                AnswerClass::Stored if !is_success => {
                    let message = format!("`{}` means that the event is ours; only 2xx says so", outcome.as_str());
                    self.error(Code::InvalidValue, &at, message, Some("write a status from 200 to 299".into()));
                }
                AnswerClass::NotStored if is_success => {
                    let message =
                        format!("`{}` means that the event was not stored; 2xx would lose it", outcome.as_str());
                    self.error(
                        Code::InvalidValue,
                        &at,
                        message,
                        Some("write a status of 4xx or 5xx, such as `503`".into()),
                    );
                }
                AnswerClass::Judged if is_success => {
                    let message = "senders will not learn of this refusal, and the event is not kept";
                    let help = "`on_invalid: quarantine` keeps it and answers as accepted".to_owned();
                    self.warning(Code::Partial, &at, message, Some(help));
                }
                AnswerClass::Stored | AnswerClass::NotStored | AnswerClass::Judged => {}
            }
        }
    }

    fn mode(&mut self, name: &str, written: &raw::Source) -> Mode {
        let deadline = written.deadline.map(|deadline| deadline.0);
        match written.mode {
            Some(raw::Mode::Sync) => {
                let message = "`mode: sync` forwards without storing: when the deadline passes the sender gets 504, and nothing is delivered later";
                let help = "the durable fallback comes with a later version".to_owned();
                self.warning(Code::Partial, &path!["sources", name, "mode"], message, Some(help));
                Mode::Sync { deadline: deadline.unwrap_or(SYNC_DEADLINE) }
            }
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

    /// A synchronous source has one answer, so one destination.
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
        match EventTemplate::parse_user(text) {
            Ok(template) => Some(template),
            Err(problem) => {
                let help =
                    "write `header['x-topic']`, `body.data.id`, or a template such as `{header:X-Topic}`".to_owned();
                self.error(Code::InvalidValue, &path!["sources", name, "event", key], problem.to_string(), Some(help));
                None
            }
        }
    }

    fn schemas(&mut self, name: &str, written: &raw::Source) -> Option<SchemaSet> {
        let written = written.schemas.as_ref()?;
        let params = SchemaParams {
            dir: written.dir.as_ref().map(|dir| self.beside(dir)),
            events: written.events.iter().map(|(glob, file)| (glob.clone(), self.beside(file))).collect(),
            on_missing: match written.on_missing {
                Some(raw::OnMissing::Reject) => OnMissing::Reject,
                Some(raw::OnMissing::Quarantine) => OnMissing::Quarantine,
                Some(raw::OnMissing::Allow) | None => OnMissing::Allow,
            },
            on_invalid: match written.on_invalid {
                Some(raw::OnInvalid::Reject) => OnInvalid::Reject,
                Some(raw::OnInvalid::Allow) => OnInvalid::Allow,
                Some(raw::OnInvalid::Quarantine) | None => OnInvalid::Quarantine,
            },
            root: self.beside(std::path::Path::new("schemas")),
        };
        match SchemaSet::compile(params, self.world.read) {
            Ok(set) => Some(set),
            Err(problems) => {
                for problem in problems {
                    let at = self.place_of_schema(name, written, &problem.to_string());
                    self.problems.push(crate::config::Problem::error(
                        Code::InvalidSchema,
                        self.spans.file(),
                        at,
                        problem.to_string(),
                    ));
                }
                None
            }
        }
    }

    /// The entry that a schema's problem is about, by the file that it names; the whole section otherwise.
    fn place_of_schema(&self, name: &str, written: &raw::Schemas, problem: &str) -> crate::config::Span {
        let named = written
            .events
            .iter()
            .find(|(_, file)| file.file_name().is_some_and(|file| problem.contains(&*file.to_string_lossy())));
        let span = match named {
            Some((glob, _)) => self.spans.of(&path!["sources", name, "schemas", "events", glob]),
            None => self.spans.of(&path!["sources", name, "schemas", "dir"]),
        };
        span.or_else(|| self.spans.of(&path!["sources", name, "schemas"])).unwrap_or(crate::config::Span::TOP)
    }

    fn routes_of(&self, name: &str, routes: &BTreeMap<&str, Arc<Route>>) -> Vec<Arc<Route>> {
        let listens = |route: &raw::Route| route.from.0.iter().any(|from| from == name);
        let listening = self.raw.routes.iter().filter(|(_, route)| listens(route));
        listening.filter_map(|(route, _)| routes.get(route.as_str()).cloned()).collect()
    }
}

/// What an answer tells the sender about the event.
enum AnswerClass {
    /// It is taken care of.
    Stored,
    /// It is not, and should come again.
    NotStored,
    /// It was judged and turned away for good.
    Judged,
}

fn answer_class(outcome: raw::Outcome) -> AnswerClass {
    use raw::Outcome as O;
    match outcome {
        O::Accepted | O::Duplicate | O::Handshake | O::Filtered | O::Quarantined => AnswerClass::Stored,
        O::BodyTimeout
        | O::RateLimited
        | O::BufferFull
        | O::Overloaded
        | O::Draining
        | O::Internal
        | O::UpstreamError
        | O::UpstreamTimeout => AnswerClass::NotStored,
        O::SchemaRejected
        | O::Malformed
        | O::MissingSignature
        | O::BadSignature
        | O::StaleTimestamp
        | O::IpDenied
        | O::NotFound
        | O::MethodNotAllowed
        | O::BadContentType
        | O::TooLarge
        | O::HeadersTooLarge => AnswerClass::Judged,
    }
}

fn quota(written: &raw::RateLimit) -> SourceQuota {
    let rate = Rate::new(written.rate.count, written.rate.per, written.burst.map(|burst| burst.0));
    match written.per {
        Some(raw::Per::Ip) => SourceQuota::per_sender(rate),
        Some(raw::Per::Source) | None => SourceQuota::whole(rate),
    }
}

fn on_malformed(written: &raw::Source) -> OnMalformed {
    match written.schemas.as_ref().and_then(|schemas| schemas.on_invalid) {
        Some(raw::OnInvalid::Reject) => OnMalformed::Reject,
        Some(raw::OnInvalid::Allow) => OnMalformed::Allow,
        Some(raw::OnInvalid::Quarantine) | None => OnMalformed::Quarantine,
    }
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
