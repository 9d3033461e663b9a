//! The internal service: reads any HTTP/1.1 request to its end and answers 200 with no body.
//!
//! It handles the requests of this benchmark (keep-alive, `Content-Length`, chunked, requests cut anywhere) and does
//! nothing else, so that it never limits a measurement.

use std::io;

use bytes::{Buf, BytesMut};
use httparse::{EMPTY_HEADER, Header, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const HEADERS_MAX: usize = 64;
const REQUEST_BYTES_MAX: usize = 32 << 20;

/// Serves at `listen` until it is killed.
pub(crate) fn run(listen: &str) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve(listen))
}

async fn serve(listen: &str) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        connections.spawn(answer_all(stream));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer_all(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = BytesMut::with_capacity(64 << 10);
    loop {
        while let Some(length) = request_length(&received)? {
            received.advance(length);
            stream.write_all(ANSWER).await?;
        }
        if received.len() > REQUEST_BYTES_MAX {
            return Err(io::Error::other("request too large"));
        }
        received.reserve(16 << 10);
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    }
}

/// Returns the length of the first request in `received`; `None` while it is not complete.
fn request_length(received: &[u8]) -> io::Result<Option<usize>> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let Status::Complete(head) = request.parse(received).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let rest = received.get(head..).unwrap_or_default();
    let body = if header(request.headers, "transfer-encoding").is_some() {
        chunked_length(rest)?
    } else {
        let declared = header(request.headers, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        (rest.len() >= declared).then_some(declared)
    };
    Ok(body.map(|length| head + length))
}

/// Returns the length of the chunked body at the start of `rest`, with its framing, without trailers.
fn chunked_length(rest: &[u8]) -> io::Result<Option<usize>> {
    let mut at = 0;
    loop {
        let chunk = rest.get(at..).unwrap_or_default();
        let (line, size) = match httparse::parse_chunk_size(chunk) {
            Ok(Status::Complete(found)) => found,
            Ok(Status::Partial) => return Ok(None),
            Err(_) => return Err(io::Error::other("bad chunk size")),
        };
        // Size line, data, CRLF; the chunk of size zero ends the body.
        at = usize::try_from(size).ok().and_then(|size| at.checked_add(line + size + 2)).unwrap_or(usize::MAX);
        if at > rest.len() {
            return Ok(None);
        }
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

/// Returns the value of the header `name`, when it is text.
pub(crate) fn header<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(found.value).ok()
}
