//! The parameters of a start, and the reasons why it may fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::admin::Served;
use crate::buffer::{BufferParams, OpenError};
use crate::capture::CaptureParams;
use crate::deliver::Destinations;
use crate::ingress::{ListenerParams, TlsProblem};
use crate::rules::Rules;
use crate::secret::{ListedSecret, Secret};
use crate::telemetry::TracingParams;

/// A listener that serves pages instead of taking events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageListener {
    /// The address to bind.
    pub address: SocketAddr,
    /// The pages.
    pub pages: BTreeSet<Served>,
}

/// The parameters of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessParams {
    /// Worker threads.
    pub threads: usize,
    /// The longest time that a stop may take.
    pub shutdown_grace: Duration,
    /// The folder of all data, the buffer included.
    pub data_dir: PathBuf,
    /// The tracing parameters; `None` records no spans.
    pub tracing: Option<TracingParams>,
}

/// The parameters of a start; made by `config`.
#[derive(Debug)]
pub struct Setup {
    /// The process.
    pub process: ProcessParams,
    /// Listeners for events.
    pub listeners: Vec<ListenerParams>,
    /// Listeners for pages, the admin listener first.
    pub pages: BTreeMap<Arc<str>, PageListener>,
    /// The admin listener's token.
    pub admin_token: Option<Secret>,
    /// The buffer.
    pub buffer: BufferParams,
    /// The parameters that a reload replaces.
    pub live: Live,
}

/// The parameters that a reload replaces.
#[derive(Debug)]
pub struct Live {
    /// The gates.
    pub rules: Rules,
    /// The destinations of deliveries.
    pub destinations: Destinations,
    /// The parameters of capturing requests that are not stored.
    pub capture: CaptureParams,
    /// Every secret of every source, as it may be listed.
    pub secrets: Vec<ListedSecret>,
}

/// The reason why the gateway did not start.
#[derive(Debug)]
pub enum StartError {
    /// A socket could not be bound.
    Bind {
        /// The listener.
        listener: Arc<str>,
        /// Its address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// Certificates could not be used.
    Tls {
        /// The listener.
        listener: Arc<str>,
        /// The cause.
        source: TlsProblem,
    },
    /// The buffer could not be opened.
    Buffer(OpenError),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bind { listener, address, source } => {
                write!(f, "listener `{listener}` cannot bind {address}: {source}")
            }
            Self::Tls { listener, source } => write!(f, "listener `{listener}`: {source}"),
            Self::Buffer(source) => source.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}
