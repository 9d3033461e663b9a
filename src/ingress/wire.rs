//! A connection that speaks HTTP/1, one message at a time.
//!
//! [`Wire`] stands between the socket (or its TLS) and pingora. It reads each head itself, within the listener's bounds
//! and deadlines, and gives pingora no byte behind the head before the body is read: pingora's own deadline starts anew
//! with every byte, and its bound on heads is 1 MiB. [`Wire`] checks the grammar of chunked bodies while they pass
//! (`chunked`), and closes so that an early answer arrives (`linger`).
//!
//! [`Control`] lets the proxy, which sees only pingora's session, talk to the connection below it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;

use super::chunked::{Check, Violation};
use super::head::{HeadFault, Scan};
use super::linger::Linger;
use super::listen::ListenerLimits;

/// The buffer space reserved for each read of a head, in bytes.
const HEAD_PIECE_BYTES: usize = 4 * 1024;

/// The result of waiting for a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadRead {
    /// The head is whole; pingora may read it.
    Whole,
    /// The head is refused.
    Faulty(HeadFault),
    /// The sender has closed the connection, or was silent or slow for too long.
    Ended,
}

/// The part of a message that passes to pingora next.
#[derive(Debug)]
enum Passing {
    /// The rest of a head that was read, in bytes.
    Head(usize),
    /// A body by its length, behind whose end pingora does not read.
    Length,
    Chunked(Box<Check>),
    /// No more bytes: a chunked body has ended.
    Ended,
}

#[derive(Debug)]
struct Message {
    passing: Passing,
    /// The fault of the chunked body.
    violation: Option<Violation>,
    is_whole: bool,
}

/// The proxy's control of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Control(Arc<Mutex<Message>>);

impl Control {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Message { passing: Passing::Length, violation: None, is_whole: false })))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Message) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Announces a chunked body.
    pub(super) fn reads_chunks(&self) {
        self.with(|message| message.passing = Passing::Chunked(Box::default()));
    }

    /// Returns the fault that was found in the chunked body so far.
    pub(super) fn violation(&self) -> Option<Violation> {
        self.with(|message| message.violation.clone())
    }

    /// Notes that the message was read to its end, so that closing has nothing to wait for.
    pub(super) fn message_is_whole(&self) {
        self.with(|message| message.is_whole = true);
    }
}

/// The connection.
pub(super) struct Wire {
    inner: Stream,
    /// Bytes that were read and have not passed yet.
    read: BytesMut,
    control: Control,
    closing: Option<Linger>,
    linger_for: Duration,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Wire {
    pub(super) fn new(inner: Stream, linger_for: Duration) -> Self {
        Self { inner, read: BytesMut::new(), control: Control::new(), closing: None, linger_for }
    }

    pub(super) fn control(&self) -> Control {
        self.control.clone()
    }

    /// Reads the next head. Its first byte may take `idle`; from then on the listener's `header_timeout` counts.
    pub(super) async fn head(&mut self, limits: &ListenerLimits, idle: Duration) -> HeadRead {
        self.control.with(|message| {
            *message = Message { passing: Passing::Head(0), violation: None, is_whole: false };
        });
        let mut scan = Scan::default();
        let mut deadline = Instant::now() + if self.read.is_empty() { idle } else { limits.header_timeout };
        let mut has_begun = !self.read.is_empty();
        // Some senders end a body with a line end that is not part of it (RFC 9112 §2.2).
        let mut may_skip = true;
        loop {
            if may_skip && self.read.starts_with(b"\r\n") {
                self.read.advance(2);
                may_skip = false;
            }
            if !(may_skip && *self.read == *b"\r") {
                match scan.next(&self.read, limits) {
                    Ok(Some(bytes)) => {
                        self.control.with(|message| message.passing = Passing::Head(bytes));
                        return HeadRead::Whole;
                    }
                    Ok(None) => {}
                    Err(fault) => return HeadRead::Faulty(fault),
                }
            }
            self.read.reserve(HEAD_PIECE_BYTES);
            match tokio::time::timeout_at(deadline, self.inner.read_buf(&mut self.read)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) | Err(_) => return HeadRead::Ended,
            }
            if !std::mem::replace(&mut has_begun, true) {
                deadline = Instant::now() + limits.header_timeout;
            }
        }
    }

