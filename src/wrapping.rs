//! Text around or in a secret that probably does not belong to it: quotes, `NAME=`, a byte order mark, other lines.
//!
//! A secret is used as it is configured; no layer is removed from it. [`seen`] returns the layers that `check` warns
//! of. [`readings`] returns possible meanings of a secret, for near misses. The numbers of layers and of readings are
//! bounded. The kinds of layers are shown, the text never is.
//!
//! Not here: ASCII white space around a secret, which `Secret` drops.

use data_encoding::{BASE64, BASE64_NOPAD};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::encoding::{Utf16, is_invisible};

/// Layers that are taken off one after the other.
const LAYERS_MAX: usize = 3;
/// The limit of readings of one secret.
const READINGS_MAX: usize = 12;
/// The longest text that is searched: longer texts are keys and certificates, which have no such layers.
const BYTES_MAX: usize = 16 * 1024;
/// Parts of one layer, such as lines, that are looked at.
const PARTS_MAX: usize = 4;
/// Base64 that is broken into lines has lines of this length at least.
const BASE64_LINE_CHARS_MIN: usize = 48;
/// A shorter text reads as base64 by chance.
const BASE64_CHARS_MIN: usize = 12;

/// A layer around a secret, or something invisible in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapping {
    /// The mark with which some editors begin a file in UTF-8.
    ByteOrderMark,
    /// Two bytes for each character.
    Utf16,
    /// A JSON document with the secret as one of its texts.
    Json,
    /// Other lines before or behind the secret's.
    Lines,
    /// `NAME=` or `NAME: ` in front.
    Name,
    /// A pair of quotes.
    Quotes,
    /// Characters that have no width, look like a space, or control a terminal.
    Invisible,
    /// A backslash and an `n` where a PEM has line feeds.
    LineFeedLetters,
    /// Base64 of the secret.
    Base64,
}

/// The order in which layers are looked for.
const ALL: [Wrapping; 9] = [
    Wrapping::ByteOrderMark,
    Wrapping::Utf16,
    Wrapping::Json,
    Wrapping::Lines,
    Wrapping::Name,
    Wrapping::Quotes,
    Wrapping::Invisible,
    Wrapping::LineFeedLetters,
    Wrapping::Base64,
];

/// Pairs of quotes as keyboards, editors and chat programs write them.
const QUOTES: [(char, char); 8] =
    [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('„', '“'), ('”', '”'), ('‘', '’'), ('«', '»')];

/// The text of a secret, wiped when it is dropped.
type Text = Zeroizing<Vec<u8>>;

impl Wrapping {
    /// Describes the layer as it is seen, as the rest of a sentence about the secret.
    pub const fn is_seen_as(self) -> &'static str {
        match self {
            Self::ByteOrderMark => "begins with a byte order mark",
            Self::Utf16 => "is written in UTF-16",
            Self::Json => "is a JSON document",
            Self::Lines => "has several lines",
            Self::Name => "begins with a name, as in `NAME=value`",
            Self::Quotes => "stands in quotes",
            Self::Invisible => "holds invisible characters",
            Self::LineFeedLetters => "has `\\n` as two letters instead of line feeds",
            Self::Base64 => "reads as base64 of a text",
        }
    }

    /// Describes the corrected secret, for a secret that is right without this layer.
    pub const fn is_right(self) -> &'static str {
        match self {
            Self::ByteOrderMark => "without the byte order mark",
            Self::Utf16 => "read as UTF-16",
            Self::Json => "as one text of the JSON document, without the rest",
            Self::Lines => "as one of its lines, without the others",
            Self::Name => "with NAME= removed",
            Self::Quotes => "without the quotes",
            Self::Invisible => "without the invisible characters",
            Self::LineFeedLetters => "with line feeds in the place of `\\n`",
            Self::Base64 => "base64-decoded",
        }
    }

    /// The text without this layer; several where it holds several texts that may be the secret, none where there is no such
    /// layer or nothing would be left.
    fn off(self, text: &[u8]) -> Vec<Text> {
        let off = match self {
            Self::ByteOrderMark => one(text.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec)),
            Self::Utf16 => one(Utf16::of(text).and_then(Utf16::text).map(String::into_bytes)),
            Self::Json => texts_of_json(text),
            Self::Lines => lines(text),
            Self::Name => one(without_name(text)),
            Self::Quotes => one(without_quotes(text)),
            Self::Invisible => one(without_invisible(text)),
            Self::LineFeedLetters => one(with_line_feeds(text)),
            Self::Base64 => one(decoded(text)),
        };
        let trimmed = off.iter().map(|off| off.trim_ascii()).filter(|trimmed| !trimmed.is_empty() && *trimmed != text);
        trimmed.take(PARTS_MAX).map(|trimmed| Zeroizing::new(trimmed.to_vec())).collect()
    }

    /// Returns whether a text with this layer is probably a mistake. `inner` is the text without the layer.
    fn is_odd(self, inner: &[u8]) -> bool {
        match self {
            Self::Base64 => inner.len() >= BASE64_CHARS_MIN / 4 * 3 && is_printable(inner),
            _ => true,
        }
    }
}

