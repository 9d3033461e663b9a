//! LiveKit: a JWT (HS256) in a header, whose claims name the issuer, the times and the hash of the body.

use hookgate::provider::Verifier;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Hash, Shared, json as event, verifier};
use crate::codec::{base64, base64url, from_base64, from_base64url};
use crate::oracle::{Claim, Draft, Hand, Law, Signed};
use crate::request::Request;

const ISSUER: &str = "APIkey1";
const TOKEN: &str = "Authorization";

pub(super) struct LiveKit {
    keys: Shared,
}

impl LiveKit {
    pub(super) fn new() -> Self {
        let secrets = ["c2VjcmV0IG51bWJlciBvbmU=", "an older secret that is long enough"];
        let keys = Shared {
            verifier: verifier("livekit", &secrets, &[("api key (iss)", ISSUER)]),
            keys: secrets.map(|secret| secret.as_bytes().to_vec()),
            other_reading: b"secret number one".to_vec(),
            other_hash: Hash::Sha512,
        };
        Self { keys }
    }

    fn claim(request: &Request) -> Option<Claim> {
        let token = request.single_text(TOKEN)?;
        let (text, signature) = token.rsplit_once('.')?;
        let signature = from_base64url(signature.as_bytes())?;
        let claims: Value = serde_json::from_slice(&from_base64url(text.split('.').nth(1)?.as_bytes())?).ok()?;
        let digest = from_base64(claims["sha256"].as_str()?.as_bytes())?;
        if claims["iss"] != ISSUER || digest != Sha256::digest(&request.body).as_slice() {
            return None;
        }
        let from = claims.get("nbf").map_or(Some(0), Value::as_u64)?;
        // A token is void from its `exp` on.
        let until = claims["exp"].as_u64()?.checked_mul(1000)?.checked_sub(1)?;
        let window_ms = from.checked_mul(1000)?..=until;
        Some(Claim { texts: vec![text.as_bytes().to_vec()], signatures: vec![signature], window_ms })
    }
}

impl Law for LiveKit {
    fn name(&self) -> &'static str {
        "livekit"
    }

    fn verifier(&self) -> &Verifier {
        &self.keys.verifier
    }

    fn headers(&self) -> &'static [&'static str] {
        &[TOKEN]
    }

    fn body(&self, rng: &mut StdRng) -> Vec<u8> {
        event(rng)
    }

    fn sign(&self, draft: &Draft, hand: Hand, rng: &mut StdRng) -> (Request, Vec<Signed>) {
        let hand = if hand == Hand::Both { Hand::Provider(1) } else { hand };
        let mut claims = json!({
            "iss": ISSUER,
            "exp": draft.at + 300,
            "sha256": base64(&Sha256::digest(&draft.body)),
        });
        if rng.random_bool(0.7) {
            claims["nbf"] = json!(draft.at - 5);
        }
        // Tokens of the provider for another purpose have a right signature and prove no message.
        let fault = if hand.is_provider() { rng.random_range(0..40_u8) } else { 40 };
        match fault {
            0 => drop(claims.as_object_mut().and_then(|claims| claims.remove("sha256"))),
            1 => drop(claims.as_object_mut().and_then(|claims| claims.remove("exp"))),
            2 => claims["iss"] = json!("APIkey2"),
            _ => {}
        }
        let algorithm = if hand == Hand::OtherAlgorithm { "HS512" } else { "HS256" };
        let head = json!({"alg": algorithm, "typ": "JWT"}).to_string();
        let text = format!("{}.{}", base64url(head.as_bytes()), base64url(claims.to_string().as_bytes()));
        let hash = if hand == Hand::OtherAlgorithm { Hash::Sha512 } else { Hash::Sha256 };
        let hand = if hand == Hand::OtherAlgorithm { Hand::Provider(0) } else { hand };
        let signatures = self.keys.macs(hash, hand, text.as_bytes());
        let token = format!("{text}.{}", base64url(&signatures[0]));
        let headers = [("Content-Type", "application/webhook+json"), (TOKEN, token.as_str())];
        let request = Request::new("/in/x", &headers, &draft.body, draft.at);
        (request, vec![Signed { text: text.into_bytes(), signatures }])
    }

    fn read(&self, request: &Request) -> Vec<Claim> {
        Self::claim(request).into_iter().collect()
    }

    fn change(&self, request: &mut Request, rng: &mut StdRng) {
        let Some(token) = request.single_text(TOKEN) else { return };
        let parts: Vec<&str> = token.split('.').collect();
        let [head, payload, signature] = parts.as_slice() else { return };
        let Some(claims) = from_base64url(payload.as_bytes()) else { return };
        let Ok(claims) = String::from_utf8(claims) else { return };
        let heads = [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None","typ":"JWT"}"#,
            r#"{"alg":"HS512","typ":"JWT"}"#,
            r#"{"alg":"RS256","typ":"JWT"}"#,
            r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
            r#"{"alg":"HS256","alg":"none"}"#,
        ];
        let changed = match rng.random_range(0..7_u8) {
            0 | 1 => format!("{}.{payload}.{signature}", base64url(heads[rng.random_range(0..heads.len())].as_bytes())),
            2 => format!("{}.{payload}.", base64url(heads[0].as_bytes())),
            3 => {
                let later = claims.replace("\"exp\":17", "\"exp\":27");
                format!("{head}.{}.{signature}", base64url(later.as_bytes()))
            }
            4 => {
                // The hash of this body, under the signature of another token.
                let other = base64(&Sha256::digest(&request.body));
                let own =
                    serde_json::from_str::<Value>(&claims).ok().and_then(|it| it["sha256"].as_str().map(str::to_owned));
                let claims = claims.replace(own.as_deref().unwrap_or("?"), &other);
                format!("{head}.{}.{signature}", base64url(claims.as_bytes()))
            }
            5 => format!("Bearer {token}"),
            _ => format!("{token}.{signature}"),
        };
        request.set(TOKEN, changed.into_bytes());
    }
}
