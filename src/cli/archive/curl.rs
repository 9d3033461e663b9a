//! A stored request as one shell command that sends it again, byte for byte.
//!
//! The command is for any POSIX shell, with curl and, for bodies that are no plain text, base64. Every text of a
//! stranger stands in single quotes or is encoded, so that neither the shell nor a terminal that shows the command
//! obeys it. The headers of the connection (`Host`, framing) are not sent again, because curl makes them anew. Nothing
//! that curl would add by itself is sent. `Hookgate-…` headers are not added: this is the sender's request, not a
//! delivery. Where the gateway hides a credential, the command has a variable of the shell; the command stops when the
//! variable is not set.

use data_encoding::BASE64;
use serde_json::Value;

use super::json;
use crate::cli::terminal;
use crate::credential::{CredentialPlace, name_of};
use crate::deliver::Target;
use crate::hop;

/// The limit of one argument: the system may not take a longer one; the shell's own `printf` takes any.
const ARGUMENT_BYTES_MAX: usize = 64 * 1024;

/// The headers that curl adds unless it is told not to.
const ADDED_BY_CURL: &[&str] = &["accept", "content-type", "expect", "user-agent"];

#[derive(Debug)]
pub(super) struct CurlRequest {
    method: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The places whose values the gateway hides, as it writes them.
    hidden: Vec<String>,
}

/// Checks whether curl makes the header itself: it belongs to the connection, frames the request, or is for a proxy.
fn is_made_anew(name: &str) -> bool {
    hop::is_hop_by_hop(name) || matches!(name, "content-length" | "expect" | "host" | "proxy-authorization")
}

impl CurlRequest {
    /// Returns the headers that may have held bytes that are no text: the gateway shows them changed.
    pub(super) fn changed(&self) -> impl Iterator<Item = &str> {
        let is_changed = |value: &str| value.contains(char::REPLACEMENT_CHARACTER);
        self.headers.iter().filter(move |(_, value)| is_changed(value)).map(|(name, _)| name.as_str())
    }

    /// Reads the request as it was stored; `None` when it cannot be read any more.
    pub(super) fn of(raw: &Value) -> Option<Self> {
        let text = |name: &str| raw.get(name)?.as_str().map(str::to_owned);
        let headers = raw
            .get("headers")?
            .as_array()?
            .iter()
            .filter_map(|header| Some((header.get(0)?.as_str()?.to_owned(), header.get(1)?.as_str()?.to_owned())));
        let query = text("target")?.split_once('?').map(|(_, query)| query.to_owned());
        let hidden = raw.get("hidden").and_then(Value::as_array).into_iter().flatten();
        let hidden = hidden.filter_map(|place| place.as_str().map(str::to_owned)).collect();
        Some(Self { method: text("method")?, query, headers: headers.collect(), body: json::body(raw)?, hidden })
    }

    /// Returns the variables in the command, which stand for hidden values.
    pub(super) fn variables(&self) -> Vec<String> {
        // The path is the one that the command calls.
        let is_sent =
            |place: &&String| !place.starts_with("path:") && !place.strip_prefix("header:").is_some_and(is_made_anew);
        self.hidden.iter().filter(is_sent).map(|place| variable(place)).collect()
    }

    fn hides(&self, place: &CredentialPlace) -> bool {
        self.hidden.contains(&place.to_string())
    }

    /// Returns the URL with the query, as one argument of the shell.
    fn url(&self, url: &str) -> String {
        let Some(query) = &self.query else { return argument(url) };
        let mut plain = format!("{url}{}", if url.contains('?') { '&' } else { '?' });
        let mut shell = String::new();
        for (index, pair) in query.split('&').enumerate() {
            plain.push_str(if index > 0 { "&" } else { "" });
            let place = CredentialPlace::Query(name_of(pair));
            if self.hides(&place) {
                plain.push_str(pair.split_once('=').map_or(pair, |(name, _)| name));
                plain.push('=');
                shell.push_str(&argument(&plain));
                shell.push_str(&placeholder(&place));
                plain.clear();
            } else {
                plain.push_str(pair);
            }
        }
        if !plain.is_empty() {
            shell.push_str(&argument(&plain));
        }
        shell
    }
}

