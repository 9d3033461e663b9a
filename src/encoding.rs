//! Texts that are not what they seem: not UTF-8, told with its place; UTF-16, known by its mark or by the zero byte beside
//! each letter; letters that look like ASCII, and those that nobody sees.
//!
//! A byte order mark of UTF-8 is left to the reader, which reads over it.

use std::fmt;

/// Bytes that are no UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8 {
    /// From 1.
    line: usize,
    /// From 1, in characters.
    column: usize,
    /// The first byte that does not fit.
    byte: u8,
    /// The file begins with the mark of UTF-16, or has a zero byte beside each letter.
    is_utf16: bool,
}

impl fmt::Display for NotUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_utf16 {
            return f.write_str("it is UTF-16; save it as UTF-8");
        }
        let Self { line, column, byte, .. } = self;
        write!(
            f,
            "line {line}, column {column}: the byte 0x{byte:02X} is not UTF-8 (in a file of Latin-1 or Windows-1252 it is a \
             letter with an accent); save the file as UTF-8"
        )
    }
}

impl std::error::Error for NotUtf8 {}

/// Returns the text of a file.
pub fn text_of(bytes: Vec<u8>) -> Result<String, NotUtf8> {
    if Utf16::of(&bytes).is_some() {
        return Err(NotUtf8 { line: 1, column: 1, byte: 0, is_utf16: true });
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let before = String::from_utf8_lossy(bytes.get(..good).unwrap_or_default());
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        NotUtf8 { line, column, byte: bytes.get(good).copied().unwrap_or_default(), is_utf16: false }
    })
}

/// Quotes that word processors and chat programs write, and what each stands for.
const QUOTES: [(&str, &str); 2] = [("“”„‟«»″＂", "\""), ("‘’‚‛′´＇", "'")];
/// Other letters that stand for one of ASCII.
const LOOKALIKES: [(&str, &str); 7] =
    [("–—−‐‑", "-"), ("≠", "!="), ("≤", "<="), ("≥", ">="), ("＝", "="), ("×", "*"), ("÷", "/")];

/// Returns whether a letter is a quote that word processors write instead of `"` and `'`.
pub fn is_typographic_quote(letter: char) -> bool {
    QUOTES.iter().any(|(letters, _)| letters.contains(letter))
}

/// Returns what a person meant who wrote this letter in a place where only ASCII is read.
pub fn meant_by(letter: char) -> Option<&'static str> {
    let found = QUOTES.iter().chain(&LOOKALIKES).find(|(letters, _)| letters.contains(letter));
    found.map(|(_, meant)| *meant).or_else(|| letter.is_whitespace().then_some(" "))
}

/// Returns a letter as a message names it: one that is not seen by its number.
pub fn named(letter: char) -> String {
    let is_seen = !letter.is_whitespace() && !letter.is_control() && !is_invisible(letter);
    if is_seen { format!("`{letter}`") } else { format!("the character U+{:04X}", u32::from(letter)) }
}

/// Returns whether a person cannot see this character, or takes it for a space.
pub fn is_invisible(letter: char) -> bool {
    (letter.is_control() && !matches!(letter, '\n' | '\r' | '\t'))
        || matches!(
            letter,
            '\u{a0}'
                | '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{1680}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180b}'..='\u{180e}'
                | '\u{2000}'..='\u{200f}'
                | '\u{2028}'..='\u{202f}'
                | '\u{205f}'..='\u{206f}'
                | '\u{3000}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// A text that seems to be UTF-16, without its mark.
#[derive(Clone, Copy, Debug)]
pub struct Utf16<'a> {
    units: &'a [u8],
    to_unit: fn([u8; 2]) -> u16,
}

impl<'a> Utf16<'a> {
    /// Looks at the first bytes of a text.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let (units, to_unit): (_, fn([u8; 2]) -> u16) = match bytes {
            [0xff, 0xfe, units @ ..] => (units, u16::from_le_bytes),
            [0xfe, 0xff, units @ ..] => (units, u16::from_be_bytes),
            // Without a mark, every other byte of text in ASCII is a zero; and it is valid UTF-8.
            [1..=127, 0, 1..=127, 0, ..] => (bytes, u16::from_le_bytes),
            [0, 1..=127, 0, 1..=127, ..] => (bytes, u16::from_be_bytes),
            _ => return None,
        };
        Some(Self { units, to_unit })
    }

    /// Returns the text. A last byte that is half a unit is left out: trimming the line feed of big-endian text leaves one.
    pub fn text(self) -> Option<String> {
        let pairs = self.units.chunks_exact(2).filter_map(|pair| <[u8; 2]>::try_from(pair).ok());
        String::from_utf16(&pairs.map(self.to_unit).collect::<Vec<u16>>()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_encodings_are_told_with_their_place() {
        let utf16 = |mark: &[u8], letters: [u8; 4]| [mark, &letters].concat();
        for bytes in [utf16(&[0xff, 0xfe], *b"v\0e\0"), utf16(&[0xfe, 0xff], *b"\0v\0e"), utf16(&[], *b"v\0e\0")] {
            assert_eq!(text_of(bytes).unwrap_err().to_string(), "it is UTF-16; save it as UTF-8");
        }
        let told = text_of(b"version: 1\nx-n: caf\xe9\n".to_vec()).unwrap_err().to_string();
        assert!(told.starts_with("line 2, column 9: the byte 0xE9 is not UTF-8"), "{told}");
        assert_eq!(text_of("\u{feff}ü".into()).unwrap(), "\u{feff}ü");
    }
}
