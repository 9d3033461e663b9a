//! `hookgate send`: an event, signed as its provider would sign it, sent to a gateway.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::ValueEnum;
use http::{HeaderMap, HeaderValue, header};

use super::sample_request::{self, NoRequest};
use super::unknown::{self, Unknown};
use super::{Exit, check, load, sample, terminal};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::deliver::{Answer, Bounds, Client, NoAnswer, Outgoing, Target, Transport};
use crate::provider::{EventTemplate, Message, Row, SignProblem, SignRequest};
use crate::rules::SourceRules;
use crate::server::Setup;

const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The shift of the clock with `--tamper time`: past every provider's window.
const STALE: Duration = Duration::from_hours(3);

/// The fault that is made on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tamper {
    /// One byte of the body is changed after signing.
    Body,
    /// One character of the signature is changed.
    Signature,
    /// The request was signed hours ago.
    Time,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate send github push\n\
    \x20 hookgate send stripe invoice.paid --tamper signature\n\
    \x20 hookgate send shop --file order.json --to http://127.0.0.1:8080/in/shop/acme\n\
    \x20 hookgate send github push -n 100 --rate 20")]
pub(crate) struct Args {
    /// The name of the source in the configuration.
    source: String,
    /// The event type. A recorded event of this type is sent unless --file names a body.
    event: Option<String>,
    /// A file with the body.
    #[arg(long, env = "HOOKGATE_FILE")]
    file: Option<PathBuf>,
    /// A header of the request, `name: value`, instead of the provider's header of this name. Can be given several
    /// times.
    #[arg(long, value_name = "HEADER", env = "HOOKGATE_HEADER")]
    header: Vec<String>,
    /// Send a recorded event with its recorded id, not with a new id each time. The gateway takes the second one for a
    /// duplicate. A body of --file is never changed.
    #[arg(long, env = "HOOKGATE_KEEP_ID")]
    keep_id: bool,
    /// The URL that is called, instead of the source's path at the configuration's first listener.
    #[arg(long, value_name = "URL", env = "HOOKGATE_TO")]
    to: Option<String>,
    /// The fault in the request.
    #[arg(long, value_enum, env = "HOOKGATE_TAMPER")]
    tamper: Option<Tamper>,
    /// The number of events.
    #[arg(short, long, default_value_t = 1, env = "HOOKGATE_COUNT")]
    n: u32,
    /// The maximum number of events a second.
    #[arg(long, env = "HOOKGATE_RATE", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// The configuration file, for the source's scheme and secret.
    #[arg(long, default_value = "routes.yaml", env = "HOOKGATE_CONFIG")]
    config: PathBuf,
}

/// A signed request, ready to be sent.
pub(crate) struct SignedRequest {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) fn run(args: &Args) -> Exit {
    let Some(setup) = setup(args) else { return Exit::Config };
    let Some(lane) = setup.live.rules.lanes.iter().find(|lane| *lane.source.name == *args.source) else {
        let unknown = Unknown::source(&args.source, &setup.live.rules.lanes);
        return unknown::tell(&[unknown]).err().unwrap_or(Exit::Usage);
    };
    let Some(own) = sample_request::written(&args.header) else { return Exit::Usage };
    let Some(body) = body(args, lane) else { return Exit::Failed };
    let Some(target) = target(args, lane, &setup) else { return Exit::Failed };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(send_all(args, (lane, &own), &body, &target)),
        Err(error) => {
            terminal::tell(format!("hookgate: cannot start: {error}"));
            Exit::Failed
        }
    }
}

fn setup(args: &Args) -> Option<Setup> {
    let mut checked = load::load_or_tell(&args.config)?;
    let setup = checked.setup.take();
    if setup.is_none() {
        check::report(&checked);
    }
    setup
}

fn body(args: &Args, lane: &SourceRules) -> Option<Bytes> {
    if let Some(file) = &args.file {
        let read = std::fs::read(file)
            .inspect_err(|error| terminal::tell(format!("hookgate: cannot read {}: {error}", file.display())));
        return read.ok().map(Bytes::from);
    }
    let provider = lane.provider.as_ref().map_or("", |row| row.id());
    let found = sample::find(provider, args.event.as_deref());
    if found.is_none() {
        let known: Vec<&str> =
            sample::SAMPLES.iter().filter(|sample| sample.provider == provider).map(|sample| sample.event).collect();
        let help = if known.is_empty() {
            "give the body with --file".to_owned()
        } else {
            format!("recorded events: {}", known.join(", "))
        };
        terminal::tell(format!("hookgate: there is no recorded event for this source and type; {help}"));
    }
    found.map(|sample| Bytes::from_static(sample.body.as_bytes()))
}

fn target(args: &Args, lane: &SourceRules, setup: &Setup) -> Option<Target> {
    let url = match (&args.to, setup.listeners.first()) {
        (Some(url), _) => url.clone(),
        (None, Some(listener)) => {
            let scheme = if listener.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{}{}", listener.address, lane.source.path.as_str())
        }
        (None, None) => return None,
    };
    let target = Target::parse(&url);
    if target.is_none() || url.contains('{') {
        terminal::tell("hookgate: say where to with --to http://host:port/path");
        return None;
    }
    target
}

