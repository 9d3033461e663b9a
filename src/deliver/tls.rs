//! TLS towards services: the authorities that are trusted ([`Authorities`]), the gateway's certificate ([`Identity`]),
//! and the name of a service's certificate ([`ServiceName`]).
//!
//! All of it is read and checked with the configuration: each certificate can be parsed, each authority can be one, and
//! a key fits its certificate. pingora's use of it cannot fail any more, and it panics where it could.
//!
//! Settings are equal when their certificates, keys and names are. pingora's pool tells connections apart by the serial
//! numbers of the client's certificate and not by the authorities at all. So each of the settings has a group of
//! connections of its own, and a connection made under other settings is never used.
//!
//! Deliberately not here: a way to trust any certificate. A service with a certificate of its own is trusted by `ca`.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, crypto};

use crate::clock::Timestamp;

/// The reason why certificates or a key cannot be used.
#[derive(Debug)]
pub enum PemProblem {
    /// The text is no PEM, or holds no key.
    Pem(pem::Error),
    /// The text holds no certificate.
    NoCertificate,
    /// One of the certificates is not X.509.
    NotACertificate,
    /// The certificate cannot be an authority.
    NotAnAuthority(rustls::Error),
    /// The key does not belong to the certificate, or is of a kind that is not supported.
    Key(rustls::Error),
}

impl fmt::Display for PemProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(pem::Error::NoItemsFound) => f.write_str("it holds no private key"),
            Self::Pem(source) => write!(f, "it is not PEM: {source}"),
            Self::NoCertificate => f.write_str("it holds no certificate"),
            Self::NotACertificate => f.write_str("it holds a certificate that is not X.509"),
            Self::NotAnAuthority(source) => write!(f, "it holds a certificate that cannot be an authority: {source}"),
            Self::Key(rustls::Error::InconsistentKeys(_)) => f.write_str("the key does not belong to the certificate"),
            Self::Key(source) => write!(f, "the key cannot be used: {source}"),
        }
    }
}

impl std::error::Error for PemProblem {}

/// Parsed certificates, and the expiry of each.
struct Chain {
    der: Vec<CertificateDer<'static>>,
    not_after: Vec<Timestamp>,
}

impl Chain {
    fn read(text: &[u8]) -> Result<Self, PemProblem> {
        let der: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(PemProblem::Pem)?;
        if der.is_empty() {
            return Err(PemProblem::NoCertificate);
        }
        let mut not_after = Vec::with_capacity(der.len());
        for one in &der {
            let (_, parsed) =
                x509_parser::parse_x509_certificate(one).map_err(|_unparsable| PemProblem::NotACertificate)?;
            let secs = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
            not_after.push(Timestamp::from_unix_secs(secs));
        }
        Ok(Self { der, not_after })
    }
}

/// The authorities whose certificates are trusted, instead of the system's.
#[derive(Clone)]
pub struct Authorities {
    certificates: Arc<CaType>,
    digest: u64,
    not_after: Timestamp,
}

impl Authorities {
    /// Reads a file of one certificate or more.
    pub fn from_pem(text: &[u8]) -> Result<Self, PemProblem> {
        let Chain { der, not_after } = Chain::read(text)?;
        let mut store = RootCertStore::empty();
        let mut hasher = DefaultHasher::new();
        for one in &der {
            store.add(one.clone()).map_err(PemProblem::NotAnAuthority)?;
            one.as_ref().hash(&mut hasher);
        }
        let certificates = der.iter().map(|one| WrappedX509::new(one.to_vec(), parse_x509)).collect();
        let not_after = not_after.into_iter().max().unwrap_or(Timestamp::from_unix_secs(0));
        Ok(Self { certificates, digest: hasher.finish(), not_after })
    }

    /// Returns the expiry of the last of them.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

/// The gateway's certificate and key, for a service that asks for them.
#[derive(Clone)]
pub struct Identity {
    pair: Arc<CertKey>,
    digest: u64,
    not_after: Timestamp,
}

impl Identity {
    /// Reads a certificate, with its intermediates after it, and the key that belongs to it.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, PemProblem> {
        let Chain { der, not_after } = Chain::read(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(PemProblem::Pem)?;
        let mut hasher = DefaultHasher::new();
        der.hash(&mut hasher);
        key.secret_der().hash(&mut hasher);
        let pair = CertKey::new(der.iter().map(|one| one.as_ref().to_vec()).collect(), key.secret_der().to_vec());
        CertifiedKey::from_der(der, key, &crypto::ring::default_provider()).map_err(PemProblem::Key)?;
        let not_after = not_after.first().copied().unwrap_or(Timestamp::from_unix_secs(0));
        Ok(Self { pair: Arc::new(pair), digest: hasher.finish(), not_after })
    }

    /// Returns the expiry of the certificate.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Checks whether the text holds a certificate, so that an error names the right one of two files.
    pub fn has_chain(text: &[u8]) -> Result<(), PemProblem> {
        Chain::read(text).map(drop)
    }
}

/// A name that a certificate can be for: of a host, or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceName(String);

impl ServiceName {
    /// Parses a name; `None` when no certificate can be for it.
    pub fn parse(text: &str) -> Option<Self> {
        // pingora takes an empty name for a request to verify nothing.
        ServerName::try_from(text).ok().filter(|_| !text.is_empty()).map(|_valid| Self(text.to_owned()))
    }
}

/// The TLS settings of one service.
#[derive(Clone, Default)]
pub struct TlsSettings {
    /// The trusted authorities; `None` for the system's.
    pub authorities: Option<Authorities>,
    /// The gateway's certificate; `None` sends none to a service that asks for one.
    pub identity: Option<Identity>,
    /// The name in the service's certificate; `None` for the host of the URL.
    pub name: Option<ServiceName>,
}

impl TlsSettings {
    /// Returns a digest of all settings; zero for none.
    pub(super) fn digest(&self) -> u64 {
        let Self { authorities, identity, name } = self;
        if authorities.is_none() && identity.is_none() && name.is_none() {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        authorities.as_ref().map(|it| it.digest).hash(&mut hasher);
        identity.as_ref().map(|it| it.digest).hash(&mut hasher);
        name.hash(&mut hasher);
        hasher.finish().max(1)
    }

    /// Sets the settings on a future connection.
    pub(super) fn put_on(&self, peer: &mut HttpPeer) {
        if let Some(name) = &self.name {
            peer.sni.clone_from(&name.0);
        }
        peer.options.ca = self.authorities.as_ref().map(|it| Arc::clone(&it.certificates));
        peer.client_cert_key = self.identity.as_ref().map(|it| Arc::clone(&it.pair));
        peer.group_key = self.digest();
    }
}

impl PartialEq for TlsSettings {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for TlsSettings {}

/// Leaves certificates and keys out.
impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsSettings({:x})", self.digest())
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({:x})", self.digest)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:x})", self.digest)
    }
}
