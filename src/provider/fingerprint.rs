//! The fingerprint of a verifier on disk: equal while scheme, secrets and context are, and telling nothing of them.
//!
//! A hash of a weak secret lets a reader of the disk try guesses against the hash. So the fingerprint is made in many
//! rounds, which makes a guess as expensive as the rounds, and cut to the length that tells two verifiers apart. The
//! fingerprint is made at its first use, which only sources with `enforce: false` have. A new version of the program
//! may change it: then everything is re-evaluated.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::block::Scheme;
use crate::secret::Secret;

/// The rounds of the hash, which take a few milliseconds.
const ROUNDS: u32 = 16_384;

/// The fingerprint of one verifier.
pub(super) struct Fingerprint {
    seed: Zeroizing<[u8; 32]>,
    made: OnceLock<[u8; 8]>,
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Print(…)")
    }
}

impl Fingerprint {
    pub(super) fn of(scheme: &Scheme, secrets: &[Secret], context: &BTreeMap<String, String>) -> Self {
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        // The debug form names every part of a scheme, and holds no secret.
        add(format!("{scheme:?} {context:?}").as_bytes());
        for secret in secrets {
            add(secret.expose());
            add(format!("{:?}", secret.validity()).as_bytes());
        }
        Self { seed: Zeroizing::new(hash.finalize().into()), made: OnceLock::new() }
    }

    pub(super) fn get(&self) -> [u8; 8] {
        *self.made.get_or_init(|| {
            let mut state = self.seed.clone();
            for round in 0..ROUNDS {
                let mut hash = Sha256::new();
                hash.update(round.to_le_bytes());
                hash.update(*state);
                hash.update(*self.seed);
                *state = hash.finalize().into();
            }
            let mut short = [0; 8];
            short.iter_mut().zip(*state).for_each(|(to, from)| *to = from);
            short
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::provider::{Verifier, builtin};
    use crate::secret::{SecretName, Validity};

    fn print(provider: &str, secrets: &[(&str, &str)], until: Timestamp) -> [u8; 8] {
        let scheme = builtin().get(provider).unwrap().scheme().clone();
        let validity = Validity { until, ..Validity::ALWAYS };
        let secrets = secrets.iter().map(|(name, value)| {
            Secret::new(SecretName::new(name), value.as_bytes().to_vec()).unwrap().valid(validity)
        });
        Verifier::new(scheme, secrets.collect(), BTreeMap::new()).unwrap().print()
    }

    #[test]
    fn it_changes_with_scheme_secret_and_validity_and_with_nothing_else() {
        let always = Validity::ALWAYS.until;
        let one = print("github", &[("a", "k")], always);
        assert_eq!(one, print("github", &[("another name", "k")], always));
        let others = [
            print("github", &[("a", "l")], always),
            print("github", &[("a", "k"), ("b", "l")], always),
            print("github", &[("a", "kl")], always),
            print("shopify", &[("a", "k")], always),
            print("github", &[("a", "k")], Timestamp::from_unix_secs(1)),
        ];
        assert!(others.iter().all(|other| *other != one));
    }
}
