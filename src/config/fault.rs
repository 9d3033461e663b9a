//! The errors of serde, kept as data until the place is known.
//!
//! serde passes a fault of its own kinds through `de::Error`. A visitor's own complaint passes through `Error::custom`,
//! which takes text only, so [`complaint`] packs its parts into one text and `TextFault::custom` unpacks them. A complaint
//! is a predicate ("is not a duration"): the subject is added later, because the value may come from a variable and must
//! not be shown.

use std::fmt;

use serde::de;

use super::problem::Code;

#[derive(Clone, Debug)]
pub(super) enum TextFault {
    UnknownKey { known: &'static [&'static str] },
    MissingKey(&'static str),
    WrongType { expected: String },
    UnknownValue { known: &'static [&'static str] },
    Complaint { code: Code, predicate: String, help: String },
}

/// The separator of the parts of a packed complaint; text quoted from the file has it escaped.
const PART: char = '\u{1f}';

/// The codes with which a visitor may complain.
const CODES: &[Code] = &[
    Code::InvalidValue,
    Code::MissingUnit,
    Code::InvalidName,
    Code::Unsupported,
    Code::UnknownValue,
    Code::MissingKey,
];

/// Packs a visitor's complaint: the fault of the value ("is not a duration"), and the help.
pub(super) fn complaint<E: de::Error>(code: Code, predicate: &str, help: &str) -> E {
    E::custom(format_args!("{}{PART}{predicate}{PART}{help}", code.as_str()))
}

impl de::Error for TextFault {
    fn custom<T: fmt::Display>(packed: T) -> Self {
        let text = packed.to_string();
        let mut parts = text.splitn(3, PART);
        if let (Some(name), Some(predicate), Some(help)) = (parts.next(), parts.next(), parts.next()) {
            let code = CODES.iter().copied().find(|code| code.as_str() == name).unwrap_or(Code::InvalidValue);
            return Self::Complaint { code, predicate: predicate.to_owned(), help: help.to_owned() };
        }
        let predicate = format!("is not valid here: {text}");
        Self::Complaint { code: Code::InvalidValue, predicate, help: String::new() }
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::WrongType { expected: expected.to_string() }
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::WrongType { expected: expected.to_string() }
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownValue { known }
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self::UnknownKey { known }
    }

    fn missing_field(key: &'static str) -> Self {
        Self::MissingKey(key)
    }
}

impl fmt::Display for TextFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { .. } => f.write_str("unknown key"),
            Self::MissingKey(key) => write!(f, "missing key `{key}`"),
            Self::WrongType { expected } => write!(f, "expected {expected}"),
            Self::UnknownValue { .. } => f.write_str("unknown value"),
            Self::Complaint { predicate, .. } => f.write_str(predicate),
        }
    }
}

impl std::error::Error for TextFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_comes_out_as_it_went_in() {
        let TextFault::Complaint { code, predicate, help } = complaint(Code::MissingUnit, "has no unit", "write `30s`")
        else {
            panic!("another fault came out");
        };
        assert_eq!((code, predicate.as_str(), help.as_str()), (Code::MissingUnit, "has no unit", "write `30s`"));
    }
}
