//! Several signatures in one header, each with a label: Stripe, Paddle, Standard Webhooks.

use hookgate::provider::Verifier;
use rand::RngExt;
use rand::rngs::StdRng;

use super::{Hash, Shared, verifier};
use crate::codec::{base64, from_base64, from_hex, hex};
use crate::oracle::{Claim, Draft, Hand, Law, Signed, around, seconds};
use crate::request::Request;

/// The number of signatures of one list that the gateway reads.
const LISTED_MAX: usize = 16;
const ID: &str = "webhook-id";
const TIME: &str = "webhook-timestamp";

pub(super) struct Listed {
    name: &'static str,
    keys: Shared,
    headers: &'static [&'static str],
    separator: char,
    assign: char,
    label: &'static str,
    tolerance: u64,
    shape: Shape,
}

/// The places of id and time, and the form of the signed text.
#[derive(Clone, Copy)]
enum Shape {
    /// The time in the list under the first name; the second is the separator of time and body.
    InList(&'static str, &'static str),
    /// Id and time in headers of their own: `<id>.<time>.<body>`, in base64.
    InHeaders,
}

pub(super) fn stripe() -> Listed {
    let secrets = ["whsec_c2VjcmV0IG9uZQ==", "whsec_the older one"];
    let keys = Shared {
        verifier: verifier("stripe", &secrets, &[]),
        keys: secrets.map(|secret| secret.as_bytes().to_vec()),
        other_reading: b"secret one".to_vec(),
        other_hash: Hash::Sha1,
    };
    let headers = &["Stripe-Signature"];
    let shape = Shape::InList("t", ".");
    Listed { name: "stripe", keys, headers, separator: ',', assign: '=', label: "v1", tolerance: 300, shape }
}

pub(super) fn paddle() -> Listed {
    let keys = Shared { verifier: verifier("paddle", &["pdl_one", "pdl_two"], &[]), ..stripe().keys };
    let keys = Shared { keys: [b"pdl_one".to_vec(), b"pdl_two".to_vec()], ..keys };
    let shape = Shape::InList("ts", ":");
    let headers = &["Paddle-Signature"];
    Listed { name: "paddle", keys, headers, separator: ';', assign: '=', label: "h1", tolerance: 5, shape }
}

pub(super) fn standardwebhooks() -> Listed {
    let secrets = ["whsec_c2VjcmV0IG51bWJlciBvbmU=", "c2VjcmV0IG51bWJlciB0d28="];
    let keys = Shared {
        verifier: verifier("standardwebhooks", &secrets, &[]),
        keys: [b"secret number one".to_vec(), b"secret number two".to_vec()],
        other_reading: secrets[0].as_bytes().to_vec(),
        other_hash: Hash::Sha1,
    };
    let headers = &["webhook-signature", ID, TIME];
    let shape = Shape::InHeaders;
    Listed { name: "standardwebhooks", keys, headers, separator: ' ', assign: ',', label: "v1", tolerance: 300, shape }
}

impl Listed {
    fn text(&self, id: &[u8], time: &[u8], body: &[u8]) -> Vec<u8> {
        match self.shape {
            Shape::InList(_, between) => [time, between.as_bytes(), body].concat(),
            Shape::InHeaders => [id, b".", time, b".", body].concat(),
        }
    }

    fn claim(&self, request: &Request) -> Option<Claim> {
        let list = request.single_text(self.headers[0])?;
        let pairs: Vec<_> = list.split(self.separator).filter_map(|element| element.split_once(self.assign)).collect();
        let (id, time) = match self.shape {
            Shape::InList(name, _) => {
                let mut times = pairs.iter().filter(|(label, _)| *label == name).map(|(_, time)| *time);
                let first = times.next()?;
                (b"".as_slice(), times.all(|other| other == first).then_some(first)?.as_bytes())
            }
            Shape::InHeaders => (request.single(ID).filter(|id| !id.is_empty())?, request.single(TIME)?),
        };
        let listed: Vec<_> = pairs.iter().filter(|(label, _)| *label == self.label).collect();
        if listed.len() > LISTED_MAX {
            return None;
        }
        let decode = |text: &str| match self.shape {
            Shape::InList(..) => from_hex(text.as_bytes()),
            Shape::InHeaders => from_base64(text.as_bytes()),
        };
        let signatures = listed.iter().filter_map(|(_, text)| decode(text));
        let signatures = signatures.filter(|bytes| bytes.len() == Hash::Sha256.bytes()).collect();
        let window_ms = around(seconds(time)?, self.tolerance)?;
        Some(Claim { texts: vec![self.text(id, time, &request.body)], signatures, window_ms })
    }
}

impl Law for Listed {
    fn name(&self) -> &'static str {
        self.name
    }

    fn verifier(&self) -> &Verifier {
        &self.keys.verifier
    }

    fn headers(&self) -> &'static [&'static str] {
        self.headers
    }

    fn sign(&self, draft: &Draft, hand: Hand, rng: &mut StdRng) -> (Request, Vec<Signed>) {
        let time = draft.at.to_string();
        let text = self.text(draft.id.as_bytes(), time.as_bytes(), &draft.body);
        let macs = self.keys.macs(Hash::Sha256, hand, &text);
        let written = macs.iter().map(|mac| match self.shape {
            Shape::InList(..) => hex(mac),
            Shape::InHeaders => base64(mac),
        });
        let mut elements: Vec<String> =
            written.map(|written| format!("{}{}{written}", self.label, self.assign)).collect();
        if let Shape::InList(name, _) = self.shape {
            elements.insert(0, format!("{name}{}{time}", self.assign));
        }
        if rng.random_bool(0.2) {
            // Elements that test mode and asymmetric versions add.
            elements.push(format!("v0{}{}", self.assign, hex(&[7; 32])));
        }
        let list = elements.join(&self.separator.to_string());
        let mut headers = vec![("Content-Type", "application/json"), (self.headers[0], list.as_str())];
        if matches!(self.shape, Shape::InHeaders) {
            headers.extend([(ID, draft.id.as_str()), (TIME, time.as_str())]);
        }
        let request = Request::new("/in/x", &headers, &draft.body, draft.at);
        (request, vec![Signed { text, signatures: macs }])
    }

    fn read(&self, request: &Request) -> Vec<Claim> {
        self.claim(request).into_iter().collect()
    }
}
