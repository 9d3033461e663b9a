//! Hexadecimal, base64, forms and DER, read strictly and by hand: the oracle must not share the engine's decoders.

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Decodes hex of either case; `None` for half a byte.
pub(crate) fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = u32::from_be_bytes([
            0,
            chunk[0],
            chunk.get(1).copied().unwrap_or_default(),
            chunk.get(2).copied().unwrap_or_default(),
        ]);
        for place in 0..4_usize {
            let six = usize::try_from(word >> (18 - 6 * place) & 63).unwrap();
            out.push(if place <= chunk.len() { char::from(BASE64[six]) } else { '=' });
        }
    }
    out
}

/// Decodes padded base64 in its canonical form only.
pub(crate) fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for chunk in text.chunks(4) {
        let mut word = 0;
        for &byte in chunk {
            let six = if byte == b'=' { 0 } else { BASE64.iter().position(|letter| *letter == byte)? };
            word = word << 6 | six;
        }
        let bytes = u32::try_from(word).unwrap().to_be_bytes();
        let pads = chunk.iter().rev().take_while(|byte| **byte == b'=').count();
        out.extend_from_slice(bytes.get(1..4_usize.checked_sub(pads)?)?);
    }
    (base64(&out).as_bytes() == text).then_some(out)
}

/// Encodes base64 with the URL alphabet, without padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    base64(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

pub(crate) fn from_base64url(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let padding = "=".repeat((4 - text.len() % 4) % 4);
    let bytes = from_base64((text.replace('-', "+").replace('_', "/") + &padding).as_bytes())?;
    (base64url(&bytes) == text).then_some(bytes)
}

/// Decodes the pairs of a form or query.
pub(crate) fn form(text: &[u8]) -> Vec<(String, String)> {
    let fields = text.split(|byte| *byte == b'&').filter(|field| !field.is_empty());
    let pairs = fields.map(|field| {
        let end = field.iter().position(|byte| *byte == b'=').unwrap_or(field.len());
        (from_percent(&field[..end]), from_percent(field.get(end + 1..).unwrap_or_default()))
    });
    pairs.collect()
}

fn from_percent(text: &[u8]) -> String {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let decoded = if byte == b'%' { text.get(at + 1..at + 3).and_then(from_hex) } else { None };
        match decoded {
            Some(decoded) => out.extend(decoded),
            None => out.push(if byte == b'+' { b' ' } else { byte }),
        }
        at += if byte == b'%' && text.get(at + 1..at + 3).and_then(from_hex).is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Decodes an ECDSA signature in strict DER into `r‖s`, 32 bytes each.
pub(crate) fn from_der(der: &[u8]) -> Option<Vec<u8>> {
    let [0x30, length, rest @ ..] = der else { return None };
    if usize::from(*length) != rest.len() || *length > 127 {
        return None;
    }
    let (r, rest) = der_number(rest)?;
    let (s, rest) = der_number(rest)?;
    rest.is_empty().then(|| [r, s].concat())
}

fn der_number(der: &[u8]) -> Option<([u8; 32], &[u8])> {
    let [0x02, length, rest @ ..] = der else { return None };
    let (number, rest) = rest.split_at_checked(usize::from(*length))?;
    let plain = match number {
        [0, second, ..] if *second < 0x80 => return None,
        [0, plain @ ..] => plain,
        [first, ..] if *first >= 0x80 => return None,
        plain => plain,
    };
    let mut out = [0; 32];
    out.get_mut(32_usize.checked_sub(plain.len())?..)?.copy_from_slice(plain);
    Some((out, rest))
}
