//! From what the file says to what it means: [`Checker`] turns a `raw::File` into a [`Setup`], or says all that is wrong.
//!
//! Each part of the file has its own leaf here; this file has the order and what all leaves share: the places, the
//! problems, and the surroundings (environment, files) that are handed in. Nothing is left half made: with one error
//! there is no `Setup`.

mod answers;
mod balance;
mod desk;
mod destination;
mod expression;
mod place;
mod process;
mod request;
mod route;
mod schema;
mod secret;
mod source;
mod tls;
mod tracing;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::{Code, Problem, Problems, quoted};
use super::raw;
use super::spans::{Seg, Span, Spans};
use super::{Loaded, Severity, nearest, path};
use crate::clock::Timestamp;
use crate::lane::Rules;
use crate::route::Route;
use crate::secret::Listed;
use crate::server::{Live, Setup};
use crate::source::SourceTable;

/// The world outside the file, handed in.
pub struct World<'a> {
    /// Looks an environment variable up.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// The time, for secrets with dates.
    pub now: Timestamp,
    /// How many processors there are.
    pub processors: usize,
}

impl std::fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

/// What became of a file.
#[derive(Debug)]
pub struct Checked {
    /// The meaning; `None` when there is an error.
    pub setup: Option<Setup>,
    /// How the log is to be written, as far as the file says it.
    pub log: Option<raw::Log>,
    /// Everything that was found, in the order of the file.
    pub problems: Vec<Problem>,
    /// The text as it may be shown.
    pub text: String,
    /// Every secret that the file names, be it readable here or not.
    pub secrets: Vec<Listed>,
    /// Where the file has the admin listener.
    pub admin: SocketAddr,
}

/// Reads and checks the text of `file`.
pub fn check(text: &str, file: &Path, world: &World<'_>) -> Checked {
    let Loaded { raw, spans, problems: found } = super::read(text, file, world.env);
    let mut problems = Problems::default();
    for problem in found {
        problems.push(problem);
    }
    let shown = spans.text().to_owned();
    let Some(raw) = raw else {
        return Checked {
            setup: None,
            log: None,
            problems: problems.into_sorted(),
            text: shown,
            secrets: Vec::new(),
            admin: process::ADMIN_LISTEN,
        };
    };
    let log = raw.server.log.clone();
    let base = file.parent().map(Path::to_owned).unwrap_or_default();
    let mut checker = Checker { raw: &raw, spans, problems, world, base, listed: Vec::new() };
    let setup = checker.setup();
    let problems = checker.problems.into_sorted();
    let has_error = problems.iter().any(|problem| problem.severity == Severity::Error);
    let admin = raw.admin.as_ref().and_then(|admin| admin.listen).map_or(process::ADMIN_LISTEN, |address| address.0);
    let secrets = checker.listed;
    Checked { setup: setup.filter(|_| !has_error), log, problems, text: shown, secrets, admin }
}

struct Checker<'a> {
    raw: &'a raw::File,
    spans: Spans,
    problems: Problems,
    world: &'a World<'a>,
    /// The folder of the file; paths in it are relative to this.
    base: PathBuf,
    /// Every secret that the file names, be it readable or not.
    listed: Vec<Listed>,
}

impl<'a> Checker<'a> {
    fn setup(&mut self) -> Option<Setup> {
        let providers = self.providers();
        let destinations = self.destinations();
        let keys = self.balance_keys();
        let routes = self.routes(&keys);
        let lanes = self.lanes(&providers, &routes);
        self.warn_of_unused(&routes);
        let process = self.process();
        let listeners = self.listeners();
        let pages = self.pages();
        let admin_token = self.admin_token();
        let buffer = self.buffer();
        let (rate_per_sender, rate_total) = self.rates();
        let lanes = lanes?;
        let table = SourceTable::new(lanes.iter().map(|lane| &lane.source));
        Some(Setup {
            process,
            listeners,
            pages,
            admin_token,
            buffer,
            live: Live {
                rules: Rules { lanes, table },
                destinations,
                trusted_proxies: self.raw.server.trusted_proxies.iter().map(|cidr| cidr.0).collect(),
                rate_per_sender,
                rate_total,
                secrets: self.listed.clone(),
            },
        })
    }

    /// An error about the value at `at`.
    fn error(&mut self, code: Code, at: &[Seg<'_>], message: impl Into<String>, help: Option<String>) {
        self.error_in(code, self.spans.of(at), message, help);
    }

    /// An error about something as a whole, or about what it lacks: the caret stands under its key.
    fn error_of(&mut self, code: Code, at: &[Seg<'_>], message: impl Into<String>, help: Option<String>) {
        self.error_in(code, self.spans.of_key(at), message, help);
    }

    fn error_in(&mut self, code: Code, span: Option<Span>, message: impl Into<String>, help: Option<String>) {
        let mut problem = Problem::error(code, self.spans.file(), span.unwrap_or(Span::TOP), message);
        problem.help = help;
        self.problems.push(problem);
    }

    fn warning(&mut self, code: Code, at: &[Seg<'_>], message: impl Into<String>, help: Option<String>) {
        let span = self.spans.of_key(at).unwrap_or(Span::TOP);
        let mut problem = Problem::warning(code, self.spans.file(), span, message);
        problem.help = help;
        self.problems.push(problem);
    }

    /// Reports a name that nothing has, with the nearest one that something has. Silent when the thing that it may mean
    /// was dropped because of a problem of its own.
    fn unknown_name(&mut self, (kind, section): (&str, &str), name: &str, at: &[Seg<'_>], known: &[&str]) {
        if self.spans.is_broken(&path![section, name]) || self.spans.of(&path![section, name]).is_some() {
            return;
        }
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("there is nothing under `{section}:`"),
            None => format!("known: {}", known.iter().take(20).copied().collect::<Vec<_>>().join(", ")),
        };
        self.error(Code::UnknownName, at, format!("there is no {kind} {}", quoted(name)), Some(help));
    }

    /// A path of the file, relative to its folder.
    fn beside(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    fn warn_of_unused(&mut self, routes: &BTreeMap<&'a str, Arc<Route>>) {
        // What a misspelt name was to mean is not unused.
        if self.problems.iter().any(|problem| problem.code == Code::UnknownName) {
            return;
        }
        for name in self.raw.sources.keys() {
            let is_heard = self.raw.routes.values().any(|route| route.from.0.iter().any(|from| from == name.as_str()));
            if !is_heard && !self.spans.is_broken(&path!["routes"]) {
                let help = format!("add a route with `from: {name}`, or all its events are answered and dropped");
                self.warning(Code::Unused, &path!["sources", name], "no route listens to this source", Some(help));
            }
        }
        for name in self.raw.destinations.keys() {
            let is_used = routes.values().any(|route| route.to.iter().any(|to| *to.destination == *name.as_str()));
            if !is_used && !self.spans.is_broken(&path!["routes"]) {
                self.warning(Code::Unused, &path!["destinations", name], "no route sends to this destination", None);
            }
        }
    }
}
