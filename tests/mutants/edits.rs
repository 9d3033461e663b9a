//! Changes to texts and bytes: random ones, and those of an attacker who knows the forms of signatures.

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};

use crate::codec::{base64, base64url, from_base64, from_base64url, from_hex, hex};

/// Changes a few bytes.
pub(crate) fn bytes(value: &mut Vec<u8>, rng: &mut StdRng) {
    let at = if value.is_empty() { 0 } else { rng.random_range(0..value.len()) };
    let end = rng.random_range(at..=value.len().min(at + 24));
    let odd = *b" \n\r\t\0\"{}[],.:;=&%+-_v10aZ\xff".choose(rng).unwrap();
    match rng.random_range(0..12_u8) {
        0 | 1 => value.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << rng.random_range(0..8_u8)),
        2 => value.get_mut(at).into_iter().for_each(|byte| *byte = odd),
        3 => value.insert(at, odd),
        4 => drop(value.drain(at..end)),
        5 => value.truncate(at),
        6 => value.extend_from_within(at..end),
        7 if end > at + 1 => value.swap(at, end - 1),
        8 => value.get_mut(at).into_iter().for_each(|byte| *byte ^= 0x20),
        9 => value.push(odd),
        10 => value.insert(0, odd),
        _ => {
            let digits: Vec<_> = (0..value.len()).filter(|at| value[*at].is_ascii_digit()).collect();
            if let Some(&at) = digits.choose(rng) {
                value[at] = b'0' + (value[at] - b'0' + rng.random_range(1..10_u8)) % 10;
            }
        }
    }
}

