//! A connection that reads while it writes: an answer that comes before the request is written is seen at once.
//!
//! pingora's session writes the whole request before it reads. It gets this type in place of its connection: the head
//! that the session writes is held back, the body lies beside it, and both go out whenever the session reads, in one
//! write where they fit. A failed write does not end the reading, because a service that refuses early closes a
//! connection with unread bytes, and the kernel still holds its answer. After such a failure an answer has
//! [`LAST_WORD`] to come.
//!
//! Not here: what the bytes mean (`exchange`).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout, timeout_at};

/// The time in which an answer must come after the request could not be written.
const LAST_WORD: Duration = Duration::from_secs(1);
/// The time in which a service that answered early must take some more of the request.
const STALL: Duration = Duration::from_secs(1);

/// The progress of writing the request.
#[derive(Debug)]
enum Sending {
    /// Some of the request is still to be written.
    Open,
    /// The connection has all of the request.
    Done,
    /// The rest of the request cannot be written.
    Broken(io::Error),
}

/// A connection with a request on its way out.
#[derive(Debug)]
pub(super) struct Duplex {
    inner: Stream,
    head: Vec<u8>,
    body: Bytes,
    /// The bytes of head and body that were written.
    sent: usize,
    sending: Sending,
    /// The time for an answer after a failed write.
    last_word: Option<Pin<Box<Sleep>>>,
}

impl Duplex {
    /// Makes a connection that sends `body` after the head that will be written to it.
    pub(super) fn new(inner: Stream, body: Bytes) -> Self {
        Self { inner, head: Vec::with_capacity(1024), body, sent: 0, sending: Sending::Open, last_word: None }
    }

    /// Returns the connection itself, when it has taken the whole request.
    pub(super) fn into_sent(self) -> Result<Stream, Self> {
        if matches!(self.sending, Sending::Done) { Ok(self.inner) } else { Err(self) }
    }

    /// Writes the rest of the request, as long as some of it is taken within [`STALL`], until `deadline` at most.
    pub(super) async fn send_rest(mut self, deadline: Instant) {
        let mut before = self.sent;
        loop {
            let sending = std::future::poll_fn(|cx| self.poll_send(cx));
            match timeout_at(deadline, timeout(STALL, sending)).await {
                Ok(Err(_stalled)) if self.sent > before => before = self.sent,
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Writes as much of the request as the connection takes; ready when nothing more will be written.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while matches!(self.sending, Sending::Open) {
            let head = self.head.get(self.sent..).unwrap_or_default();
            let body = self.body.get(self.sent.saturating_sub(self.head.len())..).unwrap_or_default();
            if head.is_empty() && body.is_empty() {
                self.sending = match ready!(Pin::new(&mut self.inner).poll_flush(cx)) {
                    Ok(()) => Sending::Done,
                    Err(error) => Sending::Broken(error),
                };
                break;
            }
            let both = [io::IoSlice::new(head), io::IoSlice::new(body)];
            let rest = if head.is_empty() { both.get(1..).unwrap_or_default() } else { both.as_slice() };
            match ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, rest)) {
                Ok(0) => self.sending = Sending::Broken(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent = self.sent.saturating_add(count),
                Err(error) => self.sending = Sending::Broken(error),
            }
        }
        Poll::Ready(())
    }

    /// Takes the error that ended the writing; later calls return its kind only.
    fn take_broken(&mut self) -> Option<io::Error> {
        let Sending::Broken(error) = &mut self.sending else { return None };
        let kind = error.kind();
        Some(std::mem::replace(error, kind.into()))
    }
}

impl AsyncRead for Duplex {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // An answer may be there whether the request could be written or not.
        let is_broken = this.poll_send(cx).is_ready() && matches!(this.sending, Sending::Broken(_));
        let before = buf.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buf) {
            Poll::Ready(Ok(())) if buf.filled().len() == before && buf.remaining() > 0 => {
                Poll::Ready(this.take_broken().map_or(Ok(()), Err))
            }
            Poll::Pending if is_broken => {
                let last_word = this.last_word.get_or_insert_with(|| Box::pin(sleep(LAST_WORD)));
                ready!(last_word.as_mut().poll(cx));
                Poll::Ready(this.take_broken().map_or(Ok(()), Err))
            }
            other => other,
        }
    }
}

/// Takes the head of the request, which is all that the session writes. Nothing goes out before the session reads.
impl AsyncWrite for Duplex {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.head.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Duplex {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

impl UniqueID for Duplex {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Duplex {}

impl Peek for Duplex {}

// Digests of a delivery are not used.
impl GetTimingDigest for Duplex {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Duplex {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Duplex {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}