/// Returns the layers of a secret that hardly belong to it, the outermost first.
pub fn seen(text: &[u8]) -> Vec<Wrapping> {
    let mut seen = Vec::new();
    if text.len() > BYTES_MAX {
        return seen;
    }
    let mut text: Text = Zeroizing::new(text.to_vec());
    while seen.len() < LAYERS_MAX {
        let is_odd = |one: Wrapping| one.off(&text).into_iter().find(|inner| one.is_odd(inner));
        let found = ALL.into_iter().find_map(|one| Some((one, is_odd(one)?)));
        let Some((wrapping, inner)) = found else { break };
        seen.push(wrapping);
        text = inner;
    }
    seen
}

/// Returns possible meanings of a secret, at most `READINGS_MAX`: each text with the layers that are removed from it.
pub fn readings(text: &[u8]) -> Vec<(Vec<Wrapping>, Text)> {
    let mut readings: Vec<(Vec<Wrapping>, Text)> = Vec::new();
    if text.len() > BYTES_MAX {
        return readings;
    }
    let mut outer: Vec<(Vec<Wrapping>, Text)> = vec![(Vec::new(), Zeroizing::new(text.to_vec()))];
    for _ in 0..LAYERS_MAX {
        let mut inner = Vec::new();
        for (layers, text) in &outer {
            for (one, read) in ALL.into_iter().flat_map(|one| one.off(text).into_iter().map(move |read| (one, read))) {
                let is_new = readings.iter().chain(&inner).all(|(_, known): &(Vec<Wrapping>, Text)| **known != *read);
                if is_new && readings.len() + inner.len() < READINGS_MAX {
                    inner.push(([layers.as_slice(), &[one]].concat(), read));
                }
            }
        }
        readings.extend(inner.iter().cloned());
        outer = inner;
    }
    readings
}

fn one(off: Option<Vec<u8>>) -> Vec<Text> {
    off.into_iter().map(Zeroizing::new).collect()
}

/// The texts in a JSON document. A JWK and a set of them are secrets as a whole.
fn texts_of_json(text: &[u8]) -> Vec<Text> {
    if !text.starts_with(b"{") && !text.starts_with(b"[") {
        return Vec::new();
    }
    match serde_json::from_slice(text) {
        Ok(Value::Object(members)) if members.contains_key("kty") || members.contains_key("keys") => Vec::new(),
        Ok(document) => texts(document),
        Err(_) => Vec::new(),
    }
}

