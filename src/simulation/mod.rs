//! A simulation of the buffer and the deliveries, with a clock, a disk and targets of its own, all of it decided by one
//! seed.
//!
//! A run sends events, lets commits and syncs fail, the power go, the disk fill up, the wall clock jump, targets die,
//! hang and refuse, and people replay, discard, release and skip. Then it heals everything, waits until nothing is left
//! to do, and checks the promises (`check`). The code is the one that ships, from `Buffer` to the workers; only time,
//! disk and network are replaced. The same seed gives the same run.
//!
//! ```sh
//! cargo test --lib simulation                                   # 200 seeds
//! SEEDS=10000 cargo test --release --lib simulation             # as many as you like
//! SEED=17 cargo test --lib simulation -- --nocapture            # one, told step by step
//! ```
//!
//! Deliberately not here: the engine itself, which real disks, kills and injected errors show.

mod check;
mod plan;
mod target;
mod trouble;
mod world;

use plan::RunPlan;

const SEEDS: u64 = 200;

fn variable(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "how a person asks a test for more")]
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[expect(clippy::print_stdout, reason = "a run that a person asked for is told")]
#[test]
fn no_seed_breaks_what_is_promised() {
    if let Some(seed) = variable("SEED") {
        let story = world::run(seed, &RunPlan::of(seed));
        println!("{}", story.lines.join("\n"));
        assert!(story.broken.is_empty(), "seed {seed}: {:#?}", story.broken);
        return;
    }
    let first = variable("FIRST").unwrap_or(1);
    let seeds = variable("SEEDS").unwrap_or(SEEDS);
    let mut sum = world::Sum::default();
    let mut broken = Vec::new();
    for seed in first..first + seeds {
        let story = world::run(seed, &RunPlan::of(seed));
        sum.add(&story.sum);
        if !story.broken.is_empty() {
            broken.push(format!("SEED={seed}: {}", story.broken.join("; ")));
        }
    }
    println!("{seeds} seeds: {sum:?}");
    assert!(broken.is_empty(), "{} of {seeds} seeds:\n{}", broken.len(), broken.join("\n"));
    // A run without any fault proves nothing.
    assert!(sum.crashes > 0 && sum.failed_commits > 0 && sum.parked > 0 && sum.opened > 0, "{sum:?}");
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in [3, 17] {
        let (first, second) = (world::run(seed, &RunPlan::of(seed)), world::run(seed, &RunPlan::of(seed)));
        assert!(!first.lines.is_empty());
        for (at, (one, other)) in first.lines.iter().zip(&second.lines).enumerate() {
            assert_eq!(one, other, "line {at} of seed {seed}");
        }
        assert_eq!(first.lines.len(), second.lines.len());
    }
}
