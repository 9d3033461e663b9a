//! `hookgate verify`: a recorded request by hand, or a file of cases.

use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Exit, load, terminal};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::provider::{self, Failed, Message, NoKeys, Verifier};
use crate::secret::{Secret, SecretName};
use crate::wrapping::seen;

const HEADERS_MAX: usize = 128;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 HOOKGATE_SECRET=\"$GITHUB_WEBHOOK_SECRET\" hookgate verify --provider github request.http\n\
    \x20 hookgate verify --batch cases.json")]
#[command(group = clap::ArgGroup::new("what").required(true).args(["batch", "provider"]))]
pub(crate) struct Args {
    /// A file of cases in the form of the vectors in `tests/vectors`. The result is one JSON line a case.
    #[arg(long, value_name = "CASES.json", env = "HOOKGATE_BATCH")]
    batch: Option<PathBuf>,
    /// The name of the provider, as in `hookgate providers`.
    #[arg(long, env = "HOOKGATE_PROVIDER", requires = "request")]
    provider: Option<String>,
    /// A secret. Can be given several times. Prefer the variable, because other users can see arguments.
    #[arg(long, env = "HOOKGATE_SECRET", hide_env_values = true)]
    secret: Vec<String>,
    /// The time of receipt, in seconds since 1970. Default: now.
    #[arg(long, value_name = "UNIX_SECONDS", env = "HOOKGATE_NOW")]
    now: Option<u64>,
    /// The public URL that the provider calls, for schemes that sign the URL.
    #[arg(long, env = "HOOKGATE_URL")]
    url: Option<String>,
    /// A value that the scheme needs beside the secrets, such as `webhook_id=…`. Can be given several times.
    #[arg(long, value_name = "LABEL=VALUE", value_parser = context_value, env = "HOOKGATE_CONTEXT")]
    context: Vec<(String, String)>,
    /// A file with the request as it came over the wire: request line, headers, empty line, body. `-` is stdin.
    request: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Exit {
    match (&args.batch, &args.provider, &args.request) {
        (Some(cases), _, _) => batch(cases),
        (None, Some(provider), Some(request)) => by_hand(args, provider, request),
        _ => Exit::Failed,
    }
}

fn batch(cases: &Path) -> Exit {
    let text = match load::read_text(cases) {
        Ok(text) => text,
        Err(error) => {
            terminal::tell(format!("hookgate: cannot read {}: {error}", cases.display()));
            return Exit::Failed;
        }
    };
    let folder = cases.parent().unwrap_or(Path::new("."));
    match provider::batch(&text, folder, provider::builtin()) {
        Ok(lines) => {
            for line in lines {
                terminal::say(serde_json::to_string(&line).unwrap_or_default());
            }
            Exit::Ok
        }
        Err(problem) => {
            terminal::tell(format!("hookgate: {}: {problem}", cases.display()));
            Exit::Failed
        }
    }
}

fn by_hand(args: &Args, provider: &str, request: &Path) -> Exit {
    let builtin = provider::builtin();
    let Some(row) = builtin.get(provider) else {
        let near = crate::config::provider_meant(provider, std::iter::empty());
        let help = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        terminal::tell(format!("hookgate: there is no provider `{}`{help}", terminal::harmless(provider)));
        return Exit::Failed;
    };
    let secrets = args.secret.iter().zip(1..);
    let secrets: Vec<Secret> = secrets
        .filter_map(|(text, number)| Secret::new(SecretName::new(&number.to_string()), text.clone().into_bytes()))
        .collect();
    let context = args.context.iter().cloned().collect();
    let verifier = match Verifier::new(row.scheme().clone(), secrets.clone(), context) {
        Ok(verifier) => verifier,
        Err(problem) => {
            terminal::tell(format!("hookgate: {problem}"));
            for secret in &secrets {
                let layers: Vec<&str> = seen(secret.expose()).iter().map(|layer| layer.is_seen_as()).collect();
                if !layers.is_empty() {
                    terminal::tell(format!("the secret `{}` {}", secret.name(), layers.join("; inside, it ")));
                }
            }
            return Exit::Failed;
        }
    };
    let raw = match read_request(request) {
        Ok(raw) => raw,
        Err(error) => {
            terminal::tell(format!("hookgate: cannot read {}: {error}", request.display()));
            return Exit::Failed;
        }
    };
    let Some((method, target, headers, body)) = parse(&raw) else {
        terminal::tell("hookgate: this is no HTTP request: a request line, headers, an empty line, the body");
        return Exit::Failed;
    };
    let url = args.url.clone().unwrap_or_else(|| target.clone());
    let message = Message { method: &method, url: &url, headers: &headers, body };
    let now = args.now.map_or_else(|| SystemClock.now(), Timestamp::from_unix_secs);
    match verifier.verify(&message, now) {
        Ok(proof) => {
            let secret = proof.secret().map_or("none", SecretName::as_str);
            terminal::say(format!("verified by secret {secret}"));
            if !proof.covers_body() {
                terminal::tell("note: this scheme does not cover the body; the sender is known, the content is not");
            }
            Exit::Ok
        }
        Err(failure) => {
            terminal::say(format!("failed: {} ({failure})", failure.label()));
            if verifier.scheme().signs_url() {
                terminal::say(format!("judged over the URL {}", terminal::harmless(&url)));
            }
            let failed =
                Failed { verifier: &verifier, secrets: &secrets, message, called: &target, ring: &NoKeys, now };
            for miss in failed.near_misses() {
                terminal::say(format!("near miss: {}", terminal::harmless(&miss)));
            }
            Exit::Failed
        }
    }
}

/// The error for a value of the context without a label.
#[derive(Debug)]
struct NoLabel;

impl std::fmt::Display for NoLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("write LABEL=VALUE")
    }
}

impl std::error::Error for NoLabel {}

fn context_value(text: &str) -> Result<(String, String), NoLabel> {
    let (label, value) = text.split_once('=').ok_or(NoLabel)?;
    Ok((provider::context_label(label), value.to_owned()))
}

pub(super) fn read_request(path: &Path) -> std::io::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut raw = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut raw)?;
        return Ok(raw);
    }
    std::fs::read(path)
}

type Parsed<'a> = (String, String, HeaderMap, &'a [u8]);

/// Splits a recorded request into its parts. The body is the rest after the empty line, byte for byte.
pub(super) fn parse(raw: &[u8]) -> Option<Parsed<'_>> {
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(head) = request.parse(raw).ok()? else { return None };
    let mut headers = HeaderMap::new();
    for field in request.headers.iter() {
        headers.append(HeaderName::from_bytes(field.name.as_bytes()).ok()?, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some((request.method?.to_owned(), request.path?.to_owned(), headers, raw.get(head..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_request_is_taken_apart_and_its_body_left_alone() {
        let (method, target, headers, body) = parse(b"POST /in/x?a=1 HTTP/1.1\r\nX-A: b\r\n\r\n{}\r\n").unwrap();
        assert_eq!((method.as_str(), target.as_str()), ("POST", "/in/x?a=1"));
        assert_eq!((headers.get("x-a").unwrap().as_bytes(), body), (&b"b"[..], &b"{}\r\n"[..]));
        assert!(parse(b"no request").is_none());
    }
}
