//! Parts of the URL that a provider signed.
//!
//! The text is the configured one: no host is taken from the request, no letter case is changed, nothing is decoded but
//! the values of query parameters.

/// Returns the parameters of the query.
pub(super) fn query(url: &str) -> form_urlencoded::Parse<'_> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.split('#').next().unwrap_or_default().as_bytes())
}

/// Returns path and query of a full URL, or of a text that is path and query already.
pub(super) fn path_and_query(url: &str) -> &str {
    let Some((_, after)) = url.split_once("://") else { return url };
    after.find('/').and_then(|start| after.get(start..)).unwrap_or("/")
}

/// Returns the URL with its default port taken away or written out; `None` for any other port.
pub(super) fn with_other_default_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let default = match scheme {
        "https" => "443",
        "http" => "80",
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at_checked(end)?;
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (port == default).then(|| format!("{scheme}://{host}{tail}")),
        _ => Some(format!("{scheme}://{authority}:{default}{tail}")),
    }
}