    /// Passes bytes that were read before, `most` at most.
    fn take(&mut self, most: usize, buf: &mut ReadBuf<'_>) {
        let bytes = self.read.len().min(most).min(buf.remaining());
        buf.put_slice(self.read.get(..bytes).unwrap_or_default());
        self.read.advance(bytes);
    }

    /// Passes bytes that were read before, or reads on.
    fn poll_more(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        self.take(usize::MAX, buf);
        Poll::Ready(Ok(()))
    }

    fn poll_chunks(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.poll_more(cx, buf))?;
        let came = buf.filled().get(before..).unwrap_or_default();
        let fed = self.control.with(|message| match &mut message.passing {
            Passing::Chunked(check) => check.feed(came),
            Passing::Head(_) | Passing::Length | Passing::Ended => Ok(None),
        });
        match fed {
            Ok(None) => Poll::Ready(Ok(())),
            Ok(Some(end)) => {
                let has_more = self.has_more_behind(cx, buf, before + end);
                self.control.with(|message| {
                    message.passing = Passing::Ended;
                    message.violation = has_more.then(|| "bytes follow the end of the body".into());
                });
                Poll::Ready(Ok(()))
            }
            Err(violation) => {
                self.control.with(|message| message.violation = Some(violation));
                Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
            }
        }
    }

    /// Keeps bytes that were read behind the end of a message, and checks whether there are more.
    fn has_more_behind(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>, end: usize) -> bool {
        let behind = buf.filled().get(end..).unwrap_or_default();
        if !behind.is_empty() || !self.read.is_empty() {
            // Further bytes are refused with the message, and never read as another one.
            self.read.clear();
            buf.set_filled(end);
            return true;
        }
        let mut one = [0];
        let mut probe = ReadBuf::new(&mut one);
        let found = Pin::new(&mut self.inner).poll_read(cx, &mut probe);
        matches!(found, Poll::Ready(Ok(()))) && !probe.filled().is_empty()
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        enum Next {
            Head(usize),
            Length,
            Chunks,
            Ended,
        }
        let this = self.get_mut();
        let next = this.control.with(|message| match &mut message.passing {
            Passing::Head(0) | Passing::Length => {
                message.passing = Passing::Length;
                Next::Length
            }
            Passing::Head(left) => {
                let bytes = (*left).min(buf.remaining());
                *left -= bytes;
                Next::Head(bytes)
            }
            Passing::Chunked(_) => Next::Chunks,
            Passing::Ended => Next::Ended,
        });
        match next {
            Next::Head(bytes) => {
                this.take(bytes, buf);
                Poll::Ready(Ok(()))
            }
            Next::Length => this.poll_more(cx, buf),
            Next::Chunks => this.poll_chunks(cx, buf),
            Next::Ended => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    /// Closes our side, then lingers.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { inner, read, control, closing, linger_for } = self.get_mut();
        let linger = closing.get_or_insert_with(|| {
            *read = BytesMut::new();
            Linger::new(control.with(|message| message.is_whole), *linger_for)
        });
        linger.poll(inner, cx).map(Ok)
    }
}

#[async_trait]
impl Shutdown for Wire {
    async fn shutdown(&mut self) {
        if let Err(error) = AsyncWriteExt::shutdown(self).await {
            tracing::debug!(%error, "the connection was gone before it was closed");
        }
    }
}

impl UniqueID for Wire {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Wire {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.inner.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for Wire {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }
}

impl GetProxyDigest for Wire {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}

impl Peek for Wire {}
