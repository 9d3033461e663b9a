//! Closing of a connection whose sender may still be writing.
//!
//! A socket that is closed with bytes unread resets the connection, and a reset makes the other side's kernel throw
//! away the answer that it has not read yet. So after an answer our side is closed first, and further bytes are read
//! and dropped: up to `BYTES_MAX`, for as long as a body may take, and no longer than `IDLE_MAX` without a byte. The
//! connection counts against the listener's limits meanwhile, so lingering holds no more than the body would have.
//! Under HTTP/2 a stream that ends early is reset, which some clients take for a failure: its body is read on within
//! the same bounds.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// The most bytes that are read and dropped: more than the largest body that a provider sends.
const BYTES_MAX: usize = 32 * 1024 * 1024;
const IDLE_MAX: Duration = Duration::from_secs(5);
const PIECE_BYTES: usize = 16 * 1024;

/// Reads the bytes that a sender of HTTP/2 still writes after its answer.
pub(super) async fn drain(session: &mut ServerSession, longest: Duration) {
    let (end, mut left) = (Instant::now() + longest, BYTES_MAX);
    while !session.is_body_done() && left > 0 {
        let until = end.min(Instant::now() + IDLE_MAX);
        let Ok(Ok(Some(piece))) = tokio::time::timeout_at(until, session.read_request_body()).await else { return };
        left = left.saturating_sub(piece.len());
    }
}

/// The state of reading and dropping a sender's further bytes.
#[derive(Debug)]
pub(super) struct Linger {
    /// True once our side is closed: the answer is out.
    is_sent: bool,
    piece: Box<[u8]>,
    left: usize,
    /// The moment at which lingering ends, even when bytes still come.
    end: Instant,
    wait: Pin<Box<Sleep>>,
    /// True when the message was read to its end: only bytes that have come already are read.
    is_whole: bool,
}

impl Linger {
    /// Lingers for `longest` at most; after a whole message only until nothing is left to read.
    pub(super) fn new(is_whole: bool, longest: Duration) -> Self {
        Self {
            is_sent: false,
            piece: vec![0; PIECE_BYTES].into(),
            left: BYTES_MAX,
            end: Instant::now() + longest,
            wait: Box::pin(sleep(longest.min(IDLE_MAX))),
            is_whole,
        }
    }

    /// Lingers; ready when the connection may be closed.
    pub(super) fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_sent {
            match Pin::new(&mut *stream).poll_shutdown(cx) {
                Poll::Pending => {
                    ready!(self.wait.as_mut().poll(cx));
                    return Poll::Ready(());
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => self.is_sent = true,
            }
        }
        loop {
            let mut piece = ReadBuf::new(&mut self.piece);
            match Pin::new(&mut *stream).poll_read(cx, &mut piece) {
                Poll::Pending if self.is_whole => return Poll::Ready(()),
                Poll::Pending => {
                    ready!(self.wait.as_mut().poll(cx));
                    return Poll::Ready(());
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            let (bytes, now) = (piece.filled().len(), Instant::now());
            self.left = self.left.saturating_sub(bytes);
            if bytes == 0 || self.left == 0 || now >= self.end {
                return Poll::Ready(());
            }
            // A sender that has sent something may be in the middle of more.
            self.is_whole = false;
            self.wait.as_mut().reset(self.end.min(now + IDLE_MAX));
        }
    }
}