fn texts(document: Value) -> Vec<Text> {
    match document {
        Value::String(text) => vec![Zeroizing::new(text.into_bytes())],
        Value::Array(items) => items.into_iter().flat_map(texts).collect(),
        Value::Object(members) => members.into_iter().flat_map(|(_, member)| texts(member)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// The lines of a text that is no PEM, no JSON and no base64 in lines.
fn lines(text: &[u8]) -> Vec<Text> {
    let Ok(text) = std::str::from_utf8(text) else { return Vec::new() };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_key = text.contains("-----BEGIN ") || text.starts_with(['{', '[']);
    let is_base64 = lines.iter().rev().skip(1).all(|line| line.len() >= BASE64_LINE_CHARS_MIN)
        && decoded(text.as_bytes()).is_some();
    if lines.len() < 2 || is_key || is_base64 {
        return Vec::new();
    }
    lines.into_iter().map(|line| Zeroizing::new(line.as_bytes().to_vec())).collect()
}

fn without_name(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let words = ["export ", "set ", "ENV ", "$env:"];
    let rest = words.iter().find_map(|word| text.strip_prefix(word)).unwrap_or(text).trim_start();
    let end = rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-')))?;
    let (name, rest) = rest.split_at_checked(end)?;
    let begins = name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    let is_variable = !name.contains('-');
    let value = match rest.trim_start().strip_prefix('=') {
        Some(value) if is_variable => value,
        // As in YAML, or a header as it is sent.
        _ => rest.strip_prefix(": ")?,
    };
    // Base64 ends with `=`.
    let is_value = value.chars().any(|letter| letter != '=' && !letter.is_whitespace());
    (begins && name.len() > 1 && is_value).then(|| value.as_bytes().to_vec())
}

fn without_quotes(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let inside = QUOTES.iter().find_map(|(open, close)| text.strip_prefix(*open)?.strip_suffix(*close));
    inside.map(|inside| inside.as_bytes().to_vec())
}

fn without_invisible(text: &[u8]) -> Option<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(text) else {
        // The no-break space in Latin-1.
        let left: Vec<u8> = text.iter().copied().filter(|byte| *byte != 0xa0).collect();
        return (left.len() < text.len() && left.is_ascii()).then_some(left);
    };
    // The mark at the beginning is a layer of its own.
    let is_mark = |at: usize, letter: char| at == 0 && letter == '\u{feff}';
    let left = text.chars().enumerate().filter(|(at, letter)| is_mark(*at, *letter) || !is_invisible(*letter));
    let left: String = left.map(|(_, letter)| letter).collect();
    (left.len() < text.len()).then(|| left.into_bytes())
}

fn with_line_feeds(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let is_pem = text.contains("-----BEGIN ") && text.contains("\\n");
    is_pem.then(|| text.replace("\\r\\n", "\n").replace("\\n", "\n").into_bytes())
}

fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let text: Text = Zeroizing::new(text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect());
    if text.len() < BASE64_CHARS_MIN {
        return None;
    }
    BASE64.decode(&text).or_else(|_padding| BASE64_NOPAD.decode(&text)).ok()
}

fn is_printable(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::Wrapping::{Base64, ByteOrderMark, Invisible, Json, LineFeedLetters, Lines, Name, Quotes, Utf16};
    use super::*;

    const SECRET: &str = "s3cr3t-of-the-shop";

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn a_secret_in_a_wrong_dress_is_seen_and_read_without_it() {
        let encoded = BASE64.encode(SECRET.as_bytes());
        let cases: Vec<(Vec<u8>, &[Wrapping])> = vec![
            (format!("\"{SECRET}\"").into(), &[Quotes]),
            (format!("“{SECRET}”").into(), &[Quotes]),
            (format!("\u{feff}{SECRET}").into(), &[ByteOrderMark]),
            (format!("SHOP_SECRET={SECRET}").into(), &[Name]),
            (format!("export SHOP_SECRET = '{SECRET}'").into(), &[Name, Quotes]),
            (format!("export SHOP_SECRET={SECRET}").into(), &[Name]),
            (format!("$env:SHOP_SECRET = \"{SECRET}\"").into(), &[Name, Quotes]),
            (format!("X-Gitlab-Token: {SECRET}").into(), &[Name]),
            (format!("{{\"secret\": \"{SECRET}\"}}").into(), &[Json]),
            (format!("{{\n  \"data\": {{\"n\": 1, \"secret\": \"{encoded}\"}}\n}}").into(), &[Json, Base64]),
            (format!("[\"{SECRET}\"]").into(), &[Json]),
            (format!("{SECRET}\r\nfrom the shop's settings").into(), &[Lines]),
            (format!("# of the shop\nSHOP_SECRET='{SECRET}'").into(), &[Lines]),
            (format!("SHOP_SECRET={SECRET}\nOTHER=x").into(), &[Lines, Name]),
            (format!("SHOP_SECRET={{\"secret\": \"{SECRET}\"}}").into(), &[Name, Json]),
            (format!("{SECRET}\u{a0}").into(), &[Invisible]),
            ("s3cr3t\u{200b}-of-the-shop".into(), &[Invisible]),
            ([SECRET.as_bytes(), b"\xa0"].concat(), &[Invisible]),
            (format!("{SECRET}\0").into(), &[Invisible]),
            (format!("\u{feff}{SECRET}\u{200b}").into(), &[ByteOrderMark, Invisible]),
            (encoded.clone().into(), &[Base64]),
            (encoded.trim_end_matches('=').into(), &[Base64]),
            (BASE64.encode(format!("{SECRET}\n").as_bytes()).into(), &[Base64]),
            (format!("\u{feff}\"{encoded}\"").into(), &[ByteOrderMark, Quotes, Base64]),
            (utf16(SECRET, u16::to_le_bytes), &[Utf16]),
            (utf16(&format!("\u{feff}{SECRET}\r\n"), u16::to_le_bytes), &[Utf16]),
            (utf16(&format!("\u{feff}{SECRET}\r\n"), u16::to_be_bytes), &[Utf16]),
        ];
        for (text, layers) in cases {
            let text = text.trim_ascii();
            assert_eq!(seen(text), layers, "{}", String::from_utf8_lossy(text));
            let read = readings(text);
            let found = read.iter().find(|(_, reading)| **reading == SECRET.as_bytes());
            assert!(found.is_some(), "{}: {read:?}", String::from_utf8_lossy(text));
        }
        let pem = "-----BEGIN PUBLIC KEY-----\\nMCow\\n-----END PUBLIC KEY-----";
        assert_eq!(seen(pem.as_bytes()), [LineFeedLetters]);
    }

    #[test]
    fn secrets_as_providers_show_them_are_not_odd() {
        for secret in [
            SECRET,
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056",
            "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            "signkey-prod-12345678",
            "It's a Secret to Everybody",
            "user:pass=word",
            "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
            "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----",
            "{\"keys\": []}",
            "{\n  \"keys\": [{\"kty\": \"OKP\", \"x\": \"11qYAYKxCrfVS\"}]\n}",
            "{\"kty\": \"oct\", \"k\": \"c2VjcmV0\"}",
            "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo\n4lgOEePzNm0tRgeLezV6ffAt0gun",
        ] {
            assert_eq!(seen(secret.as_bytes()), [], "{secret}");
        }
    }

    #[test]
    fn readings_are_bounded() {
        let deep = (0..12).fold("abcdefgh".to_owned(), |text, _| BASE64.encode(format!("\"{text}\"").as_bytes()));
        assert!(readings(deep.as_bytes()).len() <= READINGS_MAX);
        assert!(readings(&vec![b'"'; BYTES_MAX + 1]).is_empty());
    }
}