async fn send_all(
    args: &Args,
    (lane, own): (&SourceRules, &[(String, String)]),
    body: &Bytes,
    target: &Target,
) -> Exit {
    let client = Client::new();
    let provider = lane.provider.as_ref().map_or("", |row| row.id());
    let event =
        args.event.as_deref().or_else(|| sample::find(provider, None).map(|sample| sample.event)).unwrap_or_default();
    let mut pace = args.rate.map(|rate| tokio::time::interval(Duration::from_secs(1) / rate));
    let mut exit = Exit::Ok;
    for _ in 0..args.n {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let now = SystemClock.now();
        let id = if args.keep_id { sample::recorded_id(event) } else { delivery_id(now) };
        let headers = sample::headers(provider, event, &id);
        let body = fresh(args, lane, body, rand::random());
        let signed = match signed(args, (lane, own), headers, body, now) {
            Ok(signed) => signed,
            Err(problem) => {
                terminal::tell(format!("hookgate: {problem}"));
                return Exit::Failed;
            }
        };
        match post(&client, target, &signed).await {
            Ok(answer) => {
                let id = answer.headers.get("hookgate-event-id").and_then(|id| id.to_str().ok()).unwrap_or("-");
                terminal::say(
                    format!("{} {id} {}", answer.status, terminal::harmless(&String::from_utf8_lossy(&answer.body)))
                        .trim_end(),
                );
                if !(200..300).contains(&answer.status) {
                    exit = Exit::Failed;
                }
            }
            Err(no_answer) => {
                terminal::tell(format!("hookgate: no answer from {}: {}", target.authority(), no_answer.detail));
                return Exit::Unreachable;
            }
        }
    }
    exit
}

/// Signs the request; headers of the command line replace also those of the signature.
fn signed(
    args: &Args,
    (lane, own): (&SourceRules, &[(String, String)]),
    mut headers: HeaderMap,
    body: Bytes,
    now: Timestamp,
) -> Result<SignedRequest, NoRequest> {
    headers.insert(header::CONTENT_TYPE, sample::content_type(lane.provider.as_ref(), &body));
    sample_request::edit(&mut headers, own)?;
    let target = lane.source.path.as_str();
    let mut signed = sign(lane, (target, headers), body, now, args.tamper).map_err(NoRequest::Sign)?;
    sample_request::edit(&mut signed.headers, own)?;
    Ok(signed)
}

/// Returns the body of a recorded event as another event: with another id, where its source reads one in the body. An
/// id may be built from several places: the place of the provider's own id goes first. A place of the event type is not
/// changed, because the event would take another route.
fn fresh(args: &Args, lane: &SourceRules, body: &Bytes, random: [u8; 32]) -> Bytes {
    if args.file.is_some() || args.keep_id {
        return body.clone();
    }
    let of_type: Vec<&str> = lane.event_type.iter().flat_map(EventTemplate::pointers).collect();
    let delivery = lane.provider.as_ref().and_then(Row::delivery);
    let of_provider: Vec<&str> = delivery.into_iter().flat_map(EventTemplate::pointers).collect();
    let pointers = lane.delivery_id.iter().flat_map(EventTemplate::pointers);
    let mut pointers: Vec<&str> = pointers.filter(|at| !of_type.contains(at)).collect();
    pointers.sort_by_key(|at| !of_provider.contains(at));
    let text = std::str::from_utf8(body).ok();
    let fresh = text.and_then(|text| pointers.iter().find_map(|at| sample::with_fresh_id(text, at, random)));
    fresh.map_or_else(|| body.clone(), Bytes::from)
}

/// Returns a delivery id in the form of providers.
pub(crate) fn delivery_id(now: Timestamp) -> String {
    crate::event::EventId::at(now, rand::random()).to_string()
}

/// Signs as the provider would, then applies `tamper`.
pub(crate) fn sign(
    lane: &SourceRules,
    (target, mut headers): (&str, HeaderMap),
    body: Bytes,
    now: Timestamp,
    tamper: Option<Tamper>,
) -> Result<SignedRequest, SignProblem> {
    let signed_at = match tamper {
        Some(Tamper::Time) => Timestamp::from_unix_ms(now.unix_ms().saturating_sub(STALE.as_secs() * 1000)),
        Some(Tamper::Body | Tamper::Signature) | None => now,
    };
    let id = format!("msg_{}", delivery_id(now));
    let url = lane.source.signed_url(target);
    let message = Message { method: "POST", url: &url, headers: &headers, body: &body };
    let made = lane.verifier.sign(&SignRequest { message, id: &id, now: signed_at })?;
    for (name, value) in made {
        let is_signature = tamper == Some(Tamper::Signature)
            && lane.verifier.scheme().signature_headers().any(|header| header == name.as_str());
        headers.insert(name, if is_signature { spoiled(&value) } else { value });
    }
    let body = if tamper == Some(Tamper::Body) { changed(&body) } else { body };
    Ok(SignedRequest { headers, body })
}

/// Returns the value with its last letter or digit replaced by another one.
fn spoiled(value: &HeaderValue) -> HeaderValue {
    let mut bytes = value.as_bytes().to_vec();
    if let Some(last) = bytes.iter_mut().rev().find(|byte| byte.is_ascii_alphanumeric()) {
        *last = if *last == b'0' { b'1' } else { b'0' };
    }
    HeaderValue::from_bytes(&bytes).unwrap_or_else(|_never| value.clone())
}

/// Returns the body with its last letter changed.
fn changed(body: &Bytes) -> Bytes {
    let mut bytes = body.to_vec();
    if let Some(letter) = bytes.iter_mut().rev().find(|byte| byte.is_ascii_lowercase()) {
        *letter = if *letter == b'a' { b'b' } else { b'a' };
    }
    Bytes::from(bytes)
}

/// Posts a signed request.
pub(crate) async fn post(client: &Client, target: &Target, signed: &SignedRequest) -> Result<Answer, NoAnswer> {
    let out = Outgoing { method: "POST", query: None, headers: &signed.headers, body: &signed.body };
    let bounds = Bounds { connect: TIMEOUT, total: TIMEOUT, answer_time: TIMEOUT, answer_bytes_max: ANSWER_BYTES_MAX };
    client.send(target, &out, bounds).await
}
