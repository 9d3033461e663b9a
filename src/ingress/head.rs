//! The head of an HTTP/1 message, byte for byte, before it is parsed.
//!
//! [`Scan`] finds its end and checks it against the listener's bounds while it arrives, so that no more of it is in
//! memory than the bounds allow. Lines end in CRLF, no byte is NUL, and the first line has two spaces: pingora accepts
//! bare line feeds, and another reader may not.
//!
//! Deliberately not here: the meaning of fields (`framing`).

use super::listen::ListenerLimits;
use crate::refusal::{Class, Refusal};

/// A limit of a listener on heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// `headers`: the bytes of all fields.
    Headers,
    /// `header_fields`: their count.
    HeaderFields,
    /// `target`: the bytes of the request target.
    Target,
}

impl Limit {
    /// Returns the refusal of a head over this limit: both sides learn the limit and its number, the operator its key
    /// too.
    pub(super) fn exceeded(self, limits: &ListenerLimits, listener: &str) -> Refusal {
        let (title, key, told) = match self {
            Self::Headers => {
                let told = format!("the header fields take more than {} bytes", limits.header_bytes_max);
                ("Headers too large", "headers", told)
            }
            Self::HeaderFields => {
                let told = format!("there are more than {} header fields", limits.header_fields_max);
                ("Too many header fields", "header_fields", told)
            }
            Self::Target => {
                let told = format!("the request target is longer than {} bytes", limits.target_bytes_max);
                ("Request target too long", "target", told)
            }
        };
        let why = format!("{told} (listeners.{listener}.limits.{key})");
        let mut refusal = Refusal::new(Class::HeadersTooLarge, why).telling(title, told).and_close();
        if self == Self::Target {
            refusal.status = Some(414);
        }
        refusal
    }
}

/// The state of scanning a head.
#[derive(Debug, Default)]
pub(super) struct Scan {
    scanned: usize,
    previous: u8,
    /// The offset of the line that is being read.
    line: usize,
    /// The number of lines that have ended.
    lines: usize,
    /// The offset of the first field.
    fields: usize,
    /// The offsets of the spaces in the first line.
    spaces: [usize; 2],
    spaces_found: usize,
}

/// A fault of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadFault {
    Exceeds(Limit),
    Malformed(&'static str),
}

/// Returns the refusal of a head with another reading than ours; the connection ends.
pub(super) fn malformed(why: &'static str) -> Refusal {
    Refusal::new(Class::Malformed, why).and_close()
}

impl HeadFault {
    pub(super) fn refusal(self, limits: &ListenerLimits, listener: &str) -> Refusal {
        match self {
            Self::Exceeds(limit) => limit.exceeded(limits, listener),
            Self::Malformed(why) => malformed(why),
        }
    }
}

/// The longest method; the registered ones have at most 17 letters.
const METHOD_BYTES_MAX: usize = 32;
const NOT_A_LINE: HeadFault = HeadFault::Malformed("the request line is not `METHOD target HTTP/version`");

impl Scan {
    /// Scans on in `head`, which begins with the bytes of earlier calls. Returns the end of the head, if it is there.
    pub(super) fn next(&mut self, head: &[u8], limits: &ListenerLimits) -> Result<Option<usize>, HeadFault> {
        while let Some(&byte) = head.get(self.scanned) {
            let at = self.scanned;
            self.scanned += 1;
            let previous = std::mem::replace(&mut self.previous, byte);
            match byte {
                0 => return Err(HeadFault::Malformed("the head has a NUL byte")),
                b'\n' if previous != b'\r' => {
                    return Err(HeadFault::Malformed("a line of the head ends in a bare line feed"));
                }
                b'\n' if self.lines > 0 && at == self.line + 1 => return Ok(Some(self.scanned)),
                b'\n' => self.line_ends(at)?,
                _ => {}
            }
            if self.lines == 0 {
                self.request_line(at, byte, limits)?;
            } else if at >= self.fields + limits.header_bytes_max && !self.is_empty_line(at) {
                return Err(HeadFault::Exceeds(Limit::Headers));
            } else if at == self.line && byte != b'\r' && self.lines > limits.header_fields_max {
                return Err(HeadFault::Exceeds(Limit::HeaderFields));
            }
        }
        Ok(None)
    }

    /// Checks whether the last line is empty, and no field.
    fn is_empty_line(&self, at: usize) -> bool {
        at == self.line && self.previous == b'\r'
    }

    fn line_ends(&mut self, at: usize) -> Result<(), HeadFault> {
        if self.lines == 0 {
            if self.spaces_found != 2 {
                return Err(NOT_A_LINE);
            }
            self.fields = at + 1;
        }
        self.lines += 1;
        self.line = at + 1;
        Ok(())
    }

