//! Hostile and broken input: no panic, and a result in short time.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use hookgate::clock::thread_cpu_time;
use hookgate::config::Severity;
use hookgate::config::show::Shown;

use super::meaning::Around;
use super::show::meaning;
use super::{GOOD, load, shown};

/// A small generator, so that a seed replays a failure.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// Runs `work` and checks its CPU time: that of this thread alone, whatever else the machine does.
fn soon_done<T>(work: impl Fn() -> T) -> T {
    let start = thread_cpu_time();
    let done = work();
    let took = thread_cpu_time().saturating_sub(start);
    assert!(took < Duration::from_secs(2), "took {took:?}");
    done
}

fn soon(text: &str) -> String {
    soon_done(|| shown(text))
}

#[test]
fn mutations_of_a_good_file_never_panic() {
    let mut random = Random(0x5eed_1234_abcd);
    let splice = [
        "{", "}", "[", "]", ": ", "- ", "\n", "\t", "&a ", "*a", "<<: ", "\"", "'", "|\n", "${", "}", "\0", "é",
        "\u{202e}", "!!x ", "---\n", "%", "? ", "\r", "#", "0", "-1",
    ];
    for seed in 0..3000 {
        let mut bytes = GOOD.as_bytes().to_vec();
        for _ in 0..=random.below(6) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = u8::try_from(random.below(256)).unwrap(),
                1 => drop(bytes.drain(at..(at + random.below(40)).min(bytes.len()))),
                2 => drop(bytes.splice(at..at, splice[random.below(splice.len())].bytes())),
                _ => bytes.truncate(bytes.len() - random.below(bytes.len() / 4)),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        if soon(&text).is_empty() {
            assert!(load(&text).raw.is_some(), "mutation {seed} is silent:\n{text}");
        }
    }
}

/// The example of the project, through both stages, with its secrets and schemas in place.
#[test]
fn mutations_of_the_example_never_panic_when_they_are_checked() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("routes.yaml")).unwrap();
    let (mut around, _) = Around::of("");
    for name in ["GITHUB_WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRET", "SHOP_WEBHOOK_SECRET"] {
        around.set(name, "whsec_c2VjcmV0");
    }
    for file in ["github/push", "github/pull_request", "github/issues", "stripe/invoice.paid"] {
        // Small schemas: compiling the real ones 500 times would take half a minute.
        around.write(&format!("schemas/{file}.json"), br#"{"type": "object"}"#);
    }
    let checked = |text: &str| soon_done(|| around.check(text));
    assert_eq!(checked(&text).problems, [], "unspoilt, the example is right");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut random = Random(0x5eed_5eed_5eed);
    let mut readable = 0;
    for seed in 0..500 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            let word = words[random.below(words.len())];
            match random.below(5) {
                0 => bytes[at] = u8::try_from(random.below(128)).unwrap(),
                1 => drop(bytes.drain(at..(at + random.below(12)).min(bytes.len()))),
                2 => drop(bytes.splice(at..at, word.bytes())),
                // Replacing words by words keeps the file valid YAML, so that the second stage runs.
                _ => {
                    let old = words[random.below(words.len())];
                    let place = bytes.windows(old.len()).position(|window| window == old.as_bytes());
                    let place = place.unwrap_or(0);
                    bytes.splice(place..(place + old.len()).min(bytes.len()), word.bytes());
                }
            }
        }
        let spoilt = String::from_utf8_lossy(&bytes);
        let checked = checked(&spoilt);
        let has_error = checked.problems.iter().any(|problem| problem.severity == Severity::Error);
        assert_eq!(checked.setup.is_none(), has_error, "mutation {seed}:\n{spoilt}");
        // A file that still has a meaning must be shown as a file with the same meaning.
        if let Some(shown) = Shown::of(&checked, &|name| around.variable(name)) {
            let shown = shown.yaml();
            assert!(meaning(&around, &spoilt) == meaning(&around, &shown), "mutation {seed}:\n{spoilt}\n\n{shown}");
            readable += 1;
        }
    }
    assert!(readable >= 100, "only {readable} were right all the same");
}

#[test]
fn hostile_files_are_answered_soon() {
    let wide = "version: 1\nx-a:\n".to_owned() + &"  - a\n".repeat(200_000);
    let keys = (0..100_000).fold("version: 1\nx-a:\n".to_owned(), |mut text, n| {
        writeln!(text, "  k{n}: v").unwrap();
        text
    });
    let mut nested = "version: 1\nx-a: ".to_owned();
    (0..60).for_each(|n| write!(nested, "&a{n} [").unwrap());
    nested.push_str(&"x,".repeat(100_000));
    for text in
        [wide, keys, nested, "[".repeat(100_000), "{".repeat(100_000), "- ".repeat(100_000), "? ".repeat(50_000)]
    {
        soon(&text);
    }
    assert!(soon(&"a: 1\n".repeat(1_000_000)).contains("limit_exceeded"));
}

#[test]
fn thousands_of_problems_end_at_a_hundred() {
    let text = (0..3000).fold("version: 1\ndestinations:\n".to_owned(), |mut text, n| {
        writeln!(text, "  d{n}: {{url: x, timeout: 5}}").unwrap();
        text
    });
    let problems = load(&text).problems;
    assert_eq!(problems.len(), 101);
    assert_eq!(problems[100].code.as_str(), "too_many_problems");
    soon(&text);
}
