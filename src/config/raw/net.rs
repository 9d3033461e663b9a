//! Addresses to listen on, ranges of addresses, and URLs.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::config::fault::complaint;
use crate::config::problem::Code;

/// An IP address with a port to listen on: `0.0.0.0:8443`, `[::]:8443`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

/// A range of IP addresses: `10.0.0.0/8`; a single address is a range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr(pub IpNet);

/// An absolute URL of http or https. Only its outline is checked here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(String);

/// A URL to which events are sent. Path and query may hold values of the event, `{params.tenant}`. Scheme and host are
/// literal: no sender chooses where a delivery goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUrl(String);

impl TargetUrl {
    /// Returns the URL as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse<E: de::Error>(text: &str) -> Result<Self, E> {
        let host = host_of(text)?;
        if host.contains(['{', '}']) {
            let help = "scheme and host stand there as they are; a value of the event may stand in path and query: `http://orders:9000/{params.tenant}`";
            return Err(complaint(Code::InvalidValue, "has a brace in its host", help));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Url {
    /// Returns the URL as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Address {
    fn parse<E: de::Error>(text: &str) -> Result<Self, E> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        let help = match text.strip_prefix(':').or(text.strip_prefix("*:")).or(text.strip_prefix("localhost:")) {
            Some(port) if port.parse::<u16>().is_ok() => {
                let ip = if text.starts_with("localhost") { "127.0.0.1" } else { "0.0.0.0" };
                format!("write `{ip}:{port}`")
            }
            _ => match text.parse::<IpAddr>() {
                Ok(IpAddr::V4(ip)) => format!("add the port: `{ip}:8443`"),
                Ok(IpAddr::V6(ip)) => format!("add the port: `[{ip}]:8443`"),
                Err(_) => "write an IP address and a port, such as `0.0.0.0:8443` or `[::]:8443`".to_owned(),
            },
        };
        Err(complaint(Code::InvalidValue, "is not an address to listen on", &help))
    }
}

impl Cidr {
    fn parse<E: de::Error>(text: &str) -> Result<Self, E> {
        let range = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let Some(range) = range else {
            let help = "write an IP address or a range, such as `192.30.252.0/22` or `2001:db8::/32`";
            return Err(complaint(Code::InvalidValue, "is not a range of IP addresses", help));
        };
        if range.addr() != range.network() {
            let help = format!("write `{}` for the range, or `{}` for the one address", range.trunc(), range.addr());
            return Err(complaint(Code::InvalidValue, "has bits set beyond its prefix length", &help));
        }
        Ok(Self(range))
    }
}

impl Url {
    fn parse<E: de::Error>(text: &str) -> Result<Self, E> {
        host_of(text)?;
        if text.contains(['{', '}']) {
            let help =
                "only URLs that events are sent to hold values of events; write a literal brace as `%7B` or `%7D`";
            return Err(complaint(Code::InvalidValue, "has a brace in it", help));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Returns the host of a URL, with its port.
fn host_of<E: de::Error>(text: &str) -> Result<&str, E> {
    let invalid = |help: &str| complaint(Code::InvalidValue, "is not a URL", help);
    let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) else {
        return Err(invalid("begin it with `http://` or `https://`"));
    };
    // An expression in braces may hold a space.
    let mut depth = 0_usize;
    let is_bare = |c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c.is_control() || (c.is_whitespace() && depth == 0)
    };
    if text.chars().any(is_bare) {
        return Err(invalid("write a space in a URL as `%20`"));
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        return Err(invalid("it needs a host: `http://billing:8080/hooks`"));
    }
    if host.contains('@') {
        let help = "take the user and password out: a URL appears in logs and metrics";
        return Err(complaint(Code::InvalidValue, "holds credentials", help));
    }
    Ok(host)
}

/// Implements `Deserialize` and `JsonSchema` for a type that is parsed from text.
macro_rules! from_text {
    ($type:ident, $expected:literal, $example:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        $type::parse(text)
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "examples": [$example] })
            }
        }
    };
}

from_text!(Address, "an IP address and a port such as `0.0.0.0:8443`", "0.0.0.0:8443");
from_text!(Cidr, "a range of IP addresses such as `10.0.0.0/8`", "10.0.0.0/8");
from_text!(TargetUrl, "a URL such as `http://billing:8080/hooks`", "http://billing:8080/hooks");
from_text!(Url, "a URL such as `http://billing:8080/hooks`", "http://billing:8080/hooks");

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::value::Error;

    #[test]
    fn a_single_address_is_a_range_of_one() {
        assert_eq!(Cidr::parse::<Error>("10.1.2.3").map(|c| c.0.to_string()), Ok("10.1.2.3/32".to_owned()));
    }

    #[test]
    fn urls_have_a_scheme_and_a_host_and_no_password() {
        assert!(Url::parse::<Error>("https://a.b:1/c?d").is_ok());
        for text in
            ["", "a", "ftp://a", "http://", "http:///a", "http://:80", "http://a b", "http://u:p@h/", "http://h/{a}"]
        {
            assert!(Url::parse::<Error>(text).is_err(), "{text}");
        }
    }
}
