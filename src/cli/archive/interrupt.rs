//! Ctrl-C, waited for between two looks.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// Catches Ctrl-C from the moment it is made.
pub(super) struct Interrupt {
    pressed: Receiver<()>,
    /// Listens for as long as it lives.
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

    /// Waits so long; whether Ctrl-C was pressed before the end of it.
    pub(super) fn within(&self, time: Duration) -> bool {
        match self.pressed.recv_timeout(time) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
        }
    }
}
