//! From what the file says to what it means: `Checker` turns a `raw::File` into a [`Setup`], or says all that is wrong.
//!
//! Each part of the file has its own leaf here; this file has the order and what all leaves share: the places, the
//! problems, and the surroundings (environment, files) that are handed in. Nothing is left half made: with one error
//! there is no `Setup`.

mod addresses;
mod answers;
mod balance;
mod bodies;
mod capture;
mod credentials;
mod desk;
mod destination;
mod doubt;
mod expression;
mod glob;
mod headers;
mod listener;
mod masked;
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
mod titles;
mod tls;
mod tracing;
mod twice;

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
use super::{Disk, Loaded, Severity, nearest, path};
use crate::body::Bodies;
use crate::clock::Timestamp;
use crate::lane::Rules;
use crate::limit::Gatekeeper;
use crate::route::Route;
use crate::secret::{Listed, Secret};
use crate::server::{Live, Setup};
use crate::source::SourceTable;
pub(super) use destination::DELIVERED_KEEP;
pub(super) use source::usual_body;

/// The world outside the file, handed in.
pub struct World<'a> {
    /// Looks an environment variable up.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a file.
    pub read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// Told of a file or folder before something else reads it: certificates, schemas.
    pub notice: &'a dyn Fn(&Path),
    /// The names in a folder, in any order.
    pub list: &'a dyn Fn(&Path) -> io::Result<Vec<OsString>>,
    /// The time, for secrets with dates.
    pub now: Timestamp,
    /// How many processors there are.
    pub processors: usize,
    /// The bytes of the file system that a folder lies on, or would lie on; `None` where nobody knows.
    pub disk_bytes: &'a dyn Fn(&Path) -> Option<u64>,
    /// What becomes of secrets.
    pub secrets: Secrets<'a>,
}

/// What becomes of the secrets and certificates that a file names. Nothing is answered or sent under rules without the real
/// ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets<'a> {
    /// They are read, and one that cannot be is an error.
    Real,
    /// They are not opened: for whoever only looks at the file.
    Named,
    /// This takes the place of those that cannot be read: for whoever tries the rules out.
    Instead(&'a str),
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
    /// Everything that was found, in the order of the files.
    pub problems: Vec<Problem>,
    /// What the file says, as far as it could be read.
    pub raw: Option<raw::File>,
    /// The files that were read, and where everything stands in them.
    pub spans: Spans,
    /// Every secret that the file names, be it readable here or not.
    pub secrets: Vec<Listed>,
    /// Sources of which some secret could not be read, and another text takes its place.
    pub stood_in_for: BTreeSet<String>,
    /// Where the file has the admin listener.
    pub admin: SocketAddr,
    /// The token of the admin listener, where it can be read; also when there is an error elsewhere.
    pub admin_token: Option<Secret>,
}

/// Reads and checks the text of `file`, with what it includes.
pub fn check(text: &str, file: &Path, world: &World<'_>) -> Checked {
    let Loaded { raw, spans, problems: found } =
        super::read(text, file, world.env, Disk { read: world.read, list: world.list });
    let mut problems = Problems::default();
    for problem in found {
        problems.push(problem);
    }
    let hidden = Hidden::of(&spans, world.env);
    let Some(raw) = raw else {
        return Checked {
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
    Checked { setup, log, problems, raw: Some(raw), spans, secrets, stood_in_for, admin, admin_token }
}

/// The problems in the order of the files, none of which says the value of a variable.
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
    world: &'a World<'a>,
    /// The folder of the main file; paths in it and in the files that it includes are relative to this.
    base: PathBuf,
    /// The values of variables that nothing says.
    hidden: Hidden,
    /// Every secret that the file names, be it readable or not.
    listed: Vec<Listed>,
    /// Sources of which some secret could not be read, and another text takes its place.
    stood_in_for: BTreeSet<String>,
    /// Of the admin listener.
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
        self.what_is_said_twice();
        self.doubts(&destinations);
        let process = self.process();
        let listeners = self.listeners();
        let pages = self.pages();
        self.token = self.admin_token();
        let buffer = self.buffer();
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

    /// The value at `at` as a message shows it: as it is written, so that the value of a variable is never said.
    fn quoted(&self, at: &[Seg<'_>]) -> String {
        quoted(self.spans.written(at).unwrap_or_default()).to_string()
    }

    /// Returns the parser's reason for rejecting a value, as the end of a message. The reason may repeat the value, so
    /// it is left out where the value contains a variable.
    fn because(&self, at: &[Seg<'_>], why: impl std::fmt::Display) -> String {
        if self.spans.has_variable(at) { String::new() } else { format!(": {why}") }
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
        self.error(Code::UnknownName, at, format!("there is no {kind} {}", self.quoted(at)), Some(help));
    }

    /// A path of the file, relative to its folder.
    fn beside(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    fn warn_of_unused(&mut self, routes: &BTreeMap<&'a str, Arc<Route>>) {
        // What a misspelt name was to mean is not unused.
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
