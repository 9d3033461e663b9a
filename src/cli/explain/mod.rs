//! `hookgate explain`: all decisions about one request, with their reasons.
//!
//! A file is explained here, under the configuration at hand: a recorded request as it came over the wire, or a body,
//! which is then signed as its provider would sign it. A request that a gateway stored or captured is explained by that
//! gateway, under the rules in force there. With `--config` it is fetched and explained here, under that file.

mod page;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Value, json};

use super::admin::Admin;
use super::providers::OutputFormat;
use super::recorded_request::RecordedRequest;
use super::sample_request::{self, SampleParts, SampleRequest};
use super::send::Tamper;
use super::unknown::{self, Unknown};
use super::{Exit, check, load, terminal, verify};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::check::CheckedFile;
use crate::event::{IdPrefix, NotAnId};
use crate::explain::{Question, Signature, explain};
use crate::inbound::Head;
use crate::provider::NoKeys;
use crate::redact::Redaction;
use crate::refusal::RequestOutcome;
use crate::rules::SourceRules;
use crate::server::Setup;

const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate explain request.http\n\
    \x20 hookgate explain push.json --source github --event push\n\
    \x20 hookgate explain 01a1fd76-8a04-7238-9211-740ec6f37b7e\n\
    \x20 hookgate explain 01a1fd76-8a04-7238-9211-740ec6f37b7e --config new.yaml")]
pub(crate) struct Args {
    /// The id of a stored event or its beginning, or a file with a request as it came over the wire, or with a body. `-` is
    /// stdin.
    what: PathBuf,
    /// The source that is called, for a file with a body.
    #[arg(long, env = "HOOKGATE_SOURCE")]
    source: Option<String>,
    /// The event's type, for the header in which some providers send it.
    #[arg(long, env = "HOOKGATE_EVENT")]
    event: Option<String>,
    /// The path and query that are called, for a file with a body. Default: the source's path.
    #[arg(long, value_name = "PATH", env = "HOOKGATE_TARGET")]
    target: Option<String>,
    /// A header of the request, `name: value`. Can be given several times.
    #[arg(long, value_name = "HEADER", env = "HOOKGATE_HEADER")]
    header: Vec<String>,
    /// The fault in the request that is signed here.
    #[arg(long, value_enum, env = "HOOKGATE_TAMPER")]
    tamper: Option<Tamper>,
    /// The time of receipt, in seconds since 1970. Default: now.
    #[arg(long, value_name = "UNIX_SECONDS", env = "HOOKGATE_NOW")]
    now: Option<u64>,
    /// The configuration file. With this flag, a stored event is explained under this file; without it, or with the
    /// variable only, by its gateway. The file also has the gateway's address and token. Default: routes.yaml.
    #[arg(long, value_name = "FILE", env = "HOOKGATE_CONFIG")]
    config: Option<PathBuf>,
    /// The admin listener of the gateway, instead of the file's.
    #[arg(long, value_name = "URL", env = "HOOKGATE_ADMIN_URL")]
    admin: Option<String>,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_FORMAT")]
    format: OutputFormat,
}

/// Runs the command. `is_draft`: the configuration was named for this request, not by the environment for all commands.
pub(crate) fn run(args: &Args, is_draft: bool) -> Exit {
    match explained(args, is_draft) {
        Ok(told) if args.format == OutputFormat::Json => {
            terminal::say_json(&told);
            Exit::Ok
        }
        Ok(told) => {
            terminal::say(page::page(&told, terminal::wants_color(&std::io::stdout())));
            Exit::Ok
        }
        Err(exit) => exit,
    }
}

fn explained(args: &Args, is_draft: bool) -> Result<Value, Exit> {
    let text = args.what.to_str().unwrap_or_default();
    if text == "-" || args.what.exists() {
        return file(args);
    }
    match text.parse() {
        Ok(id) => stored(args, &id, is_draft),
        Err(none @ NotAnId) => {
            terminal::tell(format!("hookgate: `{}` is no file that can be read, and {none}", terminal::harmless(text)));
            Err(Exit::Failed)
        }
    }
}