    fn request_line(&mut self, at: usize, byte: u8, limits: &ListenerLimits) -> Result<(), HeadFault> {
        if byte == b' ' {
            let Some(space) = self.spaces.get_mut(self.spaces_found) else { return Err(NOT_A_LINE) };
            *space = at;
            self.spaces_found += 1;
        } else if byte.is_ascii_whitespace() && byte != b'\r' && byte != b'\n' {
            return Err(NOT_A_LINE);
        }
        let [first, second] = self.spaces;
        match self.spaces_found {
            0 if at >= METHOD_BYTES_MAX => Err(NOT_A_LINE),
            1 if at > first + limits.target_bytes_max => Err(HeadFault::Exceeds(Limit::Target)),
            // `HTTP/1.1` and CRLF.
            2 if at > second + 10 => Err(NOT_A_LINE),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::listen::tests::limits;
    use super::*;

    /// Scans a head in pieces of each size; all must give the same result.
    fn scan(head: &[u8], limits: &ListenerLimits) -> Result<Option<usize>, HeadFault> {
        let in_pieces = |size: usize| {
            let mut scan = Scan::default();
            for end in (0..head.len()).step_by(size).map(|begin| (begin + size).min(head.len())) {
                if let Some(end) = scan.next(&head[..end], limits)? {
                    return Ok(Some(end));
                }
            }
            Ok(None)
        };
        let whole = in_pieces(head.len().max(1));
        for size in 1..6 {
            assert_eq!(in_pieces(size), whole, "pieces of {size}: {}", head.escape_ascii());
        }
        whole
    }

    #[test]
    fn the_end_of_a_head_is_found() {
        for head in [&b"POST / HTTP/1.1\r\n\r\n"[..], b"POST /a HTTP/1.1\r\nHost: a\r\nB:\r\n\r\n"] {
            let behind = [head, b"body\r\n\r\n"].concat();
            assert_eq!(scan(&behind, &limits()), Ok(Some(head.len())));
            assert_eq!(scan(&head[..head.len() - 1], &limits()), Ok(None));
        }
    }

    #[test]
    fn a_head_with_odd_lines_is_malformed() {
        for head in [
            &b"POST / HTTP/1.1\nHost: a\n\n"[..],
            b"POST / HTTP/1.1\r\nHost: a\n\r\n",
            b"POST  / HTTP/1.1\r\n\r\n",
            b"POST /a b HTTP/1.1\r\n\r\n",
            b"POST\t/a\tHTTP/1.1\r\n\r\n",
            b"POST /a\r\n\r\n",
            b"POST / HTTP/1.1 and more\r\n\r\n",
            b"POST / HTTP/1.1\r\nA: \0\r\n\r\n",
            b"\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01",
            b"AVERYLONGMETHODTHATNOBODYHASEVERREGISTERED / HTTP/1.1\r\n\r\n",
        ] {
            assert!(matches!(scan(head, &limits()), Err(HeadFault::Malformed(_))), "{}", head.escape_ascii());
        }
    }

    #[test]
    fn a_limit_is_exceeded_by_the_first_byte_or_field_above_it() {
        let limits = ListenerLimits { header_bytes_max: 100, header_fields_max: 3, target_bytes_max: 50, ..limits() };
        let target = |length: usize| format!("POST /{} HTTP/1.1\r\n\r\n", "a".repeat(length - 1)).into_bytes();
        assert!(scan(&target(50), &limits).unwrap().is_some());
        assert_eq!(scan(&target(51), &limits), Err(HeadFault::Exceeds(Limit::Target)));
        let fields = |bytes: usize| format!("POST / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(bytes - 5)).into_bytes();
        assert!(scan(&fields(100), &limits).unwrap().is_some());
        assert_eq!(scan(&fields(101), &limits), Err(HeadFault::Exceeds(Limit::Headers)));
        let many = |count: usize| format!("POST / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count)).into_bytes();
        assert!(scan(&many(3), &limits).unwrap().is_some());
        assert_eq!(scan(&many(4), &limits), Err(HeadFault::Exceeds(Limit::HeaderFields)));
    }

    #[test]
    fn a_refusal_names_limit_number_and_key_to_the_operator_and_no_key_to_the_sender() {
        let (limits, listener) = (limits(), "public");
        for (limit, status, number, key) in [
            (Limit::Headers, None, "16384 bytes", "listeners.public.limits.headers"),
            (Limit::HeaderFields, None, "100 header fields", "listeners.public.limits.header_fields"),
            (Limit::Target, Some(414), "8192 bytes", "listeners.public.limits.target"),
        ] {
            let refusal = limit.exceeded(&limits, listener);
            assert_eq!(refusal.status, status);
            assert!(refusal.why.contains(number) && refusal.why.contains(key), "{}", refusal.why);
            let detail = refusal.told.unwrap().detail;
            assert!(detail.contains(number) && !detail.contains("listeners"), "{detail}");
        }
    }
}
