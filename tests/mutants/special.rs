//! The rules that hold for every scheme, without randomness: each test breaks one rule on an otherwise valid request.

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::laws;
use crate::oracle::{Draft, Hand, Law, Signed, may_verify};
use crate::request::Request;
use crate::{NOW, pool};

/// Runs a check on a valid request of each scheme.
fn each(check: impl Fn(&dyn Law, &Request, &[Signed])) {
    for law in laws::all() {
        let mut rng = StdRng::seed_from_u64(7);
        let made = (0..6).map(|_| {
            let draft = Draft { body: law.body(&mut rng), at: NOW, id: "msg_1".to_owned() };
            law.sign(&draft, Hand::Provider(0), &mut rng)
        });
        let right: Vec<_> = made.filter(|(request, _)| request.judge(law.verifier()).unwrap().is_ok()).collect();
        assert!(right.len() > 3, "{}: only {} of 6 verify", law.name(), right.len());
        for (request, signed) in &right {
            check(law.as_ref(), request, signed);
        }
    }
}

#[track_caller]
fn refused(law: &dyn Law, request: &Request, what: &str) {
    let verdict = request.judge(law.verifier()).unwrap();
    assert!(verdict.is_err(), "{}: {what} verified\n{request}", law.name());
}

#[test]
fn what_the_provider_signs_verifies_and_what_others_sign_does_not() {
    for law in laws::all() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..20 {
            let (pool, signed) = pool(law.as_ref(), &mut rng);
            for request in pool {
                let verdict = request.judge(law.verifier()).unwrap();
                assert_eq!(verdict.is_ok(), may_verify(law.as_ref(), &request, &signed), "{}\n{request}", law.name());
            }
        }
    }
}

#[test]
fn a_consulted_header_that_is_there_twice_is_refused() {
    each(|law, request, _| {
        for name in law.headers() {
            let Some(at) = request.position(name) else { continue };
            let value = request.headers[at].1.clone();
            for (again, place) in [(value, 0), (b"".to_vec(), 0), (b"x".to_vec(), request.headers.len())] {
                let mut twice = request.clone();
                twice.headers.insert(place, ((*name).to_owned(), again));
                // The media type does not matter when the hash of the body stands in the URL.
                if *name != "Content-Type" {
                    refused(law, &twice, &format!("{name} twice"));
                }
            }
        }
    });
}

#[test]
fn without_its_signature_or_with_an_empty_one_a_request_is_refused() {
    each(|law, request, _| {
        let name = law.headers()[0];
        let mut without = request.clone();
        without.headers.retain(|(one, _)| one != name);
        refused(law, &without, "no signature");
        for value in
            ["", " ", "v1,", "v1=", "v0=", "sha256=", "=", ",", "t=1760000000", "t=1760000000,v1=", "..", "a.b."]
        {
            let mut empty = request.clone();
            empty.set(name, value.as_bytes().to_vec());
            refused(law, &empty, value);
        }
    });
}

#[test]
fn no_part_of_a_signature_is_a_signature() {
    each(|law, request, _| {
        let name = law.headers()[0];
        let value = request.single(name).unwrap().to_vec();
        // A list that is cut inside its `v0` element still holds a whole signature; only shorter parts are tested.
        let whole = value.windows(2).rposition(|pair| pair == b"v0").unwrap_or(value.len());
        for end in 0..whole.saturating_sub(1) {
            let mut part = request.clone();
            part.set(name, value[..end].to_vec());
            refused(law, &part, &format!("{end} bytes of the signature"));
        }
    });
}

#[test]
fn every_byte_of_the_body_counts() {
    each(|law, request, signed| {
        for at in 0..request.body.len() {
            let (mut other, bit) = (request.clone(), at % 8);
            other.body[at] ^= 1 << bit;
            // A form has several encodings of one text.
            if !may_verify(law, &other, signed) {
                refused(law, &other, &format!("bit {bit} of byte {at}"));
            }
        }
    });
}
