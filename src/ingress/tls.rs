//! TLS certificates by name, re-read without a restart.
//!
//! Each listener has one resolver over a table that can be replaced. The names of a certificate (its subject
//! alternative names) choose it by SNI; the first certificate answers all other names. [`Certificates::reload`] reads
//! the files anew; unusable files change nothing. TLS 1.2 and 1.3 by rustls; certificates with one exact or one
//! wildcard label.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, crypto};

use crate::clock::Timestamp;

/// The files of a certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate, then its intermediates.
    pub chain: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
}

/// The TLS parameters of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsParams {
    /// The certificates; the first one answers names that no other has.
    pub certificates: Vec<CertificateFiles>,
    /// True when TLS 1.2 is refused.
    pub only_tls13: bool,
}

/// The reason why certificates could not be used.
#[derive(Debug)]
pub enum TlsProblem {
    /// A file could not be read, or is no PEM.
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rustls::pki_types::pem::Error,
    },
    /// The file holds no certificate.
    NoCertificate(PathBuf),
    /// The certificate is no X.509 certificate.
    Certificate(PathBuf),
    /// Key and certificate do not belong together, or the key's type is not supported.
    Key {
        /// The key's file.
        path: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
}

impl fmt::Display for TlsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, source } => write!(f, "cannot read {}: {source}", path.display()),
            Self::NoCertificate(path) => write!(f, "{} holds no certificate", path.display()),
            Self::Certificate(path) => write!(f, "{} is not an X.509 certificate", path.display()),
            Self::Key { path, source } => write!(f, "the key {} cannot be used: {source}", path.display()),
        }
    }
}

impl std::error::Error for TlsProblem {}

#[derive(Debug)]
struct Table {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
    /// The certificates that were read, to detect a change.
    chains: Vec<CertificateDer<'static>>,
    not_after: Timestamp,
}

/// The certificates of one listener, replaceable while it serves.
#[derive(Debug)]
pub struct Certificates {
    files: Vec<CertificateFiles>,
    table: ArcSwap<Table>,
}

impl Certificates {
    /// Reads the files.
    pub fn load(params: &TlsParams) -> Result<Arc<Self>, TlsProblem> {
        let table = read(&params.certificates)?;
        Ok(Arc::new(Self { files: params.certificates.clone(), table: ArcSwap::from_pointee(table) }))
    }

    /// Reads the files anew; returns true when they had changed. A problem leaves the old certificates in force.
    pub fn reload(&self) -> Result<bool, TlsProblem> {
        let table = read(&self.files)?;
        let has_changed = table.chains != self.table.load().chains;
        if has_changed {
            self.table.store(Arc::new(table));
        }
        Ok(has_changed)
    }

    /// Returns the expiry of the first of them to expire.
    pub fn not_after(&self) -> Timestamp {
        self.table.load().not_after
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.table.load();
        let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let chosen = table.by_name.get(&name).or_else(|| wildcard.and_then(|wildcard| table.by_name.get(&wildcard)));
        Some(Arc::clone(chosen.unwrap_or(&table.default)))
    }
}

fn read(files: &[CertificateFiles]) -> Result<Table, TlsProblem> {
    let mut by_name = HashMap::new();
    let mut default = None;
    let mut chains = Vec::new();
    let mut not_after = u64::MAX;
    for pair in files {
        let file = |source| TlsProblem::File { path: pair.chain.clone(), source };
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_file_iter(&pair.chain).map_err(file)?.collect::<Result<_, _>>().map_err(file)?;
        let leaf = chain.first().cloned().ok_or_else(|| TlsProblem::NoCertificate(pair.chain.clone()))?;
        chains.extend(chain.iter().cloned());
        let key = PrivateKeyDer::from_pem_file(&pair.key)
            .map_err(|source| TlsProblem::File { path: pair.key.clone(), source })?;
        let certified = CertifiedKey::from_der(chain, key, &crypto::ring::default_provider())
            .map_err(|source| TlsProblem::Key { path: pair.key.clone(), source })?;
        let certified = Arc::new(certified);
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf)
            .map_err(|_unparsable| TlsProblem::Certificate(pair.chain.clone()))?;
        not_after = not_after.min(u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0));
        if let Ok(Some(names)) = parsed.subject_alternative_name() {
            for name in &names.value.general_names {
                if let x509_parser::extensions::GeneralName::DNSName(name) = name {
                    by_name.entry(name.to_ascii_lowercase()).or_insert_with(|| Arc::clone(&certified));
                }
            }
        }
        default.get_or_insert(certified);
    }
    let default = default.ok_or_else(|| TlsProblem::NoCertificate(PathBuf::new()))?;
    Ok(Table { by_name, default, chains, not_after: Timestamp::from_unix_secs(not_after) })
}

/// Builds the rustls configuration of a listener: HTTP/2 and HTTP/1.1.
pub(super) fn server_config(
    certificates: Arc<Certificates>,
    only_tls13: bool,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let versions: &[&rustls::SupportedProtocolVersion] =
        if only_tls13 { &[&rustls::version::TLS13] } else { &[&rustls::version::TLS12, &rustls::version::TLS13] };
    let mut config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
