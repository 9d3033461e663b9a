//! The chunked coding, byte for byte (RFC 9112 §7.1).
//!
//! pingora decodes chunks and skips the bytes between them: extensions, trailers, anything else that ends in CRLF.
//! Another reader may interpret those bytes differently. [`Check`] sees the same bytes before pingora does, checks them
//! against the grammar and finds the end of the message. Extensions and trailer fields have no effect here: they are
//! checked and dropped.
//!
//! Deliberately not here: the data of chunks, and the bound on the body's size (`body`).

use std::borrow::Cow;

/// The most bytes of all extensions of one body, together.
const EXTENSION_BYTES_MAX: usize = 4 * 1024;
/// The most bytes of the trailer section.
const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// The most hexadecimal digits of a size, leading zeros included.
const SIZE_DIGITS_MAX: usize = 16;

/// Fields that a trailer must not have (RFC 9110 §6.5.1): they say how the message is framed, where it goes, who sent
/// it or how its content is read, and a reader that merges trailers into the head would obey them.
const FORBIDDEN_TRAILERS: &[&str] = &[
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "max-forwards",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A violation of the grammar, for the operator.
pub(super) type Violation = Cow<'static, str>;

/// The state of checking one chunked body.
#[derive(Debug, Default)]
pub(super) struct Check {
    at: At,
    extension_bytes: usize,
    trailer_bytes: usize,
    /// The line of the trailer section that is being read.
    line: Vec<u8>,
}

/// The element that is expected next.
#[derive(Clone, Copy, Debug)]
enum At {
    Size {
        size: u64,
        digits: usize,
    },
    Extension(Extension),
    /// The line feed that ends a chunk's first line.
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
    Done,
}

/// The place in `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`.
#[derive(Clone, Copy, Debug)]
struct Extension {
    size: u64,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A space after the size or after a value: `;` may follow, or the end of the line.
    BeforeSemicolon,
    BeforeName,
    Name,
    /// A space after a name: `=` or `;` may follow, or the end of the line.
    AfterName,
    BeforeValue,
    Value,
    Quoted,
    Escaped,
    AfterQuoted,
}

impl Default for At {
    fn default() -> Self {
        Self::Size { size: 0, digits: 0 }
    }
}

impl Check {
    /// Checks more bytes. Returns the number of bytes before the end of the message; `None` when the end is not in
    /// them.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, Violation> {
        let mut rest = bytes;
        loop {
            if matches!(self.at, At::Done) {
                return Ok(Some(bytes.len().saturating_sub(rest.len())));
            }
            if let At::Data { left } = self.at {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                rest = rest.get(here..).unwrap_or_default();
                let left = left.saturating_sub(here as u64);
                self.at = if left == 0 { At::DataCr } else { At::Data { left } };
            }
            let Some((&byte, behind)) = rest.split_first() else { return Ok(None) };
            self.at = self.next(byte)?;
            rest = behind;
        }
    }

    fn next(&mut self, byte: u8) -> Result<At, Violation> {
        match (self.at, byte) {
            (At::Size { size, digits }, _) => self.size(size, digits, byte),
            (At::Extension(Extension { size, part }), _) => self.extension(size, part, byte),
            (At::SizeEnd { size: 0 }, b'\n') => Ok(At::Trailer),
            (At::SizeEnd { size }, b'\n') => Ok(At::Data { left: size }),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => Ok(At::default()),
            (At::Trailer, _) => self.trailer(byte),
            (At::TrailerLf, b'\n') => self.trailer_line(),
            (At::SizeEnd { .. } | At::TrailerLf, _) => Err("a bare carriage return between chunks".into()),
            (At::DataCr | At::DataLf, _) => Err("a chunk is longer than its size".into()),
            // `feed` takes data as a whole and stops at the end.
            (At::Data { .. } | At::Done, _) => Ok(self.at),
        }
    }

    fn size(&mut self, size: u64, digits: usize, byte: u8) -> Result<At, Violation> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if digits == SIZE_DIGITS_MAX {
                return Err("the size of a chunk has more than 16 digits".into());
            }
            return Ok(At::Size { size: size << 4 | u64::from(digit), digits: digits + 1 });
        }
        if digits == 0 {
            return Err("a chunk has no size".into());
        }
        match byte {
            b'\r' => Ok(At::SizeEnd { size }),
            b';' | b' ' | b'\t' => self.extension(size, Part::BeforeSemicolon, byte),
            _ => Err("the size of a chunk is not a hexadecimal number".into()),
        }
    }

    fn extension(&mut self, size: u64, part: Part, byte: u8) -> Result<At, Violation> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            return Err(format!("chunk extensions take more than {EXTENSION_BYTES_MAX} bytes").into());
        }
        let is_space = matches!(byte, b' ' | b'\t');
        let part = match (part, byte) {
            (Part::Quoted, b'"') => Part::AfterQuoted,
            (Part::Quoted, b'\\') => Part::Escaped,
            (Part::Quoted | Part::Escaped, _) if is_space || byte > b' ' && byte != 0x7f => Part::Quoted,
            (Part::BeforeSemicolon | Part::AfterName | Part::Name | Part::Value | Part::AfterQuoted, b';') => {
                Part::BeforeName
            }
            // Some senders pad sizes with spaces; all readers agree on what that means.
            (Part::BeforeSemicolon | Part::Name | Part::AfterName | Part::Value | Part::AfterQuoted, b'\r') => {
                return Ok(At::SizeEnd { size });
            }
            (Part::Name | Part::AfterName, b'=') => Part::BeforeValue,
            (Part::BeforeValue, b'"') => Part::Quoted,
            (Part::BeforeName | Part::Name, _) if is_token(byte) => Part::Name,
            (Part::BeforeValue | Part::Value, _) if is_token(byte) => Part::Value,
            (Part::BeforeSemicolon | Part::Value | Part::AfterQuoted, _) if is_space => Part::BeforeSemicolon,
            (Part::Name | Part::AfterName, _) if is_space => Part::AfterName,
            (Part::BeforeName | Part::BeforeValue, _) if is_space => part,
            _ => return Err("a chunk extension is not `;name` or `;name=value`".into()),
        };
        Ok(At::Extension(Extension { size, part }))
    }

    fn trailer(&mut self, byte: u8) -> Result<At, Violation> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(format!("the trailer section takes more than {TRAILER_BYTES_MAX} bytes").into());
        }
        match byte {
            b'\r' => Ok(At::TrailerLf),
            b'\n' => Err("a line of the trailer section ends in a bare line feed".into()),
            _ => {
                self.line.push(byte);
                Ok(At::Trailer)
            }
        }
    }

    /// Checks a whole line of the trailer section; an empty one ends the message.
    fn trailer_line(&mut self) -> Result<At, Violation> {
        if self.line.is_empty() {
            return Ok(At::Done);
        }
        let line = std::mem::take(&mut self.line);
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next());
        let is_value = |value: &[u8]| value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..));
        if name.is_empty() || !name.iter().copied().all(is_token) || !value.is_some_and(is_value) {
            return Err("a line of the trailer section is not a field".into());
        }
        match FORBIDDEN_TRAILERS.iter().find(|known| name.eq_ignore_ascii_case(known.as_bytes())) {
            Some(known) => Err(format!("the trailer section has the field `{known}`").into()),
            None => Ok(At::Trailer),
        }
    }
}

