//! Mutants: valid requests of ten schemes, changed at random or as an attacker would; none of them may verify.
//!
//! Some mutants are still authentic (a signature in other letter case, a list in another order, a header that nobody
//! signs). An independent oracle (`oracle.rs`, `laws/`) finds them: it knows the signed texts and ignores the engine.
//! Both must agree on every mutant, so that a refused authentic request is found as well.
//!
//! `MUTANTS=1000000 cargo test --release --test mutants` makes that many mutants; `MUTANTS_SECS=30` runs that many
//! seconds (3 by default). A failure prints `MUTANTS_SEED`, with which the failed round runs first.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may stop at the first surprise, and it is told by the environment how long to run"
)]

mod codec;
mod edits;
mod laws;
mod mutate;
mod oracle;
mod request;
mod special;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hookgate::provider::Failure;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use oracle::{Draft, Hand, Law, Signed, may_verify};
use request::Request;

const NOW: u64 = 1_760_000_000;
/// The number of mutants of one set of requests.
const ROUND: u64 = 100;

/// The numbers of mutants of one scheme.
#[derive(Default)]
struct Tally {
    /// Mutants that must not verify.
    mutants: u64,
    /// Mutants that are still authentic.
    equivalent: u64,
    reasons: BTreeMap<&'static str, u64>,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Creates requests of the provider and forged ones, and all texts that the provider signed.
pub(crate) fn pool(law: &dyn Law, rng: &mut StdRng) -> (Vec<Request>, Vec<Signed>) {
    let hands = [
        (Hand::Provider(0), NOW),
        (Hand::Provider(1), NOW - 2),
        (Hand::Both, NOW + 1),
        (Hand::Provider(0), NOW - 3600),
        (Hand::Empty, NOW),
        (Hand::OtherReading, NOW),
        (Hand::Stranger, NOW),
        (Hand::OtherAlgorithm, NOW),
    ];
    let (mut requests, mut signed) = (Vec::new(), Vec::new());
    for (hand, at) in hands {
        let draft = Draft { body: law.body(rng), at, id: format!("msg_{}", rng.random::<u32>()) };
        let (mut request, texts) = law.sign(&draft, hand, rng);
        request.now_ms = NOW * 1000;
        requests.push(request);
        if hand.is_provider() {
            signed.extend(texts);
        }
    }
    (requests, signed)
}

/// Runs one round: a scheme, a few requests, and their mutants.
fn round(laws: &[Box<dyn Law>], seed: u64, tallies: &mut BTreeMap<&'static str, Tally>) -> u64 {
    let mut rng = StdRng::seed_from_u64(seed);
    let law = laws[usize::try_from(seed % laws.len() as u64).unwrap()].as_ref();
    let (pool, signed) = pool(law, &mut rng);
    let tried: u64 = tallies.values().map(|tally| tally.mutants).sum();
    let tally = tallies.entry(law.name()).or_default();
    let before = tally.mutants;
    for _ in 0..ROUND {
        let base = if rng.random_bool(0.8) { rng.random_range(0..4) } else { rng.random_range(4..pool.len()) };
        let mutant = mutate::mutant(law, &pool, base, &mut rng);
        let Some(verdict) = mutant.judge(law.verifier()) else { continue };
        let authentic = may_verify(law, &mutant, &signed);
        if verdict.is_ok() != authentic {
            let told = if authentic { "is authentic" } else { "must not verify" };
            let said = verdict.map_or_else(|failure| format!("was refused: {failure}"), |_| "verified".to_owned());
            let tried = tried + tally.mutants - before;
            let name = law.name();
            panic!("MUTANTS_SEED={seed}, {name}, after {tried} mutants: a request that {told}; it {said}\n{mutant}");
        }
        if authentic {
            tally.equivalent += 1;
        } else {
            tally.mutants += 1;
        }
        *tally.reasons.entry(verdict.map_or_else(|it| Failure::label(&it), |_| "verified")).or_default() += 1;
    }
    tally.mutants - before
}

#[test]
fn no_mutant_of_a_valid_request_is_accepted() {
    let laws = laws::all();
    let first = number("MUTANTS_SEED").unwrap_or_else(|| rand::random::<u64>() >> 1);
    let most = number("MUTANTS");
    let budget = Duration::from_secs(number("MUTANTS_SECS").unwrap_or(3));
    let (start, mut tried, mut tallies) = (Instant::now(), 0, BTreeMap::new());
    // At least one round for each scheme, also with a short budget on a slow machine.
    let mut seeds = first..;
    let mut rounds = 0;
    while most.map_or_else(|| start.elapsed() < budget || rounds < laws.len(), |most| tried < most) {
        tried += round(&laws, seeds.next().unwrap(), &mut tallies);
        rounds += 1;
    }
    let took = start.elapsed().as_secs_f64();
    println!("{tried} mutants in {took:.1} s from MUTANTS_SEED={first}, none accepted");
    for (name, Tally { mutants, equivalent, reasons }) in &tallies {
        println!("{name:17} {mutants:8} mutants, {equivalent:7} still authentic; {reasons:?}");
    }
    if most.is_none() || tried >= 10_000 {
        assert!(tallies.values().all(|tally| tally.equivalent > 0), "a law that accepts nothing shows nothing");
    }
}