fn config(args: &Args) -> &Path {
    args.config.as_deref().unwrap_or(Path::new("routes.yaml"))
}

fn stored(args: &Args, id: &IdPrefix, is_draft: bool) -> Result<Value, Exit> {
    let checked = load::load_or_tell(config(args)).ok_or(Exit::Config)?;
    let admin = Admin::new(args.admin.as_deref(), &checked);
    if is_draft {
        return drafted(args, &admin, id);
    }
    // Only the gateway has the limiters, and the secrets of that time.
    let answer = admin.get(&format!("/api/v1/events/{id}/explain")).map_err(|problem| problem.told())?;
    let mut told = answer.get("explanation").cloned().ok_or_else(|| admin.not_ours().told())?;
    if let (Some(told), Some(recorded)) = (told.as_object_mut(), answer.get("recorded")) {
        told.insert("recorded".to_owned(), recorded.clone());
    }
    Ok(told)
}

/// Explains a stored event under another file. Secrets need not be here.
fn drafted(args: &Args, admin: &Admin, id: &IdPrefix) -> Result<Value, Exit> {
    let setup = setup(load::load_to_try(config(args), &load::environment, SystemClock.now()), args)?;
    let answer = admin.get(&format!("/api/v1/events/{id}")).map_err(|problem| problem.told())?;
    let sheet = answer.get("event").ok_or_else(|| admin.not_ours().told())?;
    let Some(recorded) = RecordedRequest::read(sheet) else {
        terminal::tell("hookgate: the stored record of this event is damaged and cannot be read");
        return Err(Exit::Failed);
    };
    let (mut explanation, is_judged) = recorded.explained_as_recorded(&setup.live);
    explanation.without_levels();
    let mut notes = Vec::new();
    if recorded.is_redacted {
        notes.push(
            "the gateway does not show all of it (`capture`); conditions on what is hidden may say otherwise there",
        );
    }
    if recorded.hides_credentials && is_judged && recorded.event.verified_by.is_none() {
        notes.push("the gateway does not show the credential in it, so that what proves its sender is not judged here");
    }
    if !is_judged {
        notes.push("its signature cannot be judged here (no secret, or its time is over); taken as judged at receipt");
    } else if recorded.aside.is_some_and(RequestOutcome::is_for_signature) {
        notes.push("its signature is judged with those secrets of the file that can be read here");
    }
    let redaction = redaction(&setup, explanation.source.as_deref());
    let credentials = recorded.credentials(&redaction);
    let mut told = explanation.shown(&redaction, &credentials, &recorded.event.body);
    if let Some(told) = told.as_object_mut() {
        let of = |name: &str| sheet.get(name).cloned().unwrap_or_default();
        let mut then = json!({ "verified": of("verified"), "unverified": of("unverified") });
        if recorded.aside.is_some() {
            then = json!({
                "outcome": of("outcome"), "why": of("why"), "status": of("status"),
                "verified": of("verified"), "body": of("body_kept"),
            });
        }
        told.insert("recorded".to_owned(), then);
        told.insert("under".to_owned(), json!(config(args)));
        told.insert("notes".to_owned(), json!(notes));
    }
    Ok(told)
}