/// Checks for a character of a token (RFC 9110 §5.6.2).
const fn is_token(byte: u8) -> bool {
    matches!(
        byte,
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.'
            | b'^' | b'_' | b'`' | b'|' | b'~'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a message in pieces of each size; all must give the same result.
    fn check(message: &[u8]) -> Result<Option<usize>, Violation> {
        let in_pieces = |size: usize| {
            let (mut check, mut before) = (Check::default(), 0);
            for piece in message.chunks(size) {
                if let Some(end) = check.feed(piece)? {
                    return Ok(Some(before + end));
                }
                before += piece.len();
            }
            Ok(None)
        };
        let whole = in_pieces(message.len().max(1));
        for size in 1..message.len().min(9) {
            assert_eq!(in_pieces(size), whole, "pieces of {size}: {}", message.escape_ascii());
        }
        whole
    }

    #[test]
    fn the_end_of_a_message_is_found() {
        for message in [
            &b"0\r\n\r\n"[..],
            b"5\r\nhello\r\n0\r\n\r\n",
            b"005\r\nhello\r\n9\r\n\r\n0\r\n\r\n\r\n\r\n00\r\n\r\n",
            b"5;a\r\nhello\r\n0;b=c\r\n\r\n",
            b"5  \r\nhello\r\n0 \r\n\r\n",
            b"5 ; a = \"q \\\" ; q\" ;b\r\nhello\r\n0\r\n\r\n",
            b"0\r\nX-Checksum: abc\r\nEmpty:\r\n\r\n",
        ] {
            let behind = [message, b"POST / HTTP/1.1\r\n"].concat();
            assert_eq!(check(&behind), Ok(Some(message.len())), "{}", message.escape_ascii());
            assert_eq!(check(&message[..message.len() - 1]), Ok(None), "{}", message.escape_ascii());
        }
    }

    #[test]
    fn what_another_reader_may_read_otherwise_is_a_violation() {
        for message in [
            // Sizes.
            &b"\r\n"[..],
            b";a\r\n",
            b"g\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"5 5\r\n",
            b" 5\r\nhello\r\n",
            b"00000000000000005\r\n",
            b"5\nhello\r\n",
            b"5\r\rhello",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello\r0\r\n\r\n",
            b"5\r\nhello!\r\n",
            // Extensions.
            b"5;\0\r\nhello",
            b"5;a\0\r\nhello",
            b"5;a=\0\r\nhello",
            b"5;a=\"\0\"\r\nhello",
            b"5;a=\"\\\0\"\r\nhello",
            b"5;a=\"\n\"\r\nhello",
            b"5;a=\"\r\nhello",
            b"5;a\nhello",
            b"5;a\rhello",
            b"5;\r\nhello",
            b"5;a=\r\nhello",
            b"5;a b\r\nhello",
            b"5;a=b c\r\nhello",
            b"5;a=\"b\"c\r\nhello",
            b"5;a\x7f\r\nhello",
            b"5;=b\r\nhello",
            b"5;a(b\r\nhello",
            b"0;\0\r\n\r\n",
            // Trailers.
            b"0\r\n\n",
            b"0\r\n\r\r",
            b"0\r\nX\r\n\r\n",
            b"0\r\nX : a\r\n\r\n",
            b"0\r\n: a\r\n\r\n",
            b"0\r\nX: a\0\r\n\r\n",
            b"0\r\nX: a\nY: b\r\n\r\n",
            b"0\r\nX: a\rY: b\r\n\r\n",
            b"0\r\nX: a\r\n b\r\n\r\n",
            b"0\r\n\tX: a\r\n\r\n",
            b"0\r\nX\xe4: a\r\n\r\n",
            b"0\r\nX: a\x7f\r\n\r\n",
            b"0\r\nContent-Length: 5\r\n\r\n",
            b"0\r\nX: a\r\nhOST: b\r\n\r\n",
            b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(check(message).is_err(), "{}: {:?}", message.escape_ascii(), check(message));
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let long = vec![b'a'; EXTENSION_BYTES_MAX + 1];
        assert!(Check::default().feed(&[b"5;", &long[..]].concat()).is_err());
        let mut many = Check::default();
        let chunk = [b"1;", &long[..100], b"\r\nx\r\n"].concat();
        assert!((0..=EXTENSION_BYTES_MAX / 100).any(|_| many.feed(&chunk).is_err()));
        let long = vec![b'a'; TRAILER_BYTES_MAX + 1];
        assert!(Check::default().feed(&[b"0\r\nX: ", &long[..]].concat()).is_err());
        let mut many = Check::default();
        assert_eq!(many.feed(b"0\r\n"), Ok(None));
        assert!((0..TRAILER_BYTES_MAX).any(|_| many.feed(b"A: b\r\n").is_err()));
    }
}