/// Changes a number that stands somewhere in the text.
pub(crate) fn number(value: &mut Vec<u8>, rng: &mut StdRng) {
    let Some(start) = value.iter().position(u8::is_ascii_digit) else { return };
    // The longest run is more likely a time than the `1` of `v1`.
    let runs = (start..value.len()).filter(|at| *at == 0 || !value[at - 1].is_ascii_digit());
    let run = |at: usize| value[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let Some(at) = runs.max_by_key(|at| run(*at)) else { return };
    let length = run(at);
    let written = String::from_utf8_lossy(&value[at..at + length]).into_owned();
    let number: u64 = written.parse().unwrap_or(u64::MAX);
    let near = *[1, 4, 5, 6, 60, 299, 300, 301, 3600, 86_400].choose(rng).unwrap();
    let changed = match rng.random_range(0..12_u8) {
        0 | 1 => number.saturating_add(near).to_string(),
        2 | 3 => number.saturating_sub(near).to_string(),
        4 => number.saturating_mul(1000).to_string(),
        5 => (number / 1000).to_string(),
        6 => format!("{}{written}", ["0", "+", "-", " ", "00", "0x", "\t"].choose(rng).unwrap()),
        7 => format!("{written}{}", [".0", "e0", " ", "s", ".", "000", "\u{661}", "Z"].choose(rng).unwrap()),
        8 => [u64::MAX, 0, i64::MAX.unsigned_abs(), u64::MAX / 1000].choose(rng).unwrap().to_string(),
        9 => format!("{number:x}"),
        10 => "NaN".to_owned(),
        _ => written.chars().map(|digit| char::from_u32(0xff10 + digit.to_digit(10).unwrap()).unwrap()).collect(),
    };
    value.splice(at..at + length, changed.into_bytes());
}

/// Changes a list such as `t=1,v1=ab` with any separator; `other` is the list of another request.
pub(crate) fn list(value: &mut Vec<u8>, other: &[u8], rng: &mut StdRng) {
    let (text, other) = (String::from_utf8_lossy(value).into_owned(), String::from_utf8_lossy(other).into_owned());
    let separators = [",", ";", " ", ", ", "; ", "|", "&", "\t"];
    let separator = *separators[..3].iter().max_by_key(|separator| text.matches(**separator).count()).unwrap();
    let separator = if text.contains(separator) { separator } else { separators.choose(rng).unwrap() };
    let mut elements: Vec<String> = text.split(separator).map(str::to_owned).collect();
    let at = rng.random_range(0..elements.len());
    let theirs: Vec<String> = other.split(separator).map(str::to_owned).collect();
    match rng.random_range(0..14_u8) {
        0 => elements.shuffle(rng),
        1 => elements.push(elements[at].clone()),
        2 => drop(elements.remove(at)),
        3 => elements.insert(at, String::new()),
        4 => elements.extend(theirs),
        5 => elements = theirs.into_iter().chain(elements).collect(),
        6 => elements[at].clone_from(theirs.last().unwrap()),
        7 => elements = vec![elements.join(separators.choose(rng).unwrap())],
        8 => {
            let wrong = element(&elements[at], rng);
            let wrongs = std::iter::repeat_n(wrong, rng.random_range(1..20));
            elements = if rng.random() {
                wrongs.chain(elements).collect()
            } else {
                elements.into_iter().chain(wrongs).collect()
            };
        }
        _ => elements[at] = element(&elements[at], rng),
    }
    *value = elements.join(separator).into_bytes();
}

/// Returns another element in place of one such as `v1=ab`.
fn element(text: &str, rng: &mut StdRng) -> String {
    let assign = text.find(['=', ',']).map_or(0, |at| at + 1);
    let (label, written) = text.split_at(assign);
    let odd_label = *["v0=", "v2=", "V1=", "v1a,", "=", "v1=v1=", "h1=", ",", "v1 ="].choose(rng).unwrap();
    match rng.random_range(0..6_u8) {
        0 => format!("{odd_label}{written}"),
        1 => label.to_owned(),
        2 => label.chars().chain(written.chars().take(rng.random_range(0..9))).collect(),
        3 => format!("{label}{}", "ab".repeat(32)),
        4 => format!("{label}00"),
        _ => format!("{label} {written} "),
    }
}

/// Changes the longest word that can be a signature: its bytes, or their encoding.
pub(crate) fn encoding(value: &mut Vec<u8>, rng: &mut StdRng) {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte);
    let words = value.split(|byte| !is_word(byte)).map(|word| {
        // A short label and its `=` belong to the list, not to the signature.
        word.iter().take(8).position(|byte| *byte == b'=').map_or(word, |at| &word[at + 1..])
    });
    let Some(word) = words.max_by_key(|word| word.len()) else { return };
    let word = word.to_vec();
    let at = value.windows(word.len().max(1)).position(|window| window == word).unwrap_or_default();
    let Some(mut decoded) = from_hex(&word).or_else(|| from_base64(&word)).or_else(|| from_base64url(&word)) else {
        return;
    };
    let as_hex = from_hex(&word).is_some();
    let again = |bytes: &[u8]| if as_hex { hex(bytes) } else { base64(bytes) };
    let text = String::from_utf8_lossy(&word).into_owned();
    let keep = rng.random_range(0..=decoded.len());
    let written = match rng.random_range(0..15_u8) {
        0 => hex(&decoded),
        1 => base64(&decoded),
        2 => base64url(&decoded),
        3 => again(&decoded[..keep]),
        4 => again(&decoded[keep..]),
        5 => again(&[&decoded[..], &[0; 4][..keep % 5]].concat()),
        6 | 7 => {
            if let Some(byte) = decoded.get_mut(keep) {
                *byte ^= 1 << rng.random_range(0..8_u8);
            }
            again(&decoded)
        }
        8 => again(&vec![0; decoded.len()]),
        9 => text.trim_end_matches('=').to_owned(),
        10 => format!("{text}="),
        11 => text.to_uppercase(),
        12 => base64(text.as_bytes()),
        13 => {
            // The bytes after a point are random; comparing a prefix only would not notice.
            rng.fill_bytes(&mut decoded[keep..]);
            again(&decoded)
        }
        // The last letter of base64 has unused bits.
        _ => {
            text.trim_end_matches('=').chars().rev().skip(1).collect::<Vec<_>>().into_iter().rev().collect::<String>()
                + "x="
        }
    };
    value.splice(at..at + word.len(), written.into_bytes());
}
