//! `forward_secret`: the credentials of senders that are forwarded to services. Also warnings of odd secrets.

use std::sync::Arc;

use super::{Checker, path};
use crate::config::problem::Code;
use crate::config::spans::Seg;
use crate::credential::CredentialPlace;
use crate::deliver::Destinations;
use crate::rules::SourceRules;
use crate::secret::Secret;
use crate::shape::Withheld;
use crate::wrapping::seen;

impl Checker<'_> {
    /// Tells every destination the credentials that are not forwarded, by source.
    pub(super) fn withhold(&mut self, lanes: &[SourceRules], destinations: &mut Destinations) {
        let mut withheld = Withheld::default();
        for lane in lanes {
            let name = &lane.source.name;
            let forward = self.raw.sources.get(&**name).and_then(|written| written.forward_secret);
            let credentials = lane.credentials();
            withheld.set(Arc::clone(name), &credentials, forward);
            if let Some(forward) = forward {
                self.doubt_forwarding(name, &credentials, forward);
            }
        }
        let withheld = Arc::new(withheld);
        let names: Vec<Arc<str>> = destinations.keys().cloned().collect();
        for name in names {
            if let Some(destination) = destinations.get_mut(&name).and_then(Arc::get_mut) {
                destination.shape.withheld = Arc::clone(&withheld);
            }
        }
    }

    fn doubt_forwarding(&mut self, source: &str, credentials: &[CredentialPlace], forward: bool) {
        let at = path!["sources", source, "forward_secret"];
        let is_in_body =
            |place: &&CredentialPlace| matches!(place, CredentialPlace::Form(_) | CredentialPlace::Json(_));
        // `Authorization` and `Cookie` are withheld whatever the scheme, where the file says so. The path is not forwarded.
        let is_in_path = |place: &CredentialPlace| matches!(place, CredentialPlace::Path(_));
        if credentials.iter().all(is_in_path) && forward {
            let message = "no credential comes with the requests of this source";
            let help = "leave `forward_secret` out: a signature is no secret".to_owned();
            self.warning(Code::Unused, &at, message, Some(help));
        } else if let Some(place) = credentials.iter().find(is_in_body).filter(|_| !forward) {
            let message = format!("the credential stands in the body (`{place}`), which is forwarded as it came");
            let help = "take it out with `transform: {remove: […]}` of the routes".to_owned();
            self.warning(Code::Partial, &at, message, Some(help));
        }
    }

    /// Warns of a secret with probable mistakes, such as quotes, a byte order mark or invisible characters. The text is
    /// never shown.
    pub(super) fn doubt_secret(&mut self, at: &[Seg<'_>], secret: &Secret, place: &str) {
        let layers = seen(secret.expose());
        if layers.is_empty() {
            return;
        }
        let layers: Vec<&str> = layers.iter().map(|layer| layer.is_seen_as()).collect();
        let message = format!("the secret `{}` ({place}) {}", secret.name(), layers.join("; inside, it "));
        let help = "the whole value is used as the secret; write the secret exactly as the provider shows it, without quotes or spaces";
        self.warning(Code::OddSecret, at, message, Some(help.to_owned()));
    }
}
