//! The wait for Ctrl-C between two requests.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// A handler that catches Ctrl-C from its creation on.
pub(super) struct Interrupt {
    pressed: Receiver<()>,
    /// The runtime that listens for the signal.
    _runtime: Runtime,
}

impl Interrupt {
    pub(super) fn catch() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (press, pressed) = channel();
        let inside = runtime.enter();
        let mut interrupts = signal(SignalKind::interrupt())?;
        drop(inside);
        drop(runtime.spawn(async move {
            while interrupts.recv().await.is_some() {
                if press.send(()).is_err() {
                    break;
                }
            }
        }));
        Ok(Self { pressed, _runtime: runtime })
    }

    /// Waits for `time`; returns whether Ctrl-C was pressed before its end.
    pub(super) fn within(&self, time: Duration) -> bool {
        match self.pressed.recv_timeout(time) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
        }
    }
}
