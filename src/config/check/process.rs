//! The process: server, listeners, admin, buffer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::destination::DEAD_KEEP;
use super::{Checker, Secrets, path};
use crate::admin::Served;
use crate::buffer::{BufferParams, DiskSpace, Fsync, HumanBytes};
use crate::config::problem::Code;
use crate::config::raw;
use crate::config::spans::Span;
use crate::ingress::{CertificateFiles, Certificates, ListenerParams, TlsParams};
use crate::limit::Rate;
use crate::secret::Secret;
use crate::server::{ADMIN, PageListener, ProcessParams};

const GRACE: Duration = Duration::from_secs(30);
const DATA_DIR: &str = "/var/lib/hookgate";
pub(super) const ADMIN_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8900);
const BUFFER_BYTES: u64 = 20 * 1024 * 1024 * 1024;
const BUFFER_BYTES_LEAST: u64 = 1024 * 1024;
/// The default rates, more than two cores can take, and still a limit.
const PER_SENDER: (u32, u32) = (50_000, 100_000);
const TOTAL: (u32, u32) = (200_000, 200_000);

impl Checker<'_> {
    pub(super) fn process(&mut self) -> ProcessParams {
        let tracing = self.tracing();
        let server = &self.raw.server;
        let threads = match server.threads {
            Some(raw::Threads::Fixed(count)) => count.0.get() as usize,
            Some(raw::Threads::Auto) | None => self.world.processors,
        };
        ProcessParams {
            threads: threads.max(1),
            shutdown_grace: server.shutdown_grace.map_or(GRACE, |grace| grace.0),
            tracing,
            data_dir: self.beside(server.data_dir.as_deref().unwrap_or(Path::new(DATA_DIR))),
        }
    }

    pub(super) fn rates(&self) -> (Rate, Rate) {
        let limits = self.raw.server.limits.clone().unwrap_or_default();
        let rate = |written: Option<raw::Throughput>, (count, burst): (u32, u32)| match written {
            Some(raw::Throughput { rate, burst }) => Rate::new(rate.count, rate.per, burst.map(|burst| burst.0)),
            None => Rate::new(
                NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN),
                Duration::from_secs(1),
                NonZeroU32::new(burst),
            ),
        };
        (rate(limits.per_sender, PER_SENDER), rate(limits.total, TOTAL))
    }

    /// Returns the listeners that take events.
    pub(super) fn listeners(&mut self) -> Vec<ListenerParams> {
        let raw = self.raw;
        let mut listeners = Vec::new();
        for (name, listener) in raw.listeners.iter().filter(|(_, listener)| listener.serve.is_empty()) {
            let tls = listener.tls.as_ref().and_then(|tls| self.tls(name.as_str(), tls));
            let limits = self.limits(name.as_str(), listener);
            listeners.push(ListenerParams { name: Arc::from(name.as_str()), address: listener.address.0, tls, limits });
        }
        self.listeners_at_one_address();
        if listeners.is_empty() && !self.spans.is_broken(&path!["listeners"]) {
            let help = self.where_events_go_in();
            self.error_of(Code::MissingKey, &path!["listeners"], "no listener takes events", Some(help));
        }
        listeners
    }

    fn tls(&mut self, name: &str, tls: &raw::Tls) -> Option<TlsParams> {
        let at = path!["listeners", name, "tls"];
        let mut certificates = Vec::new();
        match (&tls.cert, &tls.key) {
            (Some(cert), Some(key)) => {
                certificates.push(CertificateFiles { chain: self.beside(&cert.file), key: self.beside(&key.file) });
            }
            (None, None) => {}
            (Some(_), None) => {
                self.error_of(Code::MissingKey, &at, "`cert` without `key`", Some("add `key: {file: tls.key}`".into()));
            }
            (None, Some(_)) => {
                self.error_of(
                    Code::MissingKey,
                    &at,
                    "`key` without `cert`",
                    Some("add `cert: {file: tls.crt}`".into()),
                );
            }
        }
        for pair in &tls.certificates {
            certificates
                .push(CertificateFiles { chain: self.beside(&pair.cert.file), key: self.beside(&pair.key.file) });
        }
        if certificates.is_empty() {
            if !self.spans.is_broken(&at) {
                let help = "add `cert: {file: tls.crt}` and `key: {file: tls.key}`".to_owned();
                self.error_of(Code::MissingKey, &at, "TLS needs a certificate", Some(help));
            }
            return None;
        }
        for file in certificates.iter().flat_map(|pair| [&pair.chain, &pair.key]) {
            (self.world.notice)(file);
        }
        let params = TlsParams { certificates, only_tls13: tls.min_version == Some(raw::TlsVersion::V13) };
        if self.world.secrets == Secrets::Real
            && let Err(problem) = Certificates::load(&params)
        {
            let span = self.file_of(name, tls, &problem.to_string()).or_else(|| self.spans.of_key(&at));
            self.error_in(Code::UnusableFile, span, problem.to_string(), None);
        }
        Some(params)
    }

    /// Returns the place of the file that a problem names.
    fn file_of(&self, name: &str, tls: &raw::Tls, problem: &str) -> Option<Span> {
        let names = |file: &raw::FileRef| problem.contains(&*self.beside(&file.file).to_string_lossy());
        for (key, file) in [("cert", &tls.cert), ("key", &tls.key)] {
            if file.as_ref().is_some_and(names) {
                return self.spans.of(&path!["listeners", name, "tls", key, "file"]);
            }
        }
        tls.certificates.iter().enumerate().find_map(|(index, pair)| {
            let key = if names(&pair.cert) { "cert" } else { Some("key").filter(|_| names(&pair.key))? };
            self.spans.of(&path!["listeners", name, "tls", "certificates", index, key, "file"])
        })
    }

    /// Returns the listeners that serve pages, the admin listener among them.
    pub(super) fn pages(&mut self) -> BTreeMap<Arc<str>, PageListener> {
        let raw = self.raw;
        let all = BTreeSet::from([Served::Livez, Served::Readyz, Served::Metrics, Served::Api]);
        let address = raw.admin.as_ref().and_then(|admin| admin.listen).map_or(ADMIN_LISTEN, |address| address.0);
        let mut pages = BTreeMap::from([(Arc::from(ADMIN), PageListener { address, pages: all })]);
        for (name, listener) in raw.listeners.iter().filter(|(_, listener)| !listener.serve.is_empty()) {
            if name.as_str() == ADMIN {
                let help = "give this listener another name; the admin listener is set under `admin:`".to_owned();
                self.error_of(Code::InvalidName, &path!["listeners", name], "`admin` is taken", Some(help));
            }
            self.limits_of_pages(name.as_str(), listener);
            if listener.tls.is_some() {
                let at = path!["listeners", name, "tls"];
                let message = "TLS on a listener that serves pages is not supported by this version yet";
                self.error_of(Code::Unsupported, &at, message, None);
            }
            let served = listener.serve.iter().map(|page| match page {
                raw::Serve::Livez => Served::Livez,
                raw::Serve::Readyz => Served::Readyz,
                raw::Serve::Metrics => Served::Metrics,
            });
            pages.insert(
                Arc::from(name.as_str()),
                PageListener { address: listener.address.0, pages: served.collect() },
            );
        }
        let is_loopback = address.ip().is_loopback();
        if !is_loopback
            && raw.admin.as_ref().is_none_or(|admin| admin.token.is_none())
            && !self.spans.is_broken(&path!["admin"])
        {
            let help = "add `token: {file: /run/secrets/admin-token}`, or listen on 127.0.0.1".to_owned();
            self.error(
                Code::MissingSecret,
                &path!["admin", "listen"],
                "the admin listener off loopback needs a token",
                Some(help),
            );
        }
        pages
    }

    pub(super) fn admin_token(&mut self) -> Option<Secret> {
        let token = self.raw.admin.as_ref()?.token.as_ref()?;
        self.secret(token, "admin-token", &path!["admin", "token"])
    }

    /// Warns of a `max_size` that does not fit the disk: events are then refused for the disk, which no share of
    /// `max_size` shows.
    fn fits_the_disk(&mut self, dir: &Path, bytes_max: u64) {
        let Some(total_bytes) = (self.world.disk_bytes)(dir) else { return };
        let reserve = DiskSpace { free_bytes: total_bytes, total_bytes }.reserve_bytes();
        if bytes_max.saturating_add(reserve) <= total_bytes {
            return;
        }
        let default = if self.raw.buffer.max_size.is_none() { ", the default," } else { "" };
        let message = format!(
            "`max_size` of {}{default} and {} kept for the engine are more than the file system of `data_dir` has: {}",
            HumanBytes(bytes_max),
            HumanBytes(reserve),
            HumanBytes(total_bytes)
        );
        let most = total_bytes.saturating_sub(reserve) / (1024 * 1024);
        let help = format!("events are refused when the disk is short; `max_size: {most}MiB` is the most that fits");
        self.warning(Code::LargerThanTheDisk, &path!["buffer", "max_size"], message, Some(help));
    }

    pub(super) fn buffer(&mut self, data_dir: &Path) -> BufferParams {
        let buffer = &self.raw.buffer;
        let fsync = match buffer.fsync {
            Some(raw::Fsync::Group) | None => Fsync::Group,
            Some(raw::Fsync::Os) => Fsync::Os,
            Some(raw::Fsync::Memory) => Fsync::Memory,
        };
        if fsync != Fsync::Group {
            let message = format!("what is answered as accepted {}", fsync.durability());
            self.warning(
                Code::WeakDurability,
                &path!["buffer", "fsync"],
                message,
                Some("`fsync: group` is the default".into()),
            );
        }
        let bytes_max = buffer.max_size.map_or(BUFFER_BYTES, |bytes| bytes.0);
        if bytes_max < BUFFER_BYTES_LEAST {
            let at = path!["buffer", "max_size"];
            self.error(Code::InvalidValue, &at, "a buffer this small holds nothing", Some("at least `1MiB`".into()));
        }
        let dir = data_dir.join("buffer");
        self.fits_the_disk(&dir, bytes_max);
        let dead_letter = self.raw.defaults.destination.dead_letter.as_ref();
        let quarantine_keep = dead_letter.and_then(|dead| dead.keep).map_or(DEAD_KEEP, |keep| keep.0);
        BufferParams { dir, bytes_max, fsync, quarantine_keep }
    }
}
