//! A service at the level of bytes: it answers early, late, in part, or never, as its test says.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A function that serves one connection; when it fails, the connection is closed.
pub(crate) type Script = fn(&mut TcpStream) -> std::io::Result<()>;

/// A running service; its threads end with the test.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Connections that stay open when their script has ended.
    held: Arc<Mutex<Vec<TcpStream>>>,
}

impl Raw {
    /// Serves each connection by `script`, and then closes it.
    pub(crate) fn closing(script: Script) -> Self {
        Self::start("127.0.0.1:0", script, false)
    }

    /// Serves each connection by `script`, and leaves it open, unread.
    pub(crate) fn holding(script: Script) -> Self {
        Self::start("127.0.0.1:0", script, true)
    }

    fn start(address: &str, script: Script, holds: bool) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, held) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<TcpStream>>>::default());
        let raw = Self { address, connections: Arc::clone(&connections), held: Arc::clone(&held) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::Relaxed);
                let (mut stream, held) = (stream.unwrap(), Arc::clone(&held));
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                    if script(&mut stream).is_ok() && holds {
                        held.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
                    }
                });
            }
        });
        raw
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns the number of connections that were ever opened.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Returns the number of open connections whose script has succeeded.
    pub(crate) fn held(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Reads the head of a request byte by byte, and no byte of the body.
pub(crate) fn head_of(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Reads a whole request; returns the length of its body.
pub(crate) fn whole(stream: &mut TcpStream) -> std::io::Result<usize> {
    let head = head_of(stream)?.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.trim().parse().unwrap()];
    stream.read_exact(&mut body)?;
    Ok(body.len())
}
