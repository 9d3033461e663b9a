//! TLS towards destinations: certificates and keys are read here, and each problem is reported at its file.

use std::sync::Arc;

use super::{Checker, Secrets, path};
use crate::clock::Timestamp;
use crate::config::problem::{Code, quoted};
use crate::config::raw;
use crate::config::spans::Seg;
use crate::deliver::{Authorities, Identity, PemProblem, ServiceName, Targets, TlsSettings};

/// The place of `tls`: at one destination, or at the defaults.
type Place<'a> = [Seg<'a>];

impl Checker<'_> {
    /// Returns the targets with the TLS settings of the destination or the defaults.
    pub(super) fn with_tls(
        &mut self,
        name: &str,
        written: &raw::Destination,
        targets: Option<Targets>,
    ) -> Option<Targets> {
        let settings = self.service_tls(name, written);
        let targets = targets?;
        if written.tls.is_some() && !targets.iter().any(|one| one.target.tls) {
            let help = "write `https://` in the URL, or take `tls` away".to_owned();
            let message = "the URL is `http`, and so there is no TLS";
            self.warning(Code::Unused, &path!["destinations", name, "tls"], message, Some(help));
        }
        Some(targets.with_tls(settings.map(Arc::new)))
    }

    fn service_tls(&mut self, name: &str, written: &raw::Destination) -> Option<TlsSettings> {
        let raw = self.raw;
        let (at_own, at_defaults) = (path!["destinations", name, "tls"], path!["defaults", "destination", "tls"]);
        let none = raw::ServiceTls::default();
        let own = written.tls.as_ref().unwrap_or(&none);
        let defaults = raw.defaults.destination.tls.as_ref().unwrap_or(&none);
        let pick = |own_has: bool| if own_has { (own, &at_own[..]) } else { (defaults, &at_defaults[..]) };
        let (tls, at) = pick(own.ca.is_some());
        let authorities = tls.ca.as_ref().and_then(|file| self.authorities(at, file));
        // Certificate and key belong together, and never come from two places.
        let (tls, at) = pick(own.client_cert.is_some() || own.client_key.is_some());
        let identity = self.identity(at, tls);
        let (tls, at) = pick(own.server_name.is_some());
        let server_name = tls.server_name.as_ref().and_then(|text| self.server_name(at, text));
        let settings = TlsSettings { authorities, identity, name: server_name };
        (settings != TlsSettings::default()).then_some(settings)
    }

    fn authorities(&mut self, at: &Place<'_>, file: &raw::FileRef) -> Option<Authorities> {
        let at = file_in(at, "ca");
        let text = self.text_of(&at, file)?;
        let authorities = self.usable(&at, file, Authorities::from_pem(&text))?;
        self.warn_of_end(&at, "every certificate in it", authorities.not_after());
        Some(authorities)
    }

    fn identity(&mut self, at: &Place<'_>, tls: &raw::ServiceTls) -> Option<Identity> {
        let (cert, key) = match (&tls.client_cert, &tls.client_key) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) => return None,
            // A misspelt key is not missing.
            _ if self.spans.is_broken(at) => return None,
            (Some(_), None) => {
                let help = "add `client_key: {file: client.key}`".to_owned();
                self.error_of(Code::MissingKey, at, "`client_cert` without `client_key`", Some(help));
                return None;
            }
            (None, Some(_)) => {
                let help = "add `client_cert: {file: client.crt}`".to_owned();
                self.error_of(Code::MissingKey, at, "`client_key` without `client_cert`", Some(help));
                return None;
            }
        };
        let (at_cert, at_key) = (file_in(at, "client_cert"), file_in(at, "client_key"));
        let (chain, secret) = (self.text_of(&at_cert, cert), self.text_of(&at_key, key));
        let chain = chain?;
        self.usable(&at_cert, cert, Identity::has_chain(&chain))?;
        let identity = self.usable(&at_key, key, Identity::from_pem(&chain, &secret?))?;
        self.warn_of_end(&at_cert, "the certificate", identity.not_after());
        Some(identity)
    }

    fn server_name(&mut self, at: &Place<'_>, text: &str) -> Option<ServiceName> {
        let name = ServiceName::parse(text);
        if name.is_none() {
            let mut at = at.to_vec();
            at.push(Seg::Key("server_name"));
            let message = format!("{} is not a name that a certificate can be for", self.quoted(&at));
            let help = "write a host name or an address, without scheme and port: `billing.internal`".to_owned();
            self.error(Code::InvalidValue, &at, message, Some(help));
        }
        name
    }

    fn text_of(&mut self, at: &Place<'_>, file: &raw::FileRef) -> Option<Vec<u8>> {
        if self.world.secrets != Secrets::Real {
            return None;
        }
        let path = self.beside(&file.file);
        let read = (self.world.read)(&path);
        if let Err(error) = &read {
            let message = format!("the file {} cannot be read: {error}", quoted(&path.display().to_string()));
            self.error(Code::UnusableFile, at, message, None);
        }
        read.ok()
    }

    fn usable<T>(&mut self, at: &Place<'_>, file: &raw::FileRef, read: Result<T, PemProblem>) -> Option<T> {
        if let Err(problem) = &read {
            let path = self.beside(&file.file);
            let message = format!("the file {} cannot be used: {problem}", quoted(&path.display().to_string()));
            self.error(Code::UnusableFile, at, message, None);
        }
        read.ok()
    }

    fn warn_of_end(&mut self, at: &Place<'_>, what: &str, not_after: Timestamp) {
        if not_after < self.world.now {
            let message = format!("{what} has expired ({not_after})");
            let help = "put a new one in its place and reload".to_owned();
            self.warning(Code::EndsSoon, at, message, Some(help));
        }
    }
}

/// Returns the place of a file's path.
fn file_in<'a>(at: &Place<'a>, key: &'static str) -> Vec<Seg<'a>> {
    let mut at = at.to_vec();
    at.extend([Seg::Key(key), Seg::Key("file")]);
    at
}
