//! Ambiguous messages are refused, the connection ends, and bytes that hide behind them are not read.

use std::time::Duration;

use crate::support::{Receiver, Site, eventually, github};

/// Returns a whole, signed event; a gateway that reads it as a request accepts it.
fn canary() -> Vec<u8> {
    github("{\"canary\":true}").wire()
}

/// Returns a head with these lines instead of the usual ones, then `rest`.
fn message(line: &str, fields: &[&str], rest: &[u8]) -> Vec<u8> {
    let mut out = format!("{line}\r\n").into_bytes();
    for field in fields {
        out.extend_from_slice(field.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(rest);
    out
}

const LINE: &str = "POST /in/github HTTP/1.1";
const HOST: &str = "Host: hooks.test";
const CHUNKED: &str = "Transfer-Encoding: chunked";

fn of_lengths() -> Vec<(&'static str, Vec<u8>)> {
    let empty_chunks = b"0\r\n\r\n";
    let with = |fields: &[&str], rest: &[u8]| message(LINE, &[&[HOST], fields].concat(), rest);
    vec![
        ("CL and TE", with(&["Content-Length: 5", CHUNKED], empty_chunks)),
        ("TE and CL", with(&[CHUNKED, "Content-Length: 4"], empty_chunks)),
        ("TE gzip, chunked", with(&["Transfer-Encoding: gzip, chunked"], empty_chunks)),
        ("TE identity", with(&["Transfer-Encoding: identity"], b"")),
        ("TE identity, chunked", with(&["Transfer-Encoding: identity, chunked"], empty_chunks)),
        ("TE chunked, chunked", with(&["Transfer-Encoding: chunked, chunked"], empty_chunks)),
        ("TE chunked, identity", with(&["Transfer-Encoding: chunked, identity"], empty_chunks)),
        ("TE xchunked", with(&["Transfer-Encoding: xchunked"], empty_chunks)),
        ("TE with a tab", with(&["Transfer-Encoding: \u{b}chunked"], empty_chunks)),
        ("two TE", with(&[CHUNKED, CHUNKED], empty_chunks)),
        ("TE with a space before its colon", with(&["Transfer-Encoding : chunked"], empty_chunks)),
        ("two equal CL", with(&["Content-Length: 2", "Content-Length: 2"], b"{}")),
        ("two different CL", with(&["Content-Length: 2", "Content-Length: 0"], b"{}")),
        ("CL list", with(&["Content-Length: 2, 2"], b"{}")),
        ("CL +2", with(&["Content-Length: +2"], b"{}")),
        ("CL -2", with(&["Content-Length: -2"], b"{}")),
        ("CL 0x2", with(&["Content-Length: 0x2"], b"{}")),
        ("CL 2a", with(&["Content-Length: 2a"], b"{}")),
        ("CL empty", with(&["Content-Length:"], b"{}")),
        ("TE in HTTP/1.0", message("POST /in/github HTTP/1.0", &[HOST, CHUNKED], empty_chunks)),
        ("HTTP/1.0 without length", message("POST /in/github HTTP/1.0", &[HOST], b"{}")),
        ("bad chunk size", with(&[CHUNKED], b"zz\r\n{}\r\n0\r\n\r\n")),
        ("chunk size with a sign", with(&[CHUNKED], b"+2\r\n{}\r\n0\r\n\r\n")),
        ("chunk size over 64 bits", with(&[CHUNKED], b"10000000000000002\r\n{}\r\n0\r\n\r\n")),
        ("chunk without its line end", with(&[CHUNKED], b"2\r\n{}0\r\n\r\n")),
        ("bare line feed after a chunk size", with(&[CHUNKED], b"2\n{}\r\n0\r\n\r\n")),
    ]
}

/// Returns chunked bodies whose only mistake is between or behind the chunks.
fn of_chunks() -> Vec<(&'static str, Vec<u8>)> {
    let with = |name, rest: &[u8]| {
        let event = github("{}");
        (name, [event.head(), CHUNKED.into(), b"\r\n\r\n".to_vec(), rest.to_vec()].concat())
    };
    vec![
        with("NUL in an extension", b"2;\0\r\n{}\r\n0\r\n\r\n"),
        with("NUL in an extension of the last chunk", b"2\r\n{}\r\n0;a\0\r\n\r\n"),
        with("NUL in a quoted extension", b"2;a=\"\0\"\r\n{}\r\n0\r\n\r\n"),
        with("bare line feed in an extension", b"2;a\n{}\r\n0\r\n\r\n"),
        with("bare carriage return in an extension", b"2;a\rb\r\n{}\r\n0\r\n\r\n"),
        with("an extension without a name", b"2;=a\r\n{}\r\n0\r\n\r\n"),
        with("an extension that is too long", &[b"2;", &[b'a'; 5000][..], b"\r\n{}\r\n0\r\n\r\n"].concat()),
        with("a trailer without a colon", b"2\r\n{}\r\n0\r\nX-A\r\n\r\n"),
        with("a trailer with a space before its colon", b"2\r\n{}\r\n0\r\nX-A : a\r\n\r\n"),
        with("a trailer without a name", b"2\r\n{}\r\n0\r\n: a\r\n\r\n"),
        with("NUL in a trailer", b"2\r\n{}\r\n0\r\nX-A: \0\r\n\r\n"),
        with("a folded trailer", b"2\r\n{}\r\n0\r\nX-A: a\r\n b\r\n\r\n"),
        with("bare line feed after a trailer", b"2\r\n{}\r\n0\r\nX-A: a\n\r\n"),
        with("bare carriage return in a trailer", b"2\r\n{}\r\n0\r\nX-A: a\rb\r\n\r\n"),
        with("bare line feed at the end", b"2\r\n{}\r\n0\r\n\n"),
        with("Content-Length in the trailer", b"2\r\n{}\r\n0\r\nContent-Length: 2\r\n\r\n"),
        with("Host in the trailer", b"2\r\n{}\r\n0\r\nX-A: a\r\nhost: b\r\n\r\n"),
        with("a trailer that is too long", &[b"2\r\n{}\r\n0\r\nX: ", &[b'a'; 9000][..], b"\r\n\r\n"].concat()),
        with("bytes behind the end", b"2\r\n{}\r\n0\r\n\r\nx"),
        with("a line end behind the end", b"2\r\n{}\r\n0\r\n\r\n\r\n"),
        with("a chunk behind the end", b"2\r\n{}\r\n0\r\n\r\n2\r\n{}\r\n"),
        with("a request behind the end", &[b"2\r\n{}\r\n0\r\n\r\n", &canary()[..]].concat()),
        with("an empty line for a size", b"2\r\n{}\r\n\r\n\r\n"),
        with("a size with many zeros", b"000000000000000000002\r\n{}\r\n0\r\n\r\n"),
    ]
}

/// The event in these bodies is whole and signed; only the framing is wrong.
#[test]
fn a_chunked_body_with_anything_odd_between_or_behind_its_chunks_is_refused() {
    let receiver = Receiver::start();
    let gateway = Site::plain(&receiver).start();
    let mut wrong = Vec::new();
    for (name, message) in of_chunks() {
        // All at once, and byte by byte.
        for size in [message.len(), 1] {
            let mut connection = gateway.connect();
            for piece in message.chunks(size) {
                drop(connection.write(piece));
            }
            match connection.answer() {
                Ok(answer) if answer.status == 400 && answer.json()["outcome"] == "malformed" => {}
                // Bytes behind the end that come after the answer are not read.
                Ok(answer) if size == 1 && name.contains("behind the end") && answer.status == 200 => {}
                answer => wrong.push(format!("{name}, pieces of {size}: {answer:?}")),
            }
            if !connection.is_ended(Duration::from_secs(5)) {
                wrong.push(format!("{name}: the connection goes on"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Another gateway, because after five refusals of a kind the log only sums them up.
    let gateway = Site::plain(&receiver).start();
    let (_, behind) = of_chunks().into_iter().find(|(name, _)| name.contains("behind the end")).unwrap();
    let mut connection = gateway.connect();
    drop(connection.write(&behind));
    assert_eq!(connection.answer().unwrap().status, 400);
    let told = "bytes follow the end of the body";
    eventually(told, Duration::from_secs(20), || gateway.log().contains(told).then_some(()));
    // Well-formed extensions and trailers change nothing.
    let rest = b"1 ;a ; b=\"c;\\\"\"\r\n{\r\n1\r\n}\r\n0;d=e\r\nX-Checksum: 99914b93\r\n\r\n";
    let mut connection = gateway.connect();
    connection.write(&[github("{}").head(), CHUNKED.into(), b"\r\n\r\n".to_vec(), rest.to_vec()].concat()).unwrap();
    assert_eq!(connection.answer().unwrap().status, 200);
}

#[test]
fn a_chunked_body_without_its_last_line_end_is_refused() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let gateway = Site::new(&rest).listener("limits: {body_timeout: 1s}", &rest).start();
    let whole = github("{}").wire_chunked(2);
    for cut in 1..=5 {
        let mut connection = gateway.connect();
        connection.write(&whole[..whole.len() - cut]).unwrap();
        assert_eq!(connection.answer().unwrap().status, 408, "without the last {cut} bytes");
    }
    assert_eq!(receiver.connections(), 0);
}

fn of_lines() -> Vec<(&'static str, Vec<u8>)> {
    let length = "Content-Length: 0";
    let with = |line: &str| message(line, &[HOST, length], b"");
    let bare = String::from_utf8(message(LINE, &[HOST, length], b"")).unwrap().replace("\r\n", "\n").into_bytes();
    let one_bare = format!("{LINE}\r\n{HOST}\n{length}\r\n\r\n").into_bytes();
    vec![
        ("bare line feeds", bare),
        ("one bare line feed", one_bare),
        ("no Host", message(LINE, &[length], b"")),
        ("two Host", message(LINE, &[HOST, HOST, length], b"")),
        ("Host with a path", message(LINE, &["Host: a/b", length], b"")),
        ("Host with a space", message(LINE, &["Host: a b", length], b"")),
        ("Host with a user", message(LINE, &["Host: a@hooks.test", length], b"")),
        ("empty Host", message(LINE, &["Host:", length], b"")),
        ("NUL in a field", message(LINE, &[HOST, "X-A: a\0b", length], b"")),
        ("CR in a field", message(LINE, &[HOST, "X-A: a\rb", length], b"")),
        ("a folded field", message(LINE, &[HOST, "X-A: a", " b", length], b"")),
        ("a field without a colon", message(LINE, &[HOST, "X-A", length], b"")),
        ("a field name with a space", message(LINE, &[HOST, "X A: b", length], b"")),
        ("a tab", with("POST\t/in/github\tHTTP/1.1")),
        ("HTTP/0.9", b"POST /in/github\r\n\r\n".to_vec()),
        ("HTTP/1.2", with("POST /in/github HTTP/1.2")),
        ("HTTP/2.0", with("POST /in/github HTTP/2.0")),
        ("HTTP/1", with("POST /in/github HTTP/1")),
        ("no request", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03hello\r\n\r\n".to_vec()),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
    ]
}

#[test]
fn ambiguous_messages_are_refused_and_end_the_connection() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    // A connection that waits for the rest of a message is cut after a second.
    let site = Site::new(&rest).listener("limits: {header_timeout: 1s, body_timeout: 1s}", &rest);
    let gateway = site.start();
    let mut wrong = Vec::new();
    for (name, message) in of_lengths().into_iter().chain(of_lines()) {
        let mut connection = gateway.connect();
        drop(connection.write(&[message, canary()].concat()));
        match connection.answer() {
            // The gates come after the framing, so such a message never reaches them.
            Ok(answer) if !matches!(answer.status, 400 | 408) => wrong.push(format!("{name}: {}", answer.status)),
            Ok(_) if !connection.is_ended(Duration::from_secs(5)) => {
                wrong.push(format!("{name}: the connection goes on"));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(gateway.metrics().sum("hookgate_requests_total", &[("code", "200")]), 0);
    assert_eq!(receiver.connections(), 0);
    gateway.accept(&github("{}"));
}

#[test]
fn methods_and_targets_that_belong_to_no_source_are_refused() {
    let receiver = Receiver::start();
    let gateway = Site::plain(&receiver).start();
    let length = "Content-Length: 0";
    let cases = [
        ("CONNECT hooks.test:443 HTTP/1.1", 400..=405),
        ("OPTIONS * HTTP/1.1", 400..=405),
        ("POST * HTTP/1.1", 400..=404),
        ("post /in/github HTTP/1.1", 400..=405),
        ("Post /in/github HTTP/1.1", 400..=405),
        ("TRACE /in/github HTTP/1.1", 405..=405),
        ("BREW /in/github HTTP/1.1", 405..=405),
        ("POST http://other.test/in/github HTTP/1.1", 400..=400),
        ("POST //in/github HTTP/1.1", 400..=404),
        ("POST /in\\github HTTP/1.1", 400..=404),
        ("POST in/github HTTP/1.1", 400..=404),
        // pingora escapes invalid characters of a target before parsing; the escaped path is no source's.
        ("POST /in/github\0 HTTP/1.1", 400..=404),
        ("POST  /in/github HTTP/1.1", 400..=404),
        ("POST /in/github  HTTP/1.1", 400..=404),
        ("POST /in/github /x HTTP/1.1", 400..=404),
        ("POST /in/git hub HTTP/1.1", 400..=404),
    ];
    for (line, statuses) in cases {
        let mut connection = gateway.connect();
        connection.write(&message(line, &[HOST, length], b"")).unwrap();
        let answer = connection.answer().unwrap();
        assert!(statuses.contains(&answer.status), "{line}: {answer:?}");
    }
    assert_eq!(receiver.connections(), 0);
}