fn file(args: &Args) -> Result<Value, Exit> {
    let raw = verify::read_request(&args.what)
        .inspect_err(|error| terminal::tell(format!("hookgate: cannot read {}: {error}", args.what.display())))
        .map_err(|_told| Exit::Failed)?;
    if raw.len() > BODY_BYTES_MAX {
        terminal::tell(format!("hookgate: {} has more than {BODY_BYTES_MAX} bytes", args.what.display()));
        return Err(Exit::Failed);
    }
    let now = args.now.map_or_else(|| SystemClock.now(), Timestamp::from_unix_secs);
    if let Some((method, target, headers, body)) = verify::parse(&raw) {
        let setup = setup(load::load(config(args)), args)?;
        let (path, query) = target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
        let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let head = Head {
            method: &method,
            path,
            query,
            host: &host,
            headers: &headers,
            content_length: Some(body.len() as u64),
            params: &[],
            // A file does not hold the sender's address.
            sender: std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        };
        let body = Bytes::copy_from_slice(body);
        let question = question(head, &body, now);
        return Ok(tell(&setup, &Question { source: args.source.as_deref(), has_sender: false, ..question }));
    }
    // A body is signed here, with the secrets by which the rules verify.
    let setup = setup(load::load_to_try(config(args), &load::environment, now), args)?;
    let lane = lane(args, &setup)?;
    let request = made(args, lane, Bytes::from(raw), now)?;
    Ok(tell(&setup, &question(request.head(), &request.body, now)))
}

fn setup(read: std::io::Result<CheckedFile>, args: &Args) -> Result<Setup, Exit> {
    let mut checked = read.map_err(|error| {
        terminal::tell(format!("hookgate: cannot read {}: {error}", config(args).display()));
        Exit::Config
    })?;
    checked.setup.take().ok_or_else(|| {
        check::report(&checked);
        Exit::Config
    })
}

fn question<'a>(head: Head<'a>, body: &'a Bytes, now: Timestamp) -> Question<'a> {
    Question {
        head,
        body: Some(body),
        source: None,
        has_sender: true,
        signature: Signature::Judged,
        now,
        random: rand::random(),
        keys: &NoKeys,
    }
}

fn tell(setup: &Setup, question: &Question<'_>) -> Value {
    let mut told = explain(&setup.live.rules, &setup.live.destinations, question);
    told.without_levels();
    let (head, body) = (&question.head, question.body.cloned().unwrap_or_default());
    // The file belongs to the operator; the credential in it may be the one that signs the request here.
    let redaction = redaction(setup, told.source.as_deref());
    let headers = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let credentials = redaction.credentials_in((&head.target(), head.params), headers, &body);
    told.shown(&redaction, &credentials, &body)
}

/// Returns the redaction for a request that is explained here. Credentials and the values of variables are hidden.
fn redaction(setup: &Setup, source: Option<&str>) -> Redaction {
    let places = setup.live.rules.credentials(source.unwrap_or_default());
    setup.live.capture.redaction.only_values().with_credentials(&places)
}

fn lane<'a>(args: &Args, setup: &'a Setup) -> Result<&'a SourceRules, Exit> {
    let lanes = &setup.live.rules.lanes;
    let found = match &args.source {
        Some(name) => lanes.iter().find(|lane| *lane.source.name == **name),
        // One source needs no name.
        None => lanes.first().filter(|_| lanes.len() == 1),
    };
    found.ok_or_else(|| {
        if let Some(name) = &args.source {
            return unknown::tell(&[Unknown::source(name, lanes)]).err().unwrap_or(Exit::Usage);
        }
        let known: Vec<&str> = lanes.iter().map(|lane| &*lane.source.name).collect();
        let known = known.join(", ");
        terminal::tell(format!("hookgate: this is a body; say which source is called with --source; known: {known}"));
        Exit::Usage
    })
}

fn made(args: &Args, lane: &SourceRules, body: Bytes, now: Timestamp) -> Result<SampleRequest, Exit> {
    let headers = sample_request::written(&args.header).ok_or(Exit::Usage)?;
    let parts = SampleParts {
        event: args.event.as_deref().unwrap_or_default(),
        target: args.target.as_deref(),
        method: "POST",
        body,
        headers: &headers,
        sender: None,
        now,
        is_signed: true,
        tamper: args.tamper,
    };
    SampleRequest::new(lane, &parts).map_err(|none| {
        terminal::tell(format!("hookgate: {none}"));
        Exit::Failed
    })
}
