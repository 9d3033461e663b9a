//! Hostile and broken input: no panic, and an answer soon.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

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

fn soon(text: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "the test is about real time")]
    let (start, shown) = (Instant::now(), shown(text));
    assert!(start.elapsed() < Duration::from_secs(2), "took {:?}", start.elapsed());
    shown
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
