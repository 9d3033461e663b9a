//! The meaning of the file: `Checker` turns a `raw::File` into a [`Setup`], or reports all problems.
//!
//! Each part of the file has its own leaf here. This file has the order, and the parts that all leaves share: the
//! places, the problems, and the surroundings (environment, files) that are handed in. Nothing is left half made: with
//! one error there is no `Setup`.

mod addresses;
mod answers;
mod balance;
mod bodies;
mod capture;
mod credentials;
mod destination;
mod expression;
mod glob;
mod handshakes;
mod headers;
mod lint_redundant;
mod lint_timing;
mod listener;
mod needs;
mod overlap;
mod place;
mod process;
mod provider;
mod request;
mod route;
mod schema;
mod secret;
mod shape;
mod source;
mod template;
mod tls;
mod tracing;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::{Code, Problem, Problems, quoted};
use super::raw;
use super::show::Hidden;
use super::spans::{Seg, Span, Spans};
use super::{IncludeFiles, Loaded, Severity, nearest, path};
use crate::body::Bodies;
use crate::clock::Timestamp;
use crate::limit::Gatekeeper;
use crate::route::Route;
use crate::rules::Rules;
use crate::secret::{ListedSecret, Secret};
use crate::server::{Live, Setup};
use crate::source::SourceTable;
pub(super) use destination::DELIVERED_KEEP;
pub(super) use source::usual_body;

/// The environment outside the file, handed in.
pub struct Environment<'a> {
    /// Looks an environment variable up.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// Called with a file or folder before another part reads it: certificates, schemas.
    pub notice: &'a dyn Fn(&Path),
    /// Lists the names in a folder, in any order.
    pub list: &'a dyn Fn(&Path) -> io::Result<Vec<OsString>>,
    /// The time, for secrets with dates.
    pub now: Timestamp,
    /// The number of processors.
    pub processors: usize,
    /// Returns the bytes of the file system of a folder, which may not exist yet; `None` where they are unknown.
    pub disk_bytes: &'a dyn Fn(&Path) -> Option<u64>,
    /// The treatment of secrets.
    pub secrets: Secrets<'a>,
}

/// The treatment of the secrets and certificates that a file names. Nothing is answered or sent under rules without the
/// real ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets<'a> {
    /// Secrets are read; a secret that cannot be read is an error.
    Real,
    /// Secrets are not opened, because only the file is inspected.
    Named,
    /// This text replaces secrets that cannot be read, because the rules are only tried out.
    Instead(&'a str),
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

/// The result of checking a file.
#[derive(Debug)]
pub struct CheckedFile {
    /// The meaning; `None` when there is an error.
    pub setup: Option<Setup>,
    /// The settings of the log, as far as the file has them.
    pub log: Option<raw::Log>,
    /// All problems, in the order of the files.
    pub problems: Vec<Problem>,
    /// The content of the file, as far as it could be read.
    pub raw: Option<raw::File>,
    /// The files that were read, and the places of all their values.
    pub spans: Spans,
    /// Every secret that the file names, whether or not it can be read here.
    pub secrets: Vec<ListedSecret>,
    /// Sources with a secret that could not be read and was replaced by another text.
    pub stood_in_for: BTreeSet<String>,
    /// The address of the admin listener.
    pub admin: SocketAddr,
    /// The token of the admin listener, where it can be read; also when there is an error elsewhere.
    pub admin_token: Option<Secret>,
}

/// Reads and checks the text of `file`, with the files that it includes.
pub fn check(text: &str, file: &Path, world: &Environment<'_>) -> CheckedFile {
    let Loaded { raw, spans, problems: found } =
        super::read(text, file, world.env, IncludeFiles { read: world.read, list: world.list });
    let mut problems = Problems::default();
    for problem in found {
        problems.push(problem);
    }
    let hidden = Hidden::of(&spans, world.env);
    let Some(raw) = raw else {
        return CheckedFile {
            setup: None,
            log: None,
            problems: shown(problems, &hidden),
            raw: None,
            spans,
            secrets: Vec::new(),
            stood_in_for: BTreeSet::new(),
            admin: process::ADMIN_LISTEN,
            admin_token: None,
        };
    };
    let log = raw.server.log.clone();
    let base = file.parent().map(Path::to_owned).unwrap_or_default();
    let (listed, stood_in_for) = (Vec::new(), BTreeSet::new());
    let mut checker = Checker {
        raw: &raw,
        spans,
        problems,
        world,
        base,
        hidden,
        listed,
        stood_in_for,
        token: None,
        bodies: Bodies::default(),
    };
    let setup = checker.setup();
    let Checker { spans, problems, hidden, listed: secrets, stood_in_for, token: admin_token, .. } = checker;
    let problems = shown(problems, &hidden);
    let has_error = problems.iter().any(|problem| problem.severity == Severity::Error);
    let admin = raw.admin.as_ref().and_then(|admin| admin.listen).map_or(process::ADMIN_LISTEN, |address| address.0);
    let setup = setup.filter(|_| !has_error);
    CheckedFile { setup, log, problems, raw: Some(raw), spans, secrets, stood_in_for, admin, admin_token }
}

/// Returns the problems in the order of the files, without the values of variables.
fn shown(problems: Problems, hidden: &Hidden) -> Vec<Problem> {
    let mut problems = problems.into_sorted();
    for problem in &mut problems {
        hidden.hide_in(problem);
    }
    problems
}

struct Checker<'a> {
    raw: &'a raw::File,
    spans: Spans,
    problems: Problems,
    world: &'a Environment<'a>,
    /// The folder of the main file; paths in it and in the files that it includes are relative to this.
    base: PathBuf,
    /// The values of variables, which no message shows.
    hidden: Hidden,
    /// Every secret that the file names, whether or not it can be read.
    listed: Vec<ListedSecret>,
    /// Sources with a secret that could not be read and was replaced by another text.
    stood_in_for: BTreeSet<String>,
    /// The token of the admin listener.
    token: Option<Secret>,
    /// The rules by which the bodies of stored events are read, by source.
    bodies: Bodies,
}

