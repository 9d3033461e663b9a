//! The encoding of a file: UTF-8, or an error with the probable encoding and the place that shows it.
//!
//! A byte order mark of UTF-8 is left to the reader, which skips it.

use std::fmt;

/// The error for bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8 {
    /// The line, from 1.
    line: usize,
    /// The column in characters, from 1.
    column: usize,
    /// The first byte that does not fit.
    byte: u8,
    /// True if the file begins with the mark of UTF-16, or has a zero byte beside each letter.
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
    let begins_as_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    // Without a mark, ASCII text in UTF-16 has a zero in every other byte, and is valid UTF-8.
    let looks_like_utf16 =
        bytes.len() > 3 && matches!(bytes.get(..4), Some([0, 1..=127, 0, 1..=127] | [1..=127, 0, 1..=127, 0]));
    if begins_as_utf16 || looks_like_utf16 {
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