/// Returns the variable of a place: `header:x-gitlab-token` → `X_GITLAB_TOKEN`.
fn variable(place: &str) -> String {
    let name = place.split_once(':').map_or(place, |(_, name)| name);
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// Returns a use of a variable of the shell that has to be set.
fn placeholder(place: &CredentialPlace) -> String {
    format!("\"${{{}:?}}\"", variable(&place.to_string()))
}

/// Returns the command; `None` when `url` is no URL.
pub(super) fn command(request: &CurlRequest, url: &str) -> Option<String> {
    Target::parse(url)?;
    let url = request.url(url);
    let mut parts = vec![format!("curl -sS -i --globoff --path-as-is -X {} {url}", argument(&request.method))];
    let is_message = |name: &str| !is_made_anew(name) && !name.starts_with("hookgate-");
    let headers = request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    let headers: Vec<_> = headers.filter(|(name, _)| is_message(name)).collect();
    let is_given = |wanted: &str| headers.iter().any(|(name, _)| name == wanted);
    parts.extend(headers.iter().map(|(name, value)| {
        let place = CredentialPlace::Header(name.clone());
        if request.hides(&place) {
            return format!("-H {}{}", argument(&format!("{name}: ")), placeholder(&place));
        }
        // curl takes an empty value for the removal of a header, unless it is written so.
        let header = if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") };
        format!("-H {}", argument(&header))
    }));
    let added = ADDED_BY_CURL.iter().filter(|name| !is_given(name));
    parts.extend(added.map(|name| format!("-H '{name}:'")));
    let (before, data) = body(request);
    parts.extend(data);
    Some(format!("{before}{}", parts.join(" \\\n  ")))
}

/// Returns the commands that are piped into curl, and curl's argument for the body.
fn body(request: &CurlRequest) -> (String, Option<String>) {
    let has_none = request.body.is_empty() && matches!(request.method.as_str(), "GET" | "HEAD" | "DELETE" | "OPTIONS");
    let from_stdin = Some("--data-binary @-".to_owned());
    match std::str::from_utf8(&request.body) {
        _ if has_none => (String::new(), None),
        Ok(text) if is_plain(text) && text.len() <= ARGUMENT_BYTES_MAX && !text.starts_with('@') => {
            (String::new(), Some(format!("--data-binary {}", quoted(text))))
        }
        Ok(text) if is_plain(text) => (format!("printf %s {} | ", quoted(text)), from_stdin),
        Ok(_) | Err(_) => (format!("printf %s {} | base64 -d | ", quoted(&BASE64.encode(&request.body))), from_stdin),
    }
}

/// Returns whether a terminal shows the text, and gives it back when it is copied.
fn is_plain(text: &str) -> bool {
    !text.chars().any(|letter| terminal::is_obeyed(letter) && letter != '\n')
}

/// Returns one argument of a shell's command.
fn argument(text: &str) -> String {
    if is_plain(text) && !text.contains('\n') {
        return quoted(text);
    }
    let octal = text.bytes().map(|byte| match byte {
        b' '..=b'~' if byte != b'\'' && byte != b'\\' => char::from(byte).to_string(),
        _ => format!("\\0{byte:03o}"),
    });
    format!("\"$(printf %b '{}')\"", octal.collect::<String>())
}

/// Quotes a text in single quotes, where a POSIX shell reads every byte as itself.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    use super::*;

    fn request(headers: &[(&str, &str)], body: &[u8]) -> CurlRequest {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        CurlRequest {
            method: "POST".into(),
            query: Some("a=[1]&b='x'".into()),
            headers,
            body: body.to_vec(),
            hidden: Vec::new(),
        }
    }

    /// Returns the request that a server gets when `sh` runs the command: the lines of the head, and the body.
    fn sent(request: &CurlRequest) -> (Vec<String>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hooks?own=1", listener.local_addr().unwrap());
        let mut sh = Command::new("sh").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        sh.stdin.take().unwrap().write_all(command(request, &url).unwrap().as_bytes()).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut got = Vec::new();
        let end = loop {
            let mut some = [0; 4096];
            let count = stream.read(&mut some).unwrap();
            assert_ne!(count, 0, "{}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&some[..count]);
            if let Some(at) = got.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
        };
        let head: Vec<String> = String::from_utf8_lossy(&got[..end]).split("\r\n").map(str::to_owned).collect();
        let length: u64 = head.iter().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
        let mut body = got.split_off(end + 4);
        let rest = length - body.len() as u64;
        Read::by_ref(&mut stream).take(rest).read_to_end(&mut body).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        drop(stream);
        assert!(sh.wait().unwrap().success());
        (head, body)
    }

    #[test]
    fn a_credential_that_is_not_shown_is_a_variable_that_has_to_be_set() {
        let hidden = ["header:x-gitlab-token", "path:token", "query:a"].map(str::to_owned).to_vec();
        let request = CurlRequest { hidden, ..request(&[("x-gitlab-token", "[redacted]")], b"x") };
        let command = command(&request, "http://h/hooks").unwrap();
        assert!(command.contains(r#"'http://h/hooks?a='"${A:?}"'&b='"#), "{command}");
        assert!(command.contains(r#"-H 'x-gitlab-token: '"${X_GITLAB_TOKEN:?}""#), "{command}");
        assert_eq!(request.variables(), ["X_GITLAB_TOKEN", "A"]);
    }

    #[test]
    fn a_shell_sends_the_same_bytes_whatever_they_are() {
        let long = "x".repeat(300_000);
        let every: Vec<u8> = (0..=255).collect();
        let bodies: [&[u8]; 9] = [
            b"{\"it's\": \"$HOME `id` \\\\n %s !\"}\n\n",
            b"@/etc/passwd",
            b"",
            b"-n",
            b"a\r\nb\tc",
            "ü€😀'\u{202e}".as_bytes(),
            &every,
            b"\x1b[2J",
            long.as_bytes(),
        ];
        for body in bodies {
            assert!(
                sent(&request(&[], body)).1 == body,
                "{}",
                String::from_utf8_lossy(body).chars().take(20).collect::<String>()
            );
        }
    }

    #[test]
    fn a_shell_sends_the_same_headers_and_no_others() {
        let headers = [
            ("Host", "hooks.example.com"),
            ("content-length", "99"),
            ("hookgate-event-id", "forged"),
            ("x-quote", "it's \"$HOME\" `id` \\"),
            ("x-empty", ""),
            ("x-twice", "1"),
            ("x-twice", "2"),
            ("x-tab", "a\tb\\'ü"),
            ("user-agent", "GitHub-Hookshot/1"),
        ];
        let (head, _) = sent(&request(&headers, b"{}"));
        assert_eq!(head[0], "POST /hooks?own=1&a=[1]&b='x' HTTP/1.1");
        let others =
            head[1..].iter().filter(|line| !line.starts_with("Host: 127.0.0.1:") && *line != "Content-Length: 2");
        let mut others: Vec<&str> = others.map(String::as_str).collect();
        others.sort_unstable();
        let wanted = [
            "user-agent: GitHub-Hookshot/1",
            "x-empty:",
            "x-quote: it's \"$HOME\" `id` \\",
            "x-tab: a\tb\\'ü",
            "x-twice: 1",
            "x-twice: 2",
        ];
        assert_eq!(others, wanted);
    }

    #[test]
    fn the_command_can_be_read() {
        let mut plain = request(&[("content-type", "application/json")], b"{\"a\":1}");
        plain.query = None;
        let wanted = "curl -sS -i --globoff --path-as-is -X 'POST' 'http://ci:8080/hooks' \\
  -H 'content-type: application/json' \\
  -H 'accept:' \\
  -H 'expect:' \\
  -H 'user-agent:' \\
  --data-binary '{\"a\":1}'";
        assert_eq!(command(&plain, "http://ci:8080/hooks").unwrap(), wanted);
        assert_eq!(command(&plain, "ci:8080"), None);
    }
}