impl<'a> Checker<'a> {
    fn setup(&mut self) -> Option<Setup> {
        let providers = self.providers();
        self.bodies = self.bodies(&providers);
        let transforms = self.transforms();
        let mut destinations = self.destinations(&transforms);
        let keys = self.balance_keys();
        let routes = self.routes(&keys);
        let mut lanes = self.lanes(&providers, &routes);
        self.withhold(lanes.as_deref().unwrap_or_default(), &mut destinations);
        self.what_routes_need(lanes.as_deref_mut().unwrap_or_default());
        self.warn_of_unused(&routes);
        self.lint_redundant();
        self.lint_timing(&destinations);
        let process = self.process();
        let listeners = self.listeners();
        let pages = self.pages();
        self.token = self.admin_token();
        let buffer = self.buffer(&process.data_dir);
        let (per_sender, total) = self.rates();
        let trusted_proxies = self.raw.server.trusted_proxies.iter().map(|cidr| cidr.0).collect();
        let capture = self.capture();
        let lanes = lanes?;
        let table = SourceTable::new(lanes.iter().map(|lane| &lane.source));
        Some(Setup {
            process,
            listeners,
            pages,
            admin_token: self.token.clone(),
            buffer,
            live: Live {
                rules: Rules {
                    lanes,
                    table,
                    gatekeeper: Arc::new(Gatekeeper::new(per_sender, total)),
                    trusted_proxies,
                },
                destinations,
                capture,
                secrets: self.listed.clone(),
            },
        })
    }

    /// Returns the value at `at` for a message: the text as it is written, so that the value of a variable is never
    /// shown.
    fn quoted(&self, at: &[Seg<'_>]) -> String {
        quoted(self.spans.written(at).unwrap_or_default()).to_string()
    }

    /// Returns the parser's reason for rejecting a value, as the end of a message. The reason may repeat the value, so
    /// it is left out where the value contains a variable.
    fn because(&self, at: &[Seg<'_>], why: impl std::fmt::Display) -> String {
        if self.spans.has_variable(at) { String::new() } else { format!(": {why}") }
    }

    /// Reports an error about the value at `at`.
    fn error(&mut self, code: Code, at: &[Seg<'_>], message: impl Into<String>, help: Option<String>) {
        self.error_in(code, self.spans.of(at), message, help);
    }

    /// Reports an error about a whole entry, or about a part that it lacks: the caret stands under its key.
    fn error_of(&mut self, code: Code, at: &[Seg<'_>], message: impl Into<String>, help: Option<String>) {
        self.error_in(code, self.spans.of_key(at), message, help);
    }

    fn error_in(&mut self, code: Code, span: Option<Span>, message: impl Into<String>, help: Option<String>) {
        let span = span.unwrap_or(Span::TOP);
        let mut problem = Problem::error(code, self.spans.file_of(span), span, message);
        problem.help = help;
        self.problems.push(problem);
    }

    fn warning(&mut self, code: Code, at: &[Seg<'_>], message: impl Into<String>, help: Option<String>) {
        let span = self.spans.of_key(at).unwrap_or(Span::TOP);
        let mut problem = Problem::warning(code, self.spans.file_of(span), span, message);
        problem.help = help;
        self.problems.push(problem);
    }

    /// Reports an unknown name, with the nearest known one. Reports nothing when the named entry was dropped because of
    /// a problem of its own.
    fn unknown_name(&mut self, (kind, section): (&str, &str), name: &str, at: &[Seg<'_>], known: &[&str]) {
        if self.spans.is_broken(&path![section, name]) || self.spans.of(&path![section, name]).is_some() {
            return;
        }
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("there is nothing under `{section}:`"),
            None => format!("known: {}", known.iter().take(20).copied().collect::<Vec<_>>().join(", ")),
        };
        self.error(Code::UnknownName, at, format!("there is no {kind} {}", self.quoted(at)), Some(help));
    }

    /// Returns a path of the file, relative to its folder.
    fn beside(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    fn warn_of_unused(&mut self, routes: &BTreeMap<&'a str, Arc<Route>>) {
        // The entry that a misspelt name was meant to name is not unused.
        if self.problems.iter().any(|problem| matches!(problem.code, Code::UnknownName | Code::UnknownKey)) {
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
