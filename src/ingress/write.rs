//! Writing of an answer to the wire.

use http::header;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

use crate::reply::Reply;

/// Writes the answer with its exact length.
pub(super) async fn write(reply: &Reply, session: &mut ServerSession) -> Result<()> {
    if reply.closes || (reply.is_early && !session.is_body_done()) {
        session.set_keepalive(None);
    }
    let mut head = ResponseHeader::build(reply.status, Some(reply.headers.len() + 2))?;
    for (name, value) in &reply.headers {
        head.append_header(name.clone(), value.clone())?;
    }
    let bodiless = matches!(reply.status, 204 | 304);
    if !bodiless {
        head.insert_header(header::CONTENT_LENGTH, reply.body.len())?;
    }
    let empty = bodiless || reply.body.is_empty();
    session.write_response_header(Box::new(head)).await?;
    if !empty {
        session.write_response_body(reply.body.clone(), true).await?;
    }
    Ok(())
}
